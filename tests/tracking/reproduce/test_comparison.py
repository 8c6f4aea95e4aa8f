"""What two runs differ in is found and named; what differs between any two runs is not."""

import dataclasses
import json
import math
import shutil

import pytest

from reproducible_ml.tracking.reproduce.comparison import (
    changed_lines,
    compare_runs,
    equal,
    first_difference,
)
from reproducible_ml.tracking.runs.run import load_run
from tests.tracking import lab


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return lab.recorded(tmp_path_factory).parent


@pytest.fixture
def copied(folder, tmp_path):
    """A second folder of the same runs, to be changed by a test."""
    return shutil.copytree(folder / "runs", tmp_path / "copied")


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def found(comparison):
    return [(one.section, one.name, one.a, one.b) for one in comparison.differences]


def test_a_run_does_not_differ_from_itself(folder):
    comparison = compare_runs(load_run(1, folder / "runs"), load_run(1, folder / "runs"))
    assert comparison.differences == ()
    assert comparison.identical


def test_the_speed_of_a_run_is_no_difference_of_its_result(folder):
    comparison = compare_runs(*(load_run(number, folder / "fits") for number in (1, 2)))
    assert found(comparison) == [("config", "speed", 1.0, 2.0)]
    assert comparison.identical


def test_config_metrics_and_result_are_named_with_both_values(folder):
    comparison = compare_runs(*(load_run(number, folder / "fits") for number in (1, 3)))
    assert not comparison.identical
    assert [one[:2] for one in found(comparison)] == [
        ("config", "parts_at"),
        ("metrics", "generator_loss"),
        ("result", "result.loss"),
    ]
    metric = comparison.first_metric
    assert (metric.step, metric.a, metric.b) == (15, 1 / 15, 1 / 15 + 0.125)
    assert comparison.of("result")[0].b == 1 / 20 + 0.125


def test_a_changed_an_added_and_a_removed_source_are_named_with_their_lines(folder, copied):
    def change(run):
        sources = run["experiment"]["sources"]
        (copied / "_sources" / "edited.py").write_text("after = 2\nmore = 3\n")
        (copied / "_sources" / "bare.py").write_text("x = 1")
        for one in sources:
            if one[0] == "lab/changed.py":
                one[1] = "_sources/edited.py"
        run["experiment"]["sources"] = [one for one in sources if one[0] != "lab/make.py"]
        run["experiment"]["sources"].append(["lab/bare.py", "_sources/bare.py"])

    edit(copied / "1" / "run.json", change)
    comparison = compare_runs(load_run(1, folder / "runs"), load_run(1, copied))
    bare, changed, gone = comparison.differences
    assert {one.section for one in comparison.differences} == {"sources"}
    assert (bare.name, bare.a, changed_lines(bare.detail)) == ("lab/bare.py", None, (1, 0))
    assert bare.detail.endswith("+x = 1\n\\ No newline at end of file\n")
    assert (changed.name, changed_lines(changed.detail)) == ("lab/changed.py", (1, 0))
    assert changed.detail.startswith("--- a/lab/changed.py\n+++ b/lab/changed.py\n")
    assert (gone.name, gone.b) == ("lab/make.py", None)
    assert changed_lines(gone.detail) == (0, lab.MAKE.count("\n"))
    assert comparison.identical


def test_another_package_thread_count_flag_and_data_set_are_named(folder, copied):
    def change(info):
        environment = info["environment"]
        environment["packages"]["numpy"] = "1.0"
        environment["threads"]["OMP_NUM_THREADS"] = "7"
        environment["cpu"]["flags"] = [one for one in environment["cpu"]["flags"] if one != "sse2"]
        environment["git"]["branch"] = "other"
        info["dataset"]["records"]["fingerprint"] = "00"
        info["dataset"]["records"]["record_dir"] = "/elsewhere"

    before = load_run(1, folder / "runs")
    had_sse2 = "sse2" in before.environment["cpu"]["flags"]
    edit(copied / "1" / "info.json", change)
    names = [one[:2] for one in found(compare_runs(before, load_run(1, copied)))]
    assert names == [
        ("data", "records.fingerprint"),
        *([("environment", "cpu.flags.sse2")] if had_sse2 else []),
        ("environment", "packages.numpy"),
        ("environment", "threads.OMP_NUM_THREADS"),
    ]


def test_an_edited_point_a_shorter_stream_and_another_status_are_named(folder, copied):
    def edit_point(metrics):
        metrics["loss"]["values"][1] = 0.25000000000000006
        for column in metrics["odd"].values():
            column.pop()

    # Without its journal a run is what its metrics.json says.
    (copied / "1" / "journal.log").unlink()
    edit(copied / "1" / "metrics.json", edit_point)
    edit(copied / "1" / "run.json", lambda run: run.update(status="FAILED"))
    comparison = compare_runs(load_run(1, folder / "runs"), load_run(1, copied))
    loss, odd, status = comparison.differences
    assert (loss.name, loss.step, loss.a, loss.b) == ("loss", 20, 0.25, 0.25000000000000006)
    assert (odd.name, odd.step, odd.a, odd.b) == ("odd", 30, 3.0, None)
    assert "3 and 2 points" in odd.detail
    assert (status.section, status.a, status.b) == ("result", "COMPLETED", "FAILED")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (math.nan, math.nan, True),
        (0.0, -0.0, False),
        (1.0, 1, True),
        (0.1 + 0.2, 0.3, False),
        (math.inf, math.inf, True),
        (True, 1, False),
        ([1, 2.0], (1, 2), True),
        ({"a": [math.nan]}, {"a": [math.nan]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
        (True, 1.0, False),
        (2**70, float(2**70), True),
        # The nearest float of an integer is not always equal to it.
        (2**53 + 1, float(2**53), False),
        (10**400, math.inf, False),
        (None, 0.0, False),
    ],
)
def test_values_are_the_same_by_their_bits(a, b, same):
    assert equal(a, b) is same
    assert equal(b, a) is same


@pytest.mark.parametrize(
    ("steps", "values", "index"),
    [
        ([1, 2, 3], [0.5, math.nan, 1.0], None),
        ([1, 2, 3], [0.5, None, 1.0], None),
        ([1, 2, 3], [0.5, math.nan, 2.0], 2),
        ([1, 2, 4], [0.5, math.nan, 1.0], 2),
        ([1, 2], [0.5, math.nan], 2),
        ([], [], 0),
    ],
)
def test_the_first_point_that_differs_is_found(steps, values, index):
    stream = {"steps": [1, 2, 3], "values": [0.5, math.nan, 1.0]}
    assert first_difference(stream, {"steps": steps, "values": values}) == index
    assert first_difference({"steps": steps, "values": values}, stream) == index


def test_differences_cannot_be_changed_by_their_readers(folder):
    comparison = compare_runs(*(load_run(number, folder / "fits") for number in (1, 3)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        comparison.differences[0].a = 1
