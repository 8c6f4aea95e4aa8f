"""A training that a scheduler stops and queues again: one run, no point twice, the same bits."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.runs import load_run
from tests import warm
from tests.shared import made_once

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("ROUNDS", "1"))
STEPS, EVERY = 60, 25
# A loss of 8 bytes for the step and 4 for its value.
BYTES = 12
TRAINS = f"""
import time
import numpy as np
import tensorflow as tf
from reproducible_ml.tracking import experiment

ex = experiment("trains", writes=["model_dir"])

@ex.config
def config():
    model_dir = "model"
    log_every_steps = 1

def model_fn(features, labels, mode):
    weight = tf.compat.v1.get_variable("weight", [2, 1])
    noisy = tf.nn.dropout(features, rate=0.5)
    loss = tf.reduce_mean((noisy @ weight - labels) ** 2)
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.01)
    step = optimizer.minimize(loss, tf.compat.v1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=step)

class Slow(tf.estimator.SessionRunHook):
    def after_run(self, context, values):
        time.sleep(0.01)

@ex.automain
def main(model_dir):
    rows = np.arange(64, dtype=np.float32).reshape(32, 2) / 64
    def read():
        return tf.data.Dataset.from_tensor_slices((rows, rows[:, :1])).repeat().batch(4)
    settings = tf.estimator.RunConfig(save_checkpoints_steps={EVERY})
    estimator = tf.estimator.Estimator(model_fn, model_dir, settings)
    estimator.train(read, max_steps={STEPS}, hooks=[Slow()])
    return {{"trained": True}}
"""


def start(folder, *words):
    (folder / "trains.py").write_text(TRAINS, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = words or ("with", "seed=3")
    return warm.Python("-m", "trains", *words, cwd=folder, environment=environment)


def steps_of(folder):
    log = folder / "model" / "steps.log"
    return log.stat().st_size // BYTES if log.exists() else 0


def stop(folder, python, step, number):
    """Send a signal at a step of this process; return its exit code and what it printed."""
    before, deadline = steps_of(folder), time.monotonic() + 120
    # A process that resumes cuts the log first, or begins behind what is there.
    while python.returncode is None and steps_of(folder) in range(before, before + step):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    if python.returncode is None:
        python.send_signal(number)
    printed = "".join(python.communicate(timeout=60))
    return python.returncode, printed


def record(folder):
    (run,) = [path for path in (folder / "runs").iterdir() if path.name.isdigit()]
    points = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    points.pop("steps_per_second", None)
    loaded = load_run(1, folder / "runs")
    assert broken_parts(loaded.info["seal"], seal_of(loaded)) == []
    return {
        "status": loaded.status,
        "result": loaded.result,
        "digest": loaded.info["digest"],
        "points": {name: (one["steps"], one["values"]) for name, one in points.items()},
        "log": (folder / "model" / "steps.log").read_bytes(),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    def train(folder):
        python = start(folder)
        printed = python.communicate(timeout=240)
        assert python.returncode == 0, printed

    return record(made_once(tmp_path_factory, "never-stopped", train))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_stopped_by_a_signal_or_killed_the_same_command_goes_on_with_the_same_run(
    whole, tmp_path, number
):
    chance = random.Random(number)
    code, printed = stop(tmp_path, start(tmp_path), chance.randint(2, 20), signal.SIGTERM)
    assert code == 143, printed
    stopped_at = steps_of(tmp_path)
    assert (tmp_path / "model" / f"model.ckpt-{stopped_at}.index").exists()
    assert "Resume:     python -m trains with seed=3 model_dir=model" in printed
    assert load_run(1, tmp_path / "runs").status == "INTERRUPTED"
    code, printed = stop(tmp_path, start(tmp_path), chance.randint(2, 20), signal.SIGKILL)
    assert code in (-9, 0), printed
    # Two at once: one of them is refused before it is recorded.
    both = [start(tmp_path), start(tmp_path)]
    ends = sorted((one.communicate(timeout=240), one.returncode)[::-1] for one in both)
    if code:
        assert [code for code, _ in ends] == [0, 1], ends
        assert "model is being written by process " in ends[1][1][1]
        assert "Resuming run 1, which was stopped" in ends[0][1][1]
    assert record(tmp_path) == whole
    resumed = json.loads((tmp_path / "runs/1/run.json").read_text())["resumed"]
    assert len(resumed) == 2
    assert [path.name for path in tmp_path.iterdir() if "lease" in path.name] == []
