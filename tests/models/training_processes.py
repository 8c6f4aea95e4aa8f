"""Real training processes that start warm and can be killed."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from reproducible_ml.utils.errors import ReproducibleMLError
from tests import warm

SETTINGS = {"batch_size": 4, "noise_dims": 6, "critic_steps": 1, "seed": 11}
CADENCE = {
    "max_steps": 24,
    "log_every_steps": 2,
    "grid_every_steps": 12,
    "checkpoint_every_steps": 5,
    "digest_every_steps": 4,
}


def train(record_dir, model_dir, settings=(), cadence=(), allow_changed=False, classifier_dir=None):
    """Train in this process, and leave the metrics that were told in ``points.json``."""
    from reproducible_ml.models import Cadence, Determinism, GANSettings, Watcher, train_gan

    points = []

    class Points(Watcher):
        def scalar(self, name, value, step):
            points.append((name, step, value))

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    settings = {**SETTINGS, **dict(settings)}
    determinism = Determinism(**settings.pop("determinism", {}))
    train_gan(
        record_dir,
        model_dir,
        GANSettings(determinism=determinism, **settings),
        Cadence(**{**CADENCE, **dict(cadence)}),
        Points(),
        allow_changed,
        classifier_dir,
    )
    losses = [point for point in points if point[0] != "steps_per_second"]
    Path(model_dir, "points.json").write_text(json.dumps(losses))


def _child(errors, *arguments, **keywords):
    os.setpgrp()
    try:
        train(*arguments, **keywords)
    except (ReproducibleMLError, OSError) as error:
        errors.put(str(error))
        sys.exit(1)


def start(*arguments, **keywords):
    """Start a training process; see ``train``."""
    errors = warm.CONTEXT.Queue()
    process = warm.process(_child, errors, *arguments, **keywords)
    process.errors = errors
    process.start()
    return process


def run(*arguments, **keywords):
    """Train in a process of its own until it ends; return its error's text, or None."""
    process = start(*arguments, **keywords)
    process.join()
    if process.exitcode == 0:
        return None
    return process.errors.get(timeout=10)


def kill_at_step(process, model_dir, step):
    """Send SIGKILL as soon as the step log has reached a step; False if it had ended before."""
    log = Path(model_dir, "steps.log")
    while process.is_alive():
        if log.exists() and log.stat().st_size >= step * 16:
            break
        time.sleep(0.001)
    return kill(process)


def kill(process):
    """Send SIGKILL; tell whether the process was still there."""
    alive = process.is_alive()
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive and process.exitcode == -signal.SIGKILL


def result(model_dir):
    """Read what a finished training left."""
    return json.loads(Path(model_dir, "result.json").read_text())


def points(model_dir):
    """Read the metrics that the last process of a training told of."""
    return [tuple(point) for point in json.loads(Path(model_dir, "points.json").read_text())]
