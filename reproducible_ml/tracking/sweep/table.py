"""The table of a sweep's results: a row for each combination, with statistics over its seeds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from reproducible_ml.tracking.runs import Run, flat
from reproducible_ml.tracking.sweep.values import SEED, Parameters
from reproducible_ml.utils.redaction import without_secrets

# Name of the metric of an experiment that returns a single number.
BARE = "result"
COLUMNS = ("metric", "mean", "deviation", "confidence_95", "n", "min", "max", "failed")
# Shown only where there are such members.
UNFINISHED = "unfinished"


class Measured(Protocol):
    """The part of a member that the table needs."""

    parameters: Parameters
    measured: dict[str, float] | None

    @property
    def unfinished(self) -> bool:
        """Whether it was interrupted, or not started yet."""


@dataclass(frozen=True)
class Row:
    """A combination of parameters, and one metric over its seeds.

    Attributes:
        parameters: The parameters without the seed.
        metric: Name of the metric; empty if no member of the combination measured anything.
        values: The measured numbers, one for each member.
        failed: Number of members that failed, or did not measure it.
        unfinished: Number of members that were interrupted, or not started yet.
    """

    parameters: Parameters
    metric: str
    values: tuple[float, ...]
    failed: int
    unfinished: int = 0

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation (n - 1); None for fewer than two values."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def confidence_95(self) -> float | None:
        """Half the width of the mean's 95% confidence interval; None for fewer than two values.

        By Student's t with n - 1 degrees of freedom, which assumes normally distributed values.
        """
        if len(self.values) < 2:
            return None
        # Imported here because it takes a second.
        from scipy import stats

        return float(stats.sem(self.values) * stats.t.ppf(0.975, len(self.values) - 1))


def measured(run: Run, metric: str | None) -> dict[str, float]:
    """Return the numbers that a run measured.

    Args:
        run: A completed run.
        metric: A number in its result, or else a metric, whose last point counts; None for all
            numbers in its result.

    Returns:
        Name -> number; empty if the run has no such metric.
    """
    numbers = {
        name or BARE: float(value)
        for name, value in flat(run.result, "").items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    if metric is None:
        return numbers
    if metric in numbers:
        return {metric: numbers[metric]}
    values = run.points.get(metric, {}).get("values") or []
    if not values:
        return {}
    # None stands for NaN in databases that refuse NaN.
    return {metric: math.nan if values[-1] is None else float(values[-1])}


def names_of(run: Run) -> list[str]:
    """Return the names that ``--metric`` could take for a run."""
    return sorted(
        {*measured(run, None), *(name for name, one in run.points.items() if one["values"])}
    )


def make_rows(members: Iterable[Measured], best_first: str | None = None) -> list[Row]:
    """Group members by their parameters without the seed.

    Args:
        members: Completed and failed members.
        best_first: "minimize" or "maximize" sorts by the mean; None keeps the order.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Measured]] = {}
    for member in members:
        key = tuple((k, v) for k, v in member.parameters.items() if k != SEED)
        groups.setdefault(key, []).append(member)
    rows = []
    for key, group in groups.items():
        names = list(dict.fromkeys(name for one in group for name in one.measured or {}))
        for name in names or [""]:
            values = [one.measured[name] for one in group if name in (one.measured or {})]  # type: ignore[index]
            unfinished = sum(one.unfinished for one in group)
            failed = len(group) - len(values) - unfinished
            rows.append(Row(dict(key), name, tuple(values), failed, unfinished))
    if best_first is not None:
        sign = 1 if best_first == "minimize" else -1
        # NaN is never the best mean.
        rows.sort(key=lambda row: (row.metric, math.isnan(row.mean), sign * row.mean))
    return rows


def as_cells(rows: Sequence[Row], keys: Sequence[str]) -> list[list[str]]:
    """Return the cells of a readable table: a header, then numbers with six significant digits.

    Args:
        rows: The rows to show.
        keys: The parameters that differ between rows.
    """
    unfinished = any(row.unfinished for row in rows)
    return [
        [*keys, *COLUMNS, *([UNFINISHED] if unfinished else [])],
        *(
            [
                *(_shown(row, key, "-") for key in keys),
                row.metric or "-",
                *map(
                    _number,
                    (row.mean if row.values else None, row.deviation, row.confidence_95),
                ),
                str(len(row.values)),
                *map(_number, (min(row.values, default=None), max(row.values, default=None))),
                str(row.failed),
                *([str(row.unfinished)] if unfinished else []),
            ]
            for row in rows
        ),
    ]


def as_csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV, with every parameter and all digits of the numbers."""
    keys = list(dict.fromkeys(key for row in rows for key in row.parameters))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*keys, *COLUMNS, UNFINISHED])
    for row in rows:
        numbers: Mapping[str, Any] = {
            "mean": row.mean if row.values else None,
            "deviation": row.deviation,
            "confidence_95": row.confidence_95,
            "n": len(row.values),
            "min": min(row.values, default=None),
            "max": max(row.values, default=None),
            "failed": row.failed,
            UNFINISHED: row.unfinished,
        }
        cells = ["" if one is None else repr(one) for one in numbers.values()]
        writer.writerow([*(_shown(row, key, "") for key in keys), row.metric, *cells])
    return text.getvalue()


def _shown(row: Row, key: str, absent: str) -> str:
    return str(without_secrets(row.parameters.get(key, absent), key))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
