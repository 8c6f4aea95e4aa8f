"""Curves are thinned without losing a peak or a gap, and stay inside their plot."""

import math
import re

import numpy as np
import pytest

from reproducible_ml.report.curves import HEIGHT, MOST_POINTS, WIDTH, make_plots, thinned, ticks


def places(path):
    """Return the corners of an SVG path as pairs of numbers."""
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)]


def test_a_short_line_keeps_every_point():
    assert thinned([3.0, 1.0, 2.0]) == [0, 1, 2]


@pytest.mark.parametrize("count", [2001, 10_000, 123_457])
def test_a_long_line_keeps_both_ends_every_peak_and_every_gap(count):
    values = np.random.default_rng(1).normal(size=count)
    values[count // 3] = 50.0
    values[count // 2] = -60.0
    values[count // 4] = math.nan
    kept = thinned(values.tolist())
    assert len(kept) <= MOST_POINTS
    assert kept == sorted(set(kept))
    assert {0, count - 1, count // 3, count // 2, count // 4} <= set(kept)


def test_points_lie_where_their_step_and_value_say():
    points = {"loss": {"steps": [0, 50, 100], "values": [1.0, 3.0, 2.0]}}
    (plot,) = make_plots([("Run 1", points)])
    found = dict.fromkeys(places(plot.lines[0].path))
    # A margin of 6% of the range above and below: 1 lies 0.12 of 2.24 above the lower edge.
    expected = [(0, 0.12), (WIDTH / 2, 2.12), (WIDTH, 1.12)]
    assert list(found) == pytest.approx(
        [pytest.approx((x, HEIGHT * (1 - y / 2.24)), abs=0.051) for x, y in expected]
    )


def test_what_is_not_finite_leaves_a_gap_and_is_counted():
    values = [1.0, math.nan, 2.0, None, math.inf, 3.0, 4.0]
    points = {"loss": {"steps": [1, 2, 3, 4, 5, 6, 7], "values": values}}
    (plot,) = make_plots([("Run 1", points)])
    (line,) = plot.lines
    assert line.path.count("M") == 3
    assert line.not_finite == 3
    assert line.values == [1.0, "nan", 2.0, "nan", "inf", 3.0, 4.0]


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e308, -7.5])
def test_a_constant_or_single_point_is_drawn_inside(value):
    (plot,) = make_plots([("Run 1", {"loss": {"steps": [5], "values": [value]}})])
    ((x, y), _) = places(plot.lines[0].path)
    assert (x, y) == (WIDTH / 2, pytest.approx(HEIGHT / 2))


def test_extreme_values_overflow_nothing():
    points = {"loss": {"steps": [1, 2], "values": [-1.7e308, 1.7e308]}}
    (plot,) = make_plots([("Run 1", points)])
    assert all(0 <= y <= HEIGHT for _, y in places(plot.lines[0].path))


def test_runs_of_one_metric_share_a_plot_and_its_scale():
    runs = [
        ("Run 1", {"loss": {"steps": [1, 2], "values": [1.0, 2.0]}}),
        ("Run 2", {}),
        (
            "Run 3",
            {"loss": {"steps": [2, 4], "values": [2.0, 4.0]}, "odd": {"steps": [], "values": []}},
        ),
    ]
    (plot,) = make_plots(runs)
    assert [(line.run, line.label) for line in plot.lines] == [(0, "Run 1"), (2, "Run 3")]
    assert (plot.first_step, plot.last_step) == (1, 4)
    assert places(plot.lines[0].path)[-1] == places(plot.lines[1].path)[0]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 500, ["0", "100", "200", "300", "400", "500"]),
        (-0.3, 0.2, ["-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2"]),
        (0, 4_000_000, ["0", "1e+06", "2e+06", "3e+06", "4e+06"]),
        (7, 7, ["7"]),
    ],
)
def test_ticks_are_round_numbers(low, high, labels):
    assert [label for _, label in ticks(low, high)] == labels


def test_ticks_of_steps_are_whole():
    assert [label for _, label in ticks(2, 4, least=1)] == ["2", "3", "4"]
