"""A stopped training says how to resume it: at its end, in ``show``, and when it is reproduced."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.tracking.runs.resuming import newest_checkpoint, resume_command
from tests.experiments.running import environment

EXPERIMENT = {"module": "experiments.mnist_wgan"}
INFO = {"model_dir": "models/mnist_wgan-6"}


def meta(*words, **options):
    """Return what a record holds of a call."""
    return {"options": {"UPDATE": list(words), "--file_storage": None, **options}}


def test_the_command_is_the_one_that_was_typed_with_the_folder_behind_it():
    typed = meta("digits", "gen_lr=1e-4", "name=a b", "model_dir=models/old")
    assert resume_command(EXPERIMENT, typed, INFO, "INTERRUPTED") == (
        "python -m experiments.mnist_wgan with digits gen_lr=1e-4 'name=a b' "
        "model_dir=models/mnist_wgan-6"
    )


def test_the_command_records_where_the_stopped_run_was_recorded():
    typed = meta("digits", **{"--file_storage": "kept", "--mongo_db": "mongodb://host/sacred"})
    command = resume_command(EXPERIMENT, typed, INFO, "FAILED")
    assert command.endswith("model_dir=models/mnist_wgan-6 -F kept -m mongodb://host/sacred")


def test_a_run_from_a_notebook_is_told_by_its_updates():
    called = {"named_configs": ["digits"], "config_updates": {"seed": 7, "name": "5"}}
    assert resume_command(EXPERIMENT, called, INFO, "FAILED") == (
        "python -m experiments.mnist_wgan with digits seed=7 'name='\"'\"'5'\"'\"'' "
        "model_dir=models/mnist_wgan-6"
    )


@pytest.mark.parametrize(
    ("status", "info", "trace"),
    [
        ("COMPLETED", INFO, []),
        ("RUNNING", INFO, []),
        ("DEAD", INFO, []),
        ("FAILED", {}, []),
        ("FAILED", INFO, ["Traceback\n", "x.ConfigError: model_dir has other settings\n"]),
    ],
)
def test_where_nothing_can_be_resumed_nothing_is_said(status, info, trace):
    assert resume_command(EXPERIMENT, meta("digits"), info, status, trace) == ""


def test_the_newest_checkpoint_is_that_of_the_largest_step(tmp_path):
    for step in (90, 100, 9):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    info = {"model_dir": ".", "stage": {"cwd": str(tmp_path)}}
    assert newest_checkpoint(info) == (tmp_path / "model.ckpt-100", 100)
    assert newest_checkpoint({**info, "model_dir": "gone"}) is None


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A training that got Ctrl-C behind its first checkpoints: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("interrupted")
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.mnist_wgan", "with", "smoke", "max_steps=100000"],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    with process:
        for line in process.stdout:
            lines.append(line)
            # The second line of steps comes after many of them: checkpoints lie there.
            if sum(one.startswith("step ") for one in lines) == 2 and line.startswith("step "):
                process.send_signal(signal.SIGINT)
    return folder, "".join(lines)


def show(run_id):
    """Return what ``show`` prints, its blanks drawn together."""
    output = CliRunner().invoke(main, ["show", run_id], env={"COLUMNS": ""}).output
    return " ".join(output.split())


@pytest.fixture
def _there(interrupted, monkeypatch):
    monkeypatch.chdir(interrupted[0])


@pytest.mark.usefixtures("_there")
def test_after_ctrl_c_the_printed_command_resumes(interrupted):
    folder, output = interrupted
    (line,) = [line for line in output.splitlines() if line.startswith("Resume:")]
    command = line.partition(":")[2].strip()
    assert command == (
        "python -m experiments.mnist_wgan with smoke max_steps=100000 model_dir=models/mnist_wgan-1"
    )
    assert f"resume {command}" in show("1")
    said = CliRunner().invoke(main, ["reproduce", "1"]).output
    assert f"Resume it with: {command}; then reproduce that run." in said
    step = max(int(path.stem.split("-")[1]) for path in folder.glob("models/*/*.index"))
    words = shlex.split(command.replace("max_steps=100000", f"max_steps={step + 1}"))
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"Step {step + 1}, digest" in done.stdout


@pytest.mark.usefixtures("_there")
def test_a_stopped_run_shows_its_folder_and_its_newest_checkpoint(interrupted):
    words = show("1")
    assert "model_dir models/mnist_wgan-1 (of this run's own)" in words
    folder = os.path.join(os.getcwd(), "models", "mnist_wgan-1")
    assert f"Checkpoint path {folder}/model.ckpt-" in words
    assert "the newest that lies there now" in words


@pytest.mark.usefixtures("_there")
def test_values_that_the_configuration_leaves_open_are_shown_as_they_were_used(interrupted):
    settings = json.loads((interrupted[0] / "runs" / "1" / "info.json").read_text())["settings"]
    words = show("1")
    # The practical values of docs/gan-types.md.
    assert settings["gen_lr"] == 5e-4
    assert "gen_lr 0.0005 (from wgan, practical)" in words
    assert "critic_steps 2 (from wgan, practical)" in words
    assert "batch_size 8 " in words
