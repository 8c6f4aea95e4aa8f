"""Lineage from the raw data to the samples: every run that a run builds on, and their results.

raw data -> serializing run -> data set -> training run -> checkpoint -> samples; each step comes
after those that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from reproducible_ml.report.data_sets import Facts
from reproducible_ml.tracking.runs import Run, RunId, kept_manifests, load_run, source_text
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.text import size

RAW, RUN, DATA, CHECKPOINT, SAMPLES = "raw data", "run", "data set", "checkpoint", "samples"


@dataclass(frozen=True)
class Node:
    """One step.

    Attributes:
        kind: One of the constants above.
        title: Name or path.
        facts: Names and values that identify the step.
        run_id: Id of the run; None for other kinds.
        missing: What is unknown, and why.
    """

    kind: str
    title: str
    facts: Facts = field(default_factory=list)
    run_id: RunId | None = None
    missing: str = ""


def lineage(run: Run) -> list[Node]:
    """Follow a run's upstream through its store, and return every step up to its samples."""
    return list(_steps(run, set(), set()))


def _steps(run: Run, runs: set[RunId], data: set[str]) -> Iterator[Node]:
    """Yield the steps of a run, after those of its upstream.

    Args:
        run: The run.
        runs: Ids of runs already visited, to which this one is added, so a cycle ends.
        data: Fingerprints already visited.
    """
    runs.add(run.id)
    absent = []
    for one in run.facts.get("upstream") or []:
        origin = one.get("run_id")
        if origin in runs:
            continue
        try:
            if origin is None:
                raise TrackingError("its run is not recorded in this store")
            earlier = load_run(origin, run.store)
        except TrackingError as error:
            absent.append(Node(RUN, str(one.get("stage")), missing=str(error).rstrip(".")))
            continue
        yield from _steps(earlier, runs, data)
    known = kept_manifests(run)
    written = (run.facts.get("digest") or {}).get("data")
    sets = {
        str(facts.get("fingerprint")): facts for facts in (run.facts.get("dataset") or {}).values()
    }
    new = {name: facts for name, facts in sets.items() if name not in data}
    data.update(new)
    for name in new:
        yield _raw(known.get(name))
    yield from absent
    for name, facts in new.items():
        if name != written:
            yield _data(name, facts)
    yield _run(run)
    for name, facts in new.items():
        if name == written:
            yield _data(name, facts)
    yield from _products(run)


def _raw(manifest: Mapping[str, Any] | None) -> Node:
    if manifest is None:
        return Node(
            RAW, "unknown", missing="the manifest, which names it, is not kept with the run"
        )
    digest = (manifest.get("source") or {}).get("digest")
    return Node(
        RAW,
        source_text(manifest.get("source") or {}),
        [("SHA-256", str(digest))] if digest else [],
        missing="" if digest else "its digest was not recorded",
    )


def _data(fingerprint: str, facts: Mapping[str, Any]) -> Node:
    counts = ", ".join(f"{name} {n:,}" for name, n in (facts.get("records") or {}).items())
    return Node(
        DATA,
        str(facts.get("record_dir") or "unknown place"),
        [("fingerprint", fingerprint), ("records", counts or "not recorded")],
    )


def _run(run: Run) -> Node:
    digest = (run.facts.get("digest") or {}).get("run")
    facts = [("status", run.status)]
    if run.git_commit:
        facts.append(("commit", run.git_commit + (", with changes" if run.dirty else "")))
    if digest:
        facts.append(("digest", str(digest)))
    return Node(RUN, run.experiment or "unnamed", facts, run.id)


def _products(run: Run) -> Iterator[Node]:
    checkpoint = run.facts.get("checkpoint")
    if checkpoint:
        files = checkpoint.get("files") or {}
        prefix = PurePath(str(checkpoint.get("path"))).name
        facts = [("step", f"{checkpoint.get('step')}")]
        facts += [
            # Keys in MongoDB have commas instead of dots, which it does not allow.
            (
                f"SHA-256 of {name if name.startswith(prefix) else name.replace(',', '.')}",
                f"{one.get('sha256')} ({size(one.get('bytes') or 0)})",
            )
            for name, one in files.items()
        ]
        weights = (run.facts.get("digest") or {}).get("weights")
        facts += [("weights", str(weights))] if weights else []
        yield Node(CHECKPOINT, str(checkpoint.get("path")), facts)
    pictures = [
        one.name for one in run.artifacts.infos.values() if one.content_type.startswith("image/")
    ]
    if pictures:
        samples = (run.facts.get("digest") or {}).get("samples")
        last = max(pictures, key=lambda name: (len(name), name))
        yield Node(
            SAMPLES,
            last if len(pictures) == 1 else f"{len(pictures)} pictures, the last {last}",
            [("digest of the last samples", str(samples))] if samples else [],
            missing="" if samples else "no digest of samples was recorded",
        )
