"""A small experiment outside of this project's packages, recorded as a user's own would be."""

import json
import subprocess
import sys
from pathlib import Path

from tests.tracking import lab

SOURCE = '''\
"""A toy stage: a walk that depends on seed, rate and, by a file, on data."""

import hashlib
from pathlib import Path

import numpy as np

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording.facts import record_digest, record_scalar
from reproducible_ml.tracking.recording.seal import record_stage, seal_run

ex = experiment("walk", types={"start_file": (str, None)})


@ex.config
def config():
    seed = 1
    rate = 0.5
    max_steps = 20
    start_file = "start.txt"
    out_dir = "out"


@ex.automain
def main(_run, seed, rate, max_steps, start_file, out_dir):
    record_stage(_run, inputs=["start_file"], outputs=["out_dir"])
    weight = float(Path(start_file).read_text())
    draws = np.random.Generator(np.random.Philox(seed))
    points = []
    for step in range(1, max_steps + 1):
        weight -= rate * draws.standard_normal()
        points.append((step, weight))
        record_scalar(_run, "weight", weight, step)
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    Path(out_dir, "weight.txt").write_text(weight.hex())
    record_digest(_run, {"weight": hashlib.sha256(weight.hex().encode()).hexdigest()})
    seal_run(_run, {"weight": points})
    return weight
'''


class Project:
    """A folder with the toy experiment ``walks.walk`` and its runs."""

    def __init__(self, root):
        self.root = Path(root)
        self.runs = self.root / "runs"
        self.source = self.root / "walks" / "walk.py"
        self.source.parent.mkdir(parents=True)
        (self.root / "walks" / "__init__.py").write_text("")
        self.source.write_text(SOURCE)
        (self.root / "start.txt").write_text("0.25")

    def record(self, *updates, mongo=None, environment=None):
        """Record a run and return its id."""
        options = ["with", *updates] if updates else []
        options += ["-m", mongo] if mongo else []
        done = run([sys.executable, "-m", "walks.walk", *options], self.root, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return int(lab.run_id(done.stdout))

    def reproduce(self, run_id, *options, cwd=None, mongo=None):
        """Execute ``reproducible-ml reproduce``; return its exit code and all that it printed."""
        where = ["-F", str(self.runs)] + (["-m", mongo] if mongo else [])
        return command(["reproduce", str(run_id), *where, *options], cwd or self.root)

    def info(self, run_id):
        """Return what a run's ``info.json`` holds."""
        return json.loads((self.runs / str(run_id) / "info.json").read_text())


def command(arguments, cwd):
    """Run ``reproducible-ml`` as a user does."""
    done = run([sys.executable, "-m", "reproducible_ml.cli", *arguments], cwd)
    return done.returncode, done.stdout + done.stderr


def run(arguments, cwd, environment=None):
    """Run a process to its end."""
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
