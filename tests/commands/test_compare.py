"""``reproducible-ml compare`` names what two runs differ in, and says so with its exit code."""

import json
import shutil
import struct
from datetime import datetime, timedelta, timezone

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from tests.tracking import lab


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return lab.recorded(tmp_path_factory).parent


def call(*arguments, width=None):
    """Return exit code and output of the command."""
    env = {"COLUMNS": "" if width is None else str(width)}
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)], env=env)
    return done.exit_code, done.output


def float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def test_equal_results_are_exit_code_0_whatever_else_differs(folder):
    code, output = call("1", "2", "-F", folder / "fits")
    assert code == 0
    assert "config: 1 key differs\n" in output
    assert output.endswith("The results are identical, bit for bit.\n")


def test_the_first_differing_step_is_found_in_the_log_of_every_step(folder):
    code, output = call("1", "3", "-F", folder / "fits")
    assert code == 1
    # The metric of this run was logged at every fifth step only, and differs at 15 first.
    assert "at step 15" in output
    a, b = float32(1 / 13), float32(1 / 13 + 0.125)
    assert f"First difference at step 13: critic_loss {-a!r} / {-b!r}; generator_loss " in output
    assert output.endswith("The results differ.\n")


def test_a_difference_in_a_variable_alone_makes_results_differ(folder):
    code, output = call("1", "4", "-F", folder / "fits")
    assert code == 1
    assert "metrics: same" in output
    assert (
        "First difference between step 10 (equal) and step 15: variable w "
        f"(digest {15:08x} / {1015:08x}) at step 15." in output
    )


def test_a_training_that_stopped_earlier_is_equal_as_far_as_it_went(folder, tmp_path):
    copied = shutil.copytree(folder / "fits", tmp_path / "copied")
    log = copied / "2" / "steps.log"
    log.write_bytes(log.read_bytes()[: 16 * 12])
    run = json.loads((copied / "2" / "run.json").read_text())
    (copied / "2" / "run.json").write_text(json.dumps({**run, "result": {"step": 12}}))
    code, output = call("1", "2", "-F", copied)
    assert code == 1
    assert output.endswith("The results differ.\nThe 12 steps that both have logged are equal.\n")


def test_without_logs_of_steps_the_first_differing_point_is_named(folder):
    code, output = call("1", "3", "-F", folder / "runs")
    assert code == 1
    assert "First differing point: loss at step 10: 0.5 / 1.0.\n" in output


def test_sources_are_summed_up_and_shown_with_diff(folder, tmp_path):
    copied = shutil.copytree(folder / "fits", tmp_path / "copied")
    run = json.loads((copied / "2" / "run.json").read_text())
    for one in run["experiment"]["sources"]:
        if one[0] == "lab/changed.py":
            one[1] = "_sources/edited.py"
    (copied / "_sources" / "edited.py").write_text("after = 3\n")
    (copied / "2" / "run.json").write_text(json.dumps(run))
    code, output = call("1", "2", "-F", copied)
    assert code == 0
    assert "sources: 1 file differs\n  lab/changed.py  +1  -1\n" in output
    assert "after = 3" not in output
    assert "\n-after = 2\n+after = 3\n" in call("1", "2", "-F", copied, "--diff")[1]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("1", "9", "Error: There is no run 9 in "),
        ("1", "2", "cannot be compared: the experiments differ: train and make."),
    ],
)
def test_what_cannot_be_compared_is_exit_code_2_with_the_reason(folder, a, b, said):
    code, output = call(a, b, "-F", folder / "runs")
    assert code == 2
    assert said in output


def test_a_run_that_is_not_over_cannot_be_compared(folder, tmp_path):
    copied = shutil.copytree(folder / "fits", tmp_path / "copied")
    (copied / "2" / "journal.log").unlink()
    run = json.loads((copied / "2" / "run.json").read_text())
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    for heartbeat, status in ((now, "RUNNING"), (now - timedelta(minutes=3), "DEAD")):
        beat = {"status": "RUNNING", "heartbeat": heartbeat.isoformat()}
        (copied / "2" / "run.json").write_text(json.dumps({**run, **beat}))
        code, output = call("1", "2", "-F", copied)
        assert code == 2
        assert f"The results cannot be compared: run 2 is {status}.\n" in output


def test_a_folder_that_is_missing_is_exit_code_2():
    code, output = call("1", "2", "-F", "nowhere")
    assert (code, output[:39]) == (2, "Error: There is no folder of runs 'nowh")


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(folder, width):
    lines = call("1", "3", "-F", folder / "runs", width=width)[1].splitlines()
    assert max(map(len, lines)) <= width


def test_json_holds_every_difference(folder):
    code, output = call("1", "3", "-F", folder / "fits", "--json")
    found = json.loads(output)
    assert (code, found["identical"], found["not_comparable"]) == (1, False, "")
    assert found["first_divergence"]["step"] == 13
    assert [one["section"] for one in found["differences"]] == ["config", "metrics", "result"]


def test_what_neither_run_has_is_no_difference(folder, tmp_path):
    copied = shutil.copytree(folder / "fits", tmp_path / "copied")
    config = json.loads((copied / "2" / "config.json").read_text())
    # One run's configuration has a key that is None, the other's lacks it.
    (copied / "2" / "config.json").write_text(json.dumps({**config, "batch_size": None}))
    _, output = call("1", "2", "-F", copied)
    assert "config: 1 key differs\n" in output
    assert "batch_size" not in output


def test_values_from_the_type_are_compared_and_told_apart_from_configured_ones(folder, tmp_path):
    copied = shutil.copytree(folder / "fits", tmp_path / "copied")
    for run_id, given, used in (("1", None, 5e-4), ("2", 5e-4, 5e-4), ("3", 1e-3, 1e-3)):
        for name, more in (
            ("config", {"gan_type": "wgan", "defaults": "practical", "gen_lr": given}),
            ("info", {"settings": {"gen_lr": used}}),
        ):
            path = copied / run_id / f"{name}.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
    assert "gen_lr" not in call("1", "2", "-F", copied)[1]
    line = next(line for line in call("1", "3", "-F", copied)[1].splitlines() if "gen_lr" in line)
    assert line.split() == ["gen_lr", "0.0005", "(from", "wgan,", "practical)", "0.001"]


def test_a_run_that_ends_earlier_is_told_as_that_and_not_as_a_difference(folder, tmp_path):
    copied = shutil.copytree(folder / "runs", tmp_path / "copied")
    metrics = json.loads((copied / "1" / "metrics.json").read_text())
    for name, change in (("metrics", metrics), ("run", {"result": {"step": 20}})):
        path = copied / "2" / f"{name}.json"
        if name == "metrics":
            shorter = {
                metric: {part: items[:2] for part, items in columns.items()}
                for metric, columns in change.items()
            }
            path.write_text(json.dumps(shorter))
        else:
            run = json.loads((copied / "1" / "run.json").read_text())
            path.write_text(json.dumps({**run, **change}))
    (copied / "2" / "journal.log").unlink()
    code, output = call("1", "2", "-F", copied)
    assert code == 1
    assert output.endswith(
        "Run 2 ends at step 20.\nThe results differ.\n"
        "Up to step 20 the metrics of both are equal.\n"
    )
    assert "First differing point" not in output
