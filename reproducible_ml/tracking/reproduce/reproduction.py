"""The reproduction of a recorded run: run it again from its record alone, compare bit for bit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reproducible_ml.tracking.folder import iso, now
from reproducible_ml.tracking.reproduce.environments import NOTHING, EnvironmentDifference
from reproducible_ml.tracking.reproduce.evidence import evidence_of
from reproducible_ml.tracking.reproduce.request import NotComparable, Request
from reproducible_ml.tracking.reproduce.rerun import Rerun
from reproducible_ml.tracking.reproduce.verdict import IDENTICAL, Verdict, judge
from reproducible_ml.tracking.runs import Run, RunId, load_run
from reproducible_ml.utils.errors import TrackingError

# What can be said of a run that plain Sacred recorded.
_PLAIN_SCOPE = "result and metrics compared, environment not recorded"


@dataclass(frozen=True)
class Reproduction:
    """A rerun and its verdict.

    Attributes:
        recorded: The old run.
        again: The new run.
        environment: What differs between then and now.
        verdict: Whether the bits are the same.
        upstream: The reproductions of earlier stages.
        outputs: Absolute path that the old run wrote -> path that the new one wrote.
        remarks: What may explain a difference, in sentences.
    """

    recorded: Run
    again: Run
    environment: tuple[EnvironmentDifference, ...]
    verdict: Verdict
    upstream: tuple[Reproduction, ...]
    outputs: dict[str, str]
    remarks: tuple[str, ...] = ()


def reproduce(
    run_id: RunId, request: Request, echo: Callable[[str], None] = lambda line: None
) -> Reproduction:
    """Run a recorded run again and compare it bit for bit.

    Args:
        run_id: The run's id.
        request: How.
        echo: Called with each line of progress.

    Returns:
        Both runs and the verdict, which is stored in both.

    Raises:
        NotComparable: Something is missing, altered or damaged; the message says what.
        TrackingError: There is no such run or store.
    """
    with _folder(request.keep) as folder, request.store() as store:
        return _reproduce(load_run(run_id, store), request, folder, echo)


def _reproduce(
    run: Run,
    request: Request,
    folder: Path,
    echo: Callable[[str], None],
    builders: tuple[RunId, ...] = (),
) -> Reproduction:
    """Execute a run again.

    Args:
        run: The recorded run.
        request: What to do.
        folder: Where sources and outputs go.
        echo: Called with lines to show.
        builders: The runs that build on it, of which it is an earlier stage.
    """
    if run.id in builders:
        chain = " builds on run ".join(str(one) for one in (*builders, run.id))
        raise NotComparable(
            f"The records say that run {chain}: no stage is the first one. Leave out --upstream."
        )
    rerun = Rerun(run, request, folder / f"run-{run.id}", echo)
    evidence = rerun.prepare()
    earlier = tuple(_upstream(rerun, (*builders, run.id))) if request.upstream else ()
    rerun.check_inputs()
    again = rerun.execute()
    rerun.check_sources(again)
    scope = _PLAIN_SCOPE if rerun.recorded.is_plain else ""
    verdict = judge(evidence, evidence_of(again, request.steps), scope)
    _store_verdict(rerun, again, verdict)
    remarks = rerun.remarks(again, verdict)
    return Reproduction(run, again, rerun.environment, verdict, earlier, rerun.outputs, remarks)


def _upstream(rerun: Rerun, builders: tuple[RunId, ...]) -> Iterator[Reproduction]:
    """Reproduce the earlier stages, and make the rerun read what they write.

    Raises:
        NotComparable: One of them is not identical.
    """
    for run in rerun.recorded.upstream():
        request = rerun.request.for_upstream()
        one = _reproduce(run, request, rerun.work, rerun.echo, builders)
        if one.verdict.word != IDENTICAL:
            raise NotComparable(
                f"Run {rerun.recorded.run.id} builds on run {run.id}, whose rerun "
                f"{one.verdict.sentence}; what follows from it can't be compared."
            )
        rerun.read_outputs_of(one.outputs)
        yield one


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
        yield Path(name)


def _store_verdict(rerun: Rerun, again: Run, verdict: Verdict) -> None:
    """Append the verdict to both runs, with what it was measured across."""
    run, request = rerun.recorded.run, rerun.request
    facts = {
        "verdict": verdict.sentence,
        "across": [
            one.name
            for one in (*rerun.environment, *rerun.libraries(again))
            if one.effect != NOTHING
        ],
        "probes": [one.facts.get("determinism", {}).get("probe") for one in (run, again)],
        "time": iso(now()),
        "sources": request.sources,
        "environment": request.environment,
        "steps": request.steps,
        "changes": dict(request.changes),
    }
    run.store.append_info(
        run.id, "verdicts", {**facts, "reproduced_by": again.id, "store": again.store.shown}
    )
    origin = {"run_id": run.id, "store": run.store.shown}
    again.store.append_info(again.id, "verdicts", {**facts, "reproduced_from": origin})
    # A rerun of plain Sacred is in the folder alone.
    if request.mongo is None or rerun.recorded.is_plain:
        return
    from reproducible_ml.tracking.mongo import parse_mongo, sync_run

    # The new run's folder lies where the request says.
    directory = request.folder.resolve() / str(again.id)
    for outcome in sync_run(directory, parse_mongo(request.mongo)):
        if outcome.word == "failed":
            raise TrackingError(
                f"The verdict on run {again.id} was not delivered: {outcome.detail}"
            )
