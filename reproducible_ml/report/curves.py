"""Metric curves as SVG paths, thinned so that the report of a long run stays small.

Coordinates of a plot are 0 to ``WIDTH`` and 0 to ``HEIGHT``. The page stretches plots to any size
without changing the width of lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.runs import read_number

MOST_POINTS = 2000
WIDTH, HEIGHT = 1000.0, 300.0
_TICKS = 5
# Space above and below a curve, as a share of its range.
_MARGIN = 0.06


@dataclass(frozen=True)
class Line:
    """One run's points of a metric.

    Attributes:
        run: Index of the run in the report.
        label: Name of the run in the legend.
        steps: Steps, in order.
        values: Values at the steps; "nan", "inf" or "-inf" if not finite.
        path: The SVG path; empty if no value is finite.
        points: Number of recorded points, of which ``steps`` may be a selection.
        not_finite: Number of recorded points that are NaN or infinite.
    """

    run: int
    label: str
    steps: list[float]
    values: list[float | str]
    path: str
    points: int
    not_finite: int


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in percent from the left or top, and its label."""

    percent: float
    label: str


@dataclass(frozen=True)
class Plot:
    """One metric of all runs that recorded it.

    Attributes:
        name: The metric.
        lines: A line for each run.
        x_ticks: Marks on the axis of steps.
        y_ticks: Marks on the axis of values.
        first_step: The step at the left edge.
        last_step: The step at the right edge.
    """

    name: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    first_step: float
    last_step: float

    @property
    def is_single(self) -> bool:
        """Whether no run has more than one point."""
        return all(line.points == 1 for line in self.lines)


def make_plots(metrics: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> list[Plot]:
    """Lay out the metrics of some runs, with one plot for each name.

    Args:
        metrics: Label and ``Run.points`` of each run.

    Returns:
        The plots, sorted by name; a metric without points has no plot.
    """
    names = sorted({name for _, points in metrics for name, one in points.items() if one["values"]})
    return [_plot(name, metrics) for name in names]


def _plot(name: str, metrics: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> Plot:
    streams = []
    for run, (label, points) in enumerate(metrics):
        one = points.get(name)
        if one and one["values"]:
            numbers = [_finite_or_not(value) for value in one["values"]]
            # A resumed run may have logged a step twice; the sort is stable.
            pairs = sorted(zip(map(float, one["steps"]), numbers), key=lambda pair: pair[0])
            streams.append((run, label, pairs))
    x_low = min(pairs[0][0] for _, _, pairs in streams)
    x_high = max(pairs[-1][0] for _, _, pairs in streams)
    finite = [y for _, _, pairs in streams for _, y in pairs if math.isfinite(y)]
    y_low, y_high = _bounds(finite)
    steps = ticks(x_low, x_high, least=1)
    x_ticks = [Tick(100 * _share(at, x_low, x_high), text) for at, text in steps]
    y_ticks = [
        Tick(100 * (1 - _share(at, y_low, y_high)), text) for at, text in ticks(y_low, y_high)
    ]
    lines = []
    for run, label, pairs in streams:
        kept = [pairs[index] for index in thinned([y for _, y in pairs])]
        places = [
            (WIDTH * _share(x, x_low, x_high), HEIGHT * (1 - _share(y, y_low, y_high)))
            if math.isfinite(y)
            else None
            for x, y in kept
        ]
        lines.append(
            Line(
                run,
                label,
                [x for x, _ in kept],
                [y if math.isfinite(y) else repr(y) for _, y in kept],
                _path(places),
                len(pairs),
                sum(not math.isfinite(y) for _, y in pairs),
            )
        )
    return Plot(name, lines, x_ticks, y_ticks if finite else [], x_low, x_high)


def thinned(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """Choose the points through which a line is drawn.

    The line is divided into equal stretches. The lowest, the highest and the first non-finite point
    of each are kept, so no peak or gap is lost, and so are the line's first and last point.

    Args:
        values: The line's values.
        most: Largest number of points to keep.

    Returns:
        The indices of the points to keep, in order.
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    stretches = (most - 2) // 3
    kept = {0, count - 1}
    for number in range(stretches):
        stretch = range(number * count // stretches, (number + 1) * count // stretches)
        finite = [index for index in stretch if math.isfinite(values[index])]
        if finite:
            kept.add(min(finite, key=values.__getitem__))
            kept.add(max(finite, key=values.__getitem__))
        if len(finite) < len(stretch):
            kept.add(next(index for index in stretch if not math.isfinite(values[index])))
    return sorted(kept)


def ticks(low: float, high: float, least: float = 0) -> list[tuple[float, str]]:
    """Return round numbers between two bounds, with their labels.

    Args:
        low: The lower bound.
        high: The upper bound.
        least: Smallest distance between two numbers; 1 for steps, which are integers.
    """
    if not high > low:
        return [(low, f"{low:g}")]
    rough = max(high / _TICKS - low / _TICKS, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    # A bound that is a round number except for rounding errors is a tick too.
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    large = max(abs(low), abs(high)) >= 1e6 or digits > 5
    return [
        (number * step, f"{number * step:.3g}" if large else f"{number * step:,.{digits}f}")
        for number in range(first, last + 1)
    ]


def _bounds(finite: Sequence[float]) -> tuple[float, float]:
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if low == high:
        around = abs(low) * 0.1 or 1.0
        return low - around, high + around
    # Halved first, since the range between two doubles may overflow.
    margin = (high / 2 - low / 2) * 2 * _MARGIN
    return (low - margin, high + margin) if math.isfinite(high - low + margin) else (low, high)


def _share(value: float, low: float, high: float) -> float:
    if not high > low:
        return 0.5
    return min(1.0, max(0.0, (value / 2 - low / 2) / (high / 2 - low / 2)))


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """Write an SVG path with gaps where there is no place."""
    parts = []
    letter = "M"
    for place in places:
        if place is None:
            letter = "M"
            continue
        parts.append(f"{letter}{place[0]:.1f} {place[1]:.1f}")
        # A line of length 0 to itself: its round ends show a lone point as a dot.
        if letter == "M":
            parts.append(f"L{place[0]:.1f} {place[1]:.1f}")
        letter = "L"
    return "".join(parts)


def _finite_or_not(value: Any) -> float:
    try:
        return float(read_number(value))
    except (TypeError, ValueError, OverflowError):
        return math.nan
