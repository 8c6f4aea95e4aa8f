"""The evidence of a run: the recorded values that a rerun must give again, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from reproducible_ml.tracking.recording import ARRAYS_FILE
from reproducible_ml.tracking.reproduce.comparison import SPEED_METRICS
from reproducible_ml.tracking.reproduce.divergence import TensorDigests, step_logs
from reproducible_ml.tracking.reproduce.request import NotComparable
from reproducible_ml.tracking.runs import Run

# ``steps`` and ``values`` of a metric's points.
Stream = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The values that a run recorded, for the whole run or up to a step.

    Attributes:
        steps: The last step that counts; None for the whole run, its final state included.
        digests: Name -> digest of the final state; empty up to a step.
        losses: The losses of every step, as ``read_steps`` returns them; None without such a log.
        tensors: Step -> digest of each variable.
        metrics: Metric -> its points, except those that measure speed.
        result: What the main function returned; None up to a step.
        inputs: Configuration key -> digest of what the run read there.
        arrays: Name -> the array that ``digests`` has a digest of, as in ``info["arrays"]``.
        artifacts: Name -> SHA-256 and size of a file that the run made.
        ignored: Patterns of the names of parts that the run says may differ.
        files: The content of artifacts, by name.
    """

    steps: int | None
    digests: Mapping[str, Any]
    losses: np.ndarray[Any, Any] | None
    tensors: TensorDigests
    metrics: Mapping[str, Stream]
    result: Any
    inputs: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there is at least one value."""
        return (
            any(digest is not None for digest in self.digests.values())
            or (self.losses is not None and len(self.losses) > 0)
            or bool(self.tensors)
            or any(stream["values"] for stream in self.metrics.values())
            or self.result is not None
            or bool(self.artifacts)
        )

    def ignores(self, name: str) -> bool:
        """Tell whether a part may differ."""
        return any(fnmatchcase(name, pattern) for pattern in self.ignored)

    def up_to(self, steps: int) -> Evidence:
        """Return the part of the first steps."""
        return Evidence(
            steps=steps,
            digests={},
            losses=None if self.losses is None else self.losses[:steps],
            tensors={step: one for step, one in self.tensors.items() if step <= steps},
            metrics={
                name: kept_points(stream, [step <= steps for step in stream["steps"]])
                for name, stream in self.metrics.items()
            },
            result=None,
            inputs=self.inputs,
            ignored=self.ignored,
        )


def evidence_of(run: Run, steps: int | None = None) -> Evidence:
    """Return the evidence of a run, for the whole run or up to a step."""
    losses, tensors = step_logs(run) or (None, {})
    whole = Evidence(
        steps=None,
        digests=run.facts.get("digest") or {},
        losses=losses,
        tensors=tensors,
        metrics={name: one for name, one in run.points.items() if name not in SPEED_METRICS},
        result=run.result,
        inputs=dict(run.facts.get("inputs") or ()),
        arrays={str(one["name"]): one for one in run.facts.get("arrays") or ()},
        artifacts={
            str(name): (str(digest), int(size))
            for name, digest, size in run.facts.get("artifacts") or ()
            # Its arrays are compared one by one.
            if name != ARRAYS_FILE
        },
        ignored=tuple(map(str, run.facts.get("ignored") or ())),
        files=run.artifacts,
    )
    return whole if steps is None else whole.up_to(steps)


def needed_evidence(run: Run, steps: int | None = None) -> Evidence:
    """Return the evidence of a run, and refuse a run that has none.

    Raises:
        NotComparable: A rerun could be compared with nothing.
    """
    found = evidence_of(run, steps)
    if found:
        return found
    if steps is None:
        raise NotComparable(f"Run {run.id} recorded nothing that a rerun could be compared with.")
    later = [step for one in evidence_of(run).metrics.values() for step in one["steps"]]
    advice = (
        f"its first metric point is at step {min(later)}, so choose --steps {min(later)} or more"
        if later
        else "it has no metrics, so leave out --steps"
    )
    raise NotComparable(
        f"Run {run.id} recorded nothing up to step {steps} that a rerun could be compared with: "
        f"{advice}."
    )


def kept_points(stream: Stream, kept: list[bool]) -> Stream:
    """Return those points of a metric for which ``kept`` is true."""
    return {
        name: [value for value, keep in zip(stream[name], kept) if keep]
        for name in ("steps", "values")
    }
