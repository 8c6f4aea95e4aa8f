"""Signals that stop a run: recorded as INTERRUPTED within the grace period, with exit code 143."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from reproducible_ml import process
from reproducible_ml.utils.errors import ConfigError
from tests import warm

ROOT = Path(__file__).parents[2]
TOY = """
import os, sys, time
from pathlib import Path
from reproducible_ml.process import asked_to_stop
from reproducible_ml.tracking import experiment

ex = experiment("toy", types={"model_dir": (str, None)}, writes=["model_dir"])

@ex.config
def config():
    seed = 1
    mode = "sleep"
    model_dir = None

@ex.main
def main(_run, mode):
    for step in range(100000):
        _run.log_scalar("loss", step / 2, step)
        if step == 20:
            Path("ready").touch()
        while mode == "deaf" and step == 20:
            try:
                time.sleep(60)
            except BaseException:
                pass
        if mode == "finishing" and Path("ready").exists():
            return step
        time.sleep(0.002)

@ex.post_run_hook
def after(mode):
    if mode == "finishing":
        time.sleep(0.1)

if "called" in sys.argv:
    ex.run()
elif __name__ == "__main__":
    ex.run_commandline()
"""


def start(*words):
    Path("toy.py").write_text(TOY, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return warm.Python("-m", "toy", *words, cwd=Path.cwd(), environment=environment)


def wait_for(path, python):
    deadline = time.monotonic() + 60
    while not Path(path).exists():
        assert python.returncode is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stopped(*words, number=signal.SIGTERM):
    """Start it, stop it when it runs; return exit code, what it printed, and for how long."""
    python = start(*words)
    wait_for("ready", python)
    began = time.monotonic()
    python.send_signal(number)
    printed = python.communicate(timeout=60)
    os.remove("ready")
    return python.returncode, printed, time.monotonic() - began


def recorded(number=1):
    folder = Path("runs", str(number))
    run = json.loads((folder / "run.json").read_text())
    points = json.loads((folder / "metrics.json").read_text())
    return run["status"], points["loss"]["steps"]


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ((), signal.SIGTERM),
        (("called",), signal.SIGTERM),
        (("with", "mode=sleep", "--stop-on", "TERM,USR1"), signal.SIGUSR1),
    ],
)
def test_a_stopped_experiment_is_recorded_and_its_exit_code_says_so(words, number):
    code, (_, errors), seconds = stopped(*words, number=number)
    assert code == process.STOPPED_EXIT == 143
    assert "Traceback" not in errors
    assert seconds < 8
    status, steps = recorded()
    assert status == "INTERRUPTED"
    assert len(steps) > 20
    assert steps == list(range(len(steps)))
    assert not Path("runs/1/.lease").exists()


def test_one_that_does_not_stop_is_ended_with_its_record_when_the_grace_period_is_over():
    code, (printed, errors), seconds = stopped("with", "mode=deaf", "--grace", "0.5")
    assert code == 143
    assert 0.5 <= seconds < 5
    assert "The grace period is over; what the last checkpoint lacks is lost." in errors
    assert "Run 1: runs/1" in printed
    status, steps = recorded()
    assert (status, steps) == ("INTERRUPTED", list(range(len(steps))))


def test_a_second_start_is_refused_before_it_is_recorded():
    first = start("with", "model_dir=models/one")
    wait_for("ready", first)
    second = start("with", "model_dir=./models/../models/one")
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    (line,) = [one for one in errors.splitlines() if one.startswith("Error: ")]
    assert f"models/one is being written by process {first.process.pid} on" in line
    assert f"stop it (kill {first.process.pid}), or name another folder." in line
    assert sorted(path.name for path in Path("runs").iterdir() if path.name.isdigit()) == ["1"]
    first.send_signal(signal.SIGKILL)
    first.communicate()
    os.remove("ready")
    # Killed: the next start takes over, in another run, since nothing was trained yet.
    code, (_, errors), _ = stopped("with", "model_dir=models/one")
    assert code == 143
    assert f"models/one was held by process {first.process.pid} on" in errors
    assert "which is gone." in errors
    assert list(Path("models").iterdir()) == []


def test_names_of_signals_and_grace_periods_are_checked():
    assert process.stop_signals("term, SIGUSR1") == [signal.SIGTERM, signal.SIGUSR1]
    for wrong in ("KILL", "", "9", "STOP"):
        with pytest.raises(ConfigError, match="is no signal that can end a run"):
            process.stop_signals(wrong)
    for wrong in ("-1", "soon", "nan", None):
        with pytest.raises(ConfigError, match="expected a number of seconds from 0"):
            process.grace_seconds(wrong)


def listen():
    return process.listening([signal.SIGUSR2], 60, lambda: None)


def test_a_signal_waits_for_what_is_being_recorded_and_for_the_end_of_a_step():
    done = []

    def records():
        with process.undisturbed():
            os.kill(os.getpid(), signal.SIGUSR2)
            done.append("recorded")
        done.append("not reached")

    def trains():
        with process.between_steps() as begin:
            begin()
            os.kill(os.getpid(), signal.SIGUSR2)
            done.append(process.asked_to_stop())
        process.stop_if_asked()
        done.append("not reached")

    for work in (records, trains):
        with pytest.raises(process.Stopped), listen():
            work()
    assert done == ["recorded", "SIGUSR2"]
    with listen():
        process.main_has_returned()
        os.kill(os.getpid(), signal.SIGUSR2)
        done.append("completed")
    assert done[-1] == "completed"
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_a_handler_of_the_program_itself_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGUSR2, lambda *_: heard.append("own"))
    try:
        with listen():
            os.kill(os.getpid(), signal.SIGUSR2)
        assert heard == ["own"]
    finally:
        signal.signal(signal.SIGUSR2, before)
