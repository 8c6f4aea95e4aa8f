"""Execute a recorded run again from its record alone, and say whether it gave the same bits."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import iso, now
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.reproduce.comparison import changed_lines, compare_runs
from reproducible_ml.tracking.reproduce.environments import (
    NOTHING,
    EnvironmentDifference,
    environment_differences,
)
from reproducible_ml.tracking.reproduce.rerun import (
    NEXT_STEPS,
    NotComparable,
    execute,
    input_paths,
    rerun_config,
    restore_sources,
    result_environment,
    stage_of,
)
from reproducible_ml.tracking.reproduce.verdict import IDENTICAL, Verdict, judge
from reproducible_ml.tracking.runs import (
    DEFAULT_FOLDER,
    Run,
    RunId,
    Store,
    go_on,
    load_run,
    open_store,
)
from reproducible_ml.utils.environment import describe_environment
from reproducible_ml.utils.errors import DataError, TrackingError
from reproducible_ml.utils.text import SHORT_DIGEST, counted

RECORDED, CURRENT = "recorded", "current"


@dataclass(frozen=True)
class Request:
    """What to execute again, and how.

    Attributes:
        folder: Folder of runs that takes the new run, and holds the old one without ``mongo``.
        mongo: Database that holds the old run and takes the new one too.
        sources: "recorded", or "current" for those in the working directory.
        steps: End training after this many steps; None for all.
        upstream: Execute the earlier stages again too, and read what they write.
        inputs: Configuration key -> where an input lies now, if not where it was.
        changes: Configuration keys with values that are to differ.
        allow_altered: Go on with a record that was altered after the run.
        keep: Folder that keeps restored sources and outputs; None removes them.
    """

    folder: Path = Path(DEFAULT_FOLDER)
    mongo: str | None = None
    sources: str = RECORDED
    steps: int | None = None
    upstream: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    allow_altered: bool = False
    keep: Path | None = None

    def store(self) -> Store:
        """Open the store that holds the old run."""
        return open_store(mongo=self.mongo) if self.mongo else open_store(folder=self.folder)


@dataclass(frozen=True)
class Reproduction:
    """A second execution and its verdict.

    Attributes:
        recorded: The old run.
        again: The new run.
        environment: What differs between then and now.
        verdict: Whether the bits are the same.
        upstream: Second executions of earlier stages.
        outputs: Absolute path that the old run wrote -> what the new one wrote.
    """

    recorded: Run
    again: Run
    environment: tuple[EnvironmentDifference, ...]
    verdict: Verdict
    upstream: tuple[Reproduction, ...]
    outputs: Mapping[str, str]


def reproduce(
    run_id: RunId, request: Request, echo: Callable[[str], None] = lambda line: None
) -> Reproduction:
    """Execute a recorded run again and compare it bit for bit.

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
    with _directory(request.keep) as work, request.store() as store:
        return _reproduce(load_run(run_id, store), request, work, echo)


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
        yield Path(name)


def _reproduce(run: Run, request: Request, work: Path, echo: Callable[[str], None]) -> Reproduction:
    _check_record(run, request)
    environment = tuple(
        environment_differences(run.environment, describe_environment(result_environment(run)))
    )
    for difference in environment:
        echo(difference.describe())

    work = work / f"run-{run.id}"
    work.mkdir()
    inputs = {**input_paths(run), **request.inputs}
    earlier = tuple(_upstream(run, request, work, echo)) if request.upstream else ()
    for one in earlier:
        if one.verdict.word != IDENTICAL:
            raise NotComparable(
                f"Run {run.id} builds on run {one.recorded.id}, whose second execution "
                f"{one.verdict.sentence}; what follows from it can't be compared."
            )
        inputs = {key: one.outputs.get(path, path) for key, path in inputs.items()}
    _check_inputs(run, inputs, echo)

    changes = dict(request.changes)
    if request.steps is not None:
        changes["max_steps"] = _checked_steps(run, request.steps)
    config = rerun_config(run, work, inputs, changes)
    for key, value in request.changes.items():
        echo(f"{key}: recorded {run.config[key]}, now {value}, as asked for")
    cwd = _sources(run, request, work)
    echo(f"Executing run {run.id} ({run.experiment}) again.")

    def echo_line(line: str) -> None:
        # Paths of what is removed at the end would lead nowhere, and the verdict comes from here.
        removed = request.keep is None and str(work) in line
        if not removed and not line.startswith(NEXT_STEPS):
            echo(f"  {line}")

    directory = execute(run, config, cwd, work, request.folder, request.mongo, echo_line)
    again = load_run(directory.name, directory.parent)
    _tell_sources(run, again, request, echo)
    verdict = judge(run, again, request.steps)
    _store_verdict(run, again, directory, request, verdict, environment)
    _, stage = stage_of(run)
    written = {
        _absolute(stage, run.config[key]): str(config[key])
        for key in stage["outputs"]
        if run.config.get(key)
    }
    return Reproduction(run, again, environment, verdict, earlier, written)


def _check_record(run: Run, request: Request) -> None:
    stage_of(run)
    if run.status != "COMPLETED":
        command = go_on(run)
        raise NotComparable(
            f"Run {run.id} is {run.status}, not COMPLETED: there is no result to compare with."
            + (f" Go on with it: {command}; then reproduce that run." if command else "")
        )
    if not run.info.get("digest"):
        raise NotComparable(
            f"Run {run.id} holds no digest of its result; its experiment must call record_digest()."
        )
    seal = run.info.get("seal")
    if not seal:
        raise NotComparable(f"Run {run.id} is not sealed; its experiment must call seal_run().")
    broken = broken_parts(seal, seal_of(run))
    if broken and not request.allow_altered:
        raise NotComparable(
            f"The record of run {run.id} was altered after the run: {', '.join(broken)}. Restore "
            "it from a copy, or go on with what it says now: --allow-altered."
        )


def _upstream(
    run: Run, request: Request, work: Path, echo: Callable[[str], None]
) -> Iterator[Reproduction]:
    for one in run.info.get("upstream") or ():
        if one["run_id"] is None:
            raise NotComparable(
                f"Run {run.id} builds on data that a run of {one['stage']} wrote which is not "
                "recorded here. Leave --upstream out to start from the data."
            )
        plain = replace(request, steps=None, inputs={}, changes={})
        yield _reproduce(load_run(one["run_id"], run.store), plain, work, echo)


def _check_inputs(run: Run, inputs: Mapping[str, str], echo: Callable[[str], None]) -> None:
    """Look whether everything that the run read is there, and the same."""
    _, stage = stage_of(run)
    fingerprints = {
        _absolute(stage, facts["record_dir"]): facts["fingerprint"]
        for facts in (run.info.get("dataset") or {}).values()
    }
    original = input_paths(run)
    for key, path in inputs.items():
        if not os.path.exists(path):
            raise NotComparable(
                f"{path}, which run {run.id} read as {key}, is not there. Say where it lies now: "
                f"--input {key}=PATH; or write it again: --upstream."
            )
        fingerprint = fingerprints.get(original.get(key, ""))
        if fingerprint is not None:
            echo(f"Verifying {path}.")
            _check_records(run, key, path, fingerprint)


def _check_records(run: Run, key: str, path: str, fingerprint: str) -> None:
    from reproducible_ml.datasets.serialize import read_manifest
    from reproducible_ml.datasets.serialize.checking import verify

    try:
        manifest = read_manifest(path)
        defects = verify(path, schema=False)
    except DataError as error:
        raise NotComparable(f"The data of run {run.id} are damaged: {error}") from error
    if defects:
        more = f" and {counted(len(defects) - 1, 'more defect')}" if len(defects) > 1 else ""
        raise NotComparable(
            f"The data of run {run.id} are damaged: {defects[0]}{more}. Mend them with "
            f"reproducible-ml repair {path}, or write them again: --upstream."
        )
    if manifest.fingerprint != fingerprint:
        raise NotComparable(
            f"{path} is not the data set of run {run.id}: its fingerprint is "
            f"{manifest.fingerprint[:SHORT_DIGEST]}, recorded is {fingerprint[:SHORT_DIGEST]}. Say "
            f"where that one lies: --input {key}=PATH; or write it again: --upstream."
        )


def _absolute(stage: Mapping[str, Any], path: str) -> str:
    return os.path.join(stage["cwd"], path)


def _checked_steps(run: Run, steps: int) -> int:
    last = run.config.get("max_steps")
    if last is None:
        raise NotComparable(f"Run {run.id} has no max_steps, so --steps means nothing to it.")
    if not 1 <= steps <= last:
        raise NotComparable(f"--steps must be 1 to {last}, the steps of run {run.id}.")
    return steps


def _sources(run: Run, request: Request, work: Path) -> Path:
    """Return the working directory that holds the sources to execute."""
    if request.sources == RECORDED:
        restored = work / "sources"
        restored.mkdir()
        restore_sources(run, restored)
        return restored
    module, _ = stage_of(run)
    here = Path.cwd()
    if not (here / (module.replace(".", "/") + ".py")).is_file():
        raise NotComparable(
            f"--sources current needs {module} in the working directory {here}; change to the "
            "folder that holds it."
        )
    return here


def _tell_sources(run: Run, again: Run, request: Request, echo: Callable[[str], None]) -> None:
    """Name the source files that are not the recorded ones.

    Raises:
        NotComparable: There are any although the recorded ones were to be executed.
    """
    changed = compare_runs(run, again).of("sources")
    if changed and request.sources == RECORDED:
        raise NotComparable(
            f"Run {again.id} executed another {changed[0].name} than run {run.id} recorded."
        )
    for one in changed:
        added, removed = changed_lines(one.detail)
        lines = f"{counted(added, 'line')} added, {removed} removed"
        echo(f"{one.name} is not the recorded one: {lines}.")


def _store_verdict(
    run: Run,
    again: Run,
    directory: Path,
    request: Request,
    verdict: Verdict,
    environment: Iterable[EnvironmentDifference],
) -> None:
    """Append the verdict to both runs, with what it was measured across."""
    facts = {
        "verdict": verdict.sentence,
        "across": [one.name for one in environment if one.effect != NOTHING],
        "probes": [one.info.get("determinism", {}).get("probe") for one in (run, again)],
        "time": iso(now()),
        "sources": request.sources,
        "steps": request.steps,
        "changes": dict(request.changes),
    }
    run.store.append_info(
        run.id, "verdicts", {**facts, "reproduced_by": again.id, "store": again.store.shown}
    )
    origin = {"run_id": run.id, "store": run.store.shown}
    again.store.append_info(again.id, "verdicts", {**facts, "reproduced_from": origin})
    if request.mongo is None:
        return
    from reproducible_ml.tracking.mongo import parse_mongo, sync_run

    for outcome in sync_run(directory, parse_mongo(request.mongo)):
        if outcome.word == "failed":
            raise TrackingError(f"The verdict on run {again.id} is not delivered: {outcome.detail}")
