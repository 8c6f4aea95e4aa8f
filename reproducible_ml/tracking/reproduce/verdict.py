"""Whether two runs of one stage gave the same bits, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.reproduce.comparison import (
    SPEED_METRICS,
    Difference,
    equal,
    metric_difference,
)
from reproducible_ml.tracking.reproduce.divergence import Divergence, divergence_of, step_logs
from reproducible_ml.tracking.runs import Run
from reproducible_ml.utils.text import SHORT_DIGEST, counted

IDENTICAL, DIFFERS = "identical", "differs"
_NO_POINTS: Mapping[str, Any] = {"steps": [], "values": []}


@dataclass(frozen=True)
class Row:
    """One part of the comparison, as texts.

    Attributes:
        part: What is compared.
        recorded: The record's side.
        again: The second execution's.
        equal: Whether both are the same bit for bit.
        compared: Whether there was anything to compare.
    """

    part: str
    recorded: str
    again: str
    equal: bool
    compared: bool = True


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison.

    Attributes:
        rows: Every part that was compared.
        divergence: The first difference in the steps, if there is one.
        metric: The first differing point of a metric, if there is one.
        steps: Steps that were compared, where that is not all; None for all.
    """

    rows: tuple[Row, ...]
    divergence: Divergence | None
    metric: Difference | None
    steps: int | None = None

    @property
    def word(self) -> str:
        """``identical`` or ``differs``."""
        return IDENTICAL if all(row.equal for row in self.rows) else DIFFERS

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
        parts = ", ".join(row.part for row in self.rows if not row.equal)
        return f"{DIFFERS} in {parts}"


def judge(recorded: Run, again: Run, steps: int | None = None) -> Verdict:
    """Compare two executions of one stage bit for bit.

    Args:
        recorded: The run as it was.
        again: Its second execution.
        steps: Compare this many steps only; None compares everything, the final state included.
    """
    rows = []
    if steps is None:
        for name, digest in sorted((recorded.info.get("digest") or {}).items()):
            other = (again.info.get("digest") or {}).get(name)
            rows.append(Row(name, _short(digest), _short(other), digest == other))
    log, other_log = step_logs(recorded), step_logs(again)
    if log is not None and other_log is not None:
        (left, tensors), (right, other_tensors) = log, other_log
        count = steps or len(left)
        rows.append(
            Row(
                "losses of every step",
                counted(min(count, len(left)), "step"),
                counted(min(count, len(right)), "step"),
                left[:count].tobytes() == right[:count].tobytes(),
            )
        )
        common = [step for step in tensors if steps is None or step <= steps]
        same = [step for step in common if tensors[step] == other_tensors.get(step)]
        if common:
            told = f"at {counted(len(common), 'step')}", f"equal at {len(same)}"
        else:
            told = "none recorded", ""
        equal_there = len(same) == len(common)
        rows.append(Row("variables every so many steps", *told, equal_there, bool(common)))
    metrics = _metrics(recorded, again, steps)
    rows += [row for row, _ in metrics]
    if steps is None:
        rows.append(Row("result", "", "", equal(recorded.result, again.result)))
    differences = [difference for _, difference in metrics if difference is not None]
    return Verdict(
        tuple(rows),
        divergence_of(recorded, again),
        min(differences, key=lambda one: (one.step or 0, one.name), default=None),
        steps,
    )


def _metrics(recorded: Run, again: Run, steps: int | None) -> list[tuple[Row, Difference | None]]:
    found = []
    for name in sorted(recorded.points.keys() | again.points.keys()):
        if name in SPEED_METRICS:
            continue
        left, right = (run.points.get(name, _NO_POINTS) for run in (recorded, again))
        if steps is not None:
            # A training logs its last step whatever its number, which here is another one.
            kept = {step for step in left["steps"] if step <= steps}
            left, right = _at_steps(left, kept), _at_steps(right, kept)
        difference = metric_difference(name, left, right)
        row = Row(
            f"metric {name}",
            counted(len(left["values"]), "point"),
            counted(len(right["values"]), "point"),
            difference is None,
        )
        found.append((row, difference))
    return found


def _at_steps(points: Mapping[str, Any], steps: set[Any]) -> dict[str, list[Any]]:
    indices = [index for index, step in enumerate(points["steps"]) if step in steps]
    return {name: [points[name][index] for index in indices] for name in ("steps", "values")}


def _short(digest: Any) -> str:
    return "none" if digest is None else str(digest)[:SHORT_DIGEST]
