"""The verdict on a rerun: whether it gave the same bits, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.reproduce.comparison import Difference, equal, metric_difference
from reproducible_ml.tracking.reproduce.divergence import Divergence, first_divergence, same_steps
from reproducible_ml.tracking.reproduce.evidence import Evidence, Stream, kept_points
from reproducible_ml.utils.text import SHORT_DIGEST, counted

IDENTICAL, DIFFERS = "identical", "differs"
_NO_POINTS: Stream = {"steps": [], "values": []}


@dataclass(frozen=True)
class Row:
    """One part of the comparison, as strings.

    Attributes:
        part: What is compared.
        recorded: The recorded run's side.
        again: The rerun's side.
        equal: Whether both are the same bit for bit; None if neither has a value to compare.
    """

    part: str
    recorded: str
    again: str
    equal: bool | None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison.

    Attributes:
        rows: Every part.
        divergence: The first difference in the steps, if there is one.
        metric: The first differing point of a metric, if there is one.
        steps: Steps that were compared; None for all.
    """

    rows: tuple[Row, ...]
    divergence: Divergence | None
    metric: Difference | None
    steps: int | None = None

    @property
    def word(self) -> str:
        """``identical`` or ``differs``."""
        return DIFFERS if any(row.equal is False for row in self.rows) else IDENTICAL

    @property
    def sentence(self) -> str:
        """The verdict in a sentence, with the first difference if there is one."""
        if self.word == IDENTICAL:
            return IDENTICAL if self.steps is None else f"{IDENTICAL} up to step {self.steps}"
        if self.divergence is not None:
            return f"{DIFFERS} {self.divergence.describe()}"
        if self.metric is not None:
            first = self.metric
            return f"{DIFFERS} at step {first.step}: metric {first.name} {first.a!r} / {first.b!r}"
        parts = ", ".join(row.part for row in self.rows if row.equal is False)
        return f"{DIFFERS} in {parts}"


def judge(recorded: Evidence, again: Evidence) -> Verdict:
    """Compare two runs of one stage bit for bit.

    Args:
        recorded: What the recorded run holds, as ``needed_evidence`` returns it.
        again: What its rerun holds, up to the same step.
    """
    metrics = list(_metrics(recorded, again))
    rows = (
        *_digest_rows(recorded, again),
        *_log_rows(recorded, again),
        *(row for row, _ in metrics),
        *_result_rows(recorded, again),
    )
    differences = [difference for _, difference in metrics if difference is not None]
    return Verdict(
        rows,
        _divergence(recorded, again),
        min(differences, key=lambda one: (one.step or 0, one.name), default=None),
        recorded.steps,
    )


def _divergence(recorded: Evidence, again: Evidence) -> Divergence | None:
    if recorded.losses is None or again.losses is None:
        return None
    return first_divergence(recorded.losses, again.losses, recorded.tensors, again.tensors)


def _digest_rows(recorded: Evidence, again: Evidence) -> Iterator[Row]:
    for name, digest in sorted(recorded.digests.items()):
        other = again.digests.get(name)
        nothing = digest is None and other is None
        yield _row(name, recorded, (_short(digest), _short(other)), digest == other, nothing)


def _short(digest: Any) -> str:
    return "none" if digest is None else str(digest)[:SHORT_DIGEST]


def _log_rows(recorded: Evidence, again: Evidence) -> Iterator[Row]:
    left = recorded.losses
    if left is None:
        return
    right = left[:0] if again.losses is None else again.losses
    counts = counted(len(left), "step"), counted(len(right), "step")
    same = same_steps(left, right)
    yield _row("losses of every step", recorded, counts, same, not len(left) and not len(right))
    # Only the recorded run's steps: with --set, the rerun may take digests more often.
    steps = recorded.tensors
    equal_at = [step for step in steps if steps[step] == again.tensors.get(step)]
    texts = f"at {counted(len(steps), 'step')}", f"equal at {len(equal_at)}"
    yield _row("weight digests", recorded, texts, len(equal_at) == len(steps), not steps)


def _metrics(recorded: Evidence, again: Evidence) -> Iterator[tuple[Row, Difference | None]]:
    for name in sorted(recorded.metrics.keys() | again.metrics.keys()):
        left = recorded.metrics.get(name, _NO_POINTS)
        right = again.metrics.get(name, _NO_POINTS)
        # A run logs its last step whatever its number: the rerun's may be in the middle of the
        # recorded run, which has no point there.
        if recorded.steps is not None and recorded.steps not in left["steps"]:
            right = kept_points(right, [step != recorded.steps for step in right["steps"]])
        difference = metric_difference(name, left, right)
        counts = len(left["values"]), len(right["values"])
        texts = counted(counts[0], "point"), counted(counts[1], "point")
        yield (
            _row(f"metric {name}", recorded, texts, difference is None, not any(counts)),
            difference,
        )


def _result_rows(recorded: Evidence, again: Evidence) -> Iterator[Row]:
    if recorded.steps is None:
        same = equal(recorded.result, again.result)
        nothing = recorded.result is None and again.result is None
        yield _row("result", recorded, ("", ""), same, nothing)


def _row(part: str, recorded: Evidence, texts: tuple[str, str], same: bool, nothing: bool) -> Row:
    """Make a row; one with nothing to compare says so and has no part in the verdict."""
    if not nothing:
        return Row(part, *texts, same)
    steps = recorded.steps
    return Row(part, "none recorded" if steps is None else f"none up to step {steps}", "", None)
