"""A small project in a git checkout of its own, whose experiments run as processes.

``lab.train`` logs metrics, a picture and a checkpoint; ``lab.make`` writes a data set first. One
file was changed and one added since the commit.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.shared import made_once

ROOT = Path(__file__).resolve().parents[2]
SECRET = "geheimnis-8f1c"
TOKEN = "token-1b7e"
PICTURE = b"\x89PNG\r\n\x1a\n not much of a picture"
CHECKPOINT = {"model.ckpt-30.index": b"index", "model.ckpt-30.data-00000-of-00001": b"weights" * 9}
STEPS = (10, 20, 30)

MAKE = """
import numpy as np
from reproducible_ml.datasets.serialize import serialize_npz
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import facts as record

ex = experiment("make")

@ex.config
def config():
    record_dir = "data"

@ex.automain
def main(_run, record_dir):
    np.savez("rows.npz", rows=np.arange(12, dtype=np.float32).reshape(4, 3))
    manifest = serialize_npz("rows.npz", "rows", record_dir)
    record.record_dataset(_run, "records", manifest)
    record.record_digest(_run, {"data": manifest.fingerprint})
    return {"fingerprint": manifest.fingerprint}
"""

TRAIN = '''
"""Trains nothing, and records everything."""
import math
from pathlib import Path
from lab import make
from reproducible_ml.datasets.serialize.manifest import read_manifest
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import facts as record

ex = experiment("train", types={"npz_file": (str, None)})

@ex.config
def config():
    seed = 3
    lr = 0.5
    steps = 3
    name = "plain"
    fast = False
    shape = [4, 3]
    optimizer = {"kind": "sgd", "momentum": 0.9}
    npz_file = None
    free = None
    record_dir = "data"
    stage = False
    fail = ""

@ex.named_config
def quick():
    steps = 1

@ex.named_config
def broken():
    steps = "many"

@ex.automain
def main(_run, lr, steps, record_dir, stage, fail):
    if stage:
        record.run_stage(_run, make.ex, record_dir=record_dir)
    elif Path(record_dir).exists():
        record.record_upstream(_run, "make", read_manifest(record_dir).fingerprint)
    if Path(record_dir).exists():
        record.record_dataset(_run, "records", read_manifest(record_dir))
    for step in range(1, steps + 1):
        record.record_scalar(_run, "loss", lr / step, 10 * step)
        record.record_scalar(_run, "odd", math.nan if step == 2 else float(step), 10 * step)
    picture = Path("grid.png")
    picture.write_bytes(PICTURE)
    record.record_image(_run, picture, "samples.png", step=30)
    if fail:
        raise RuntimeError(fail)
    for name, content in CHECKPOINT.items():
        Path(name).write_bytes(content)
    record.record_checkpoint(_run, "model.ckpt-30", 30)
    record.record_digest(_run, {"run": "%064x" % steps})
    print("the last line")
    return {"step": 10 * steps, "loss": lr / steps}
'''.replace("PICTURE", repr(PICTURE)).replace("CHECKPOINT", repr(CHECKPOINT))

FITS = '''
"""Leaves the logs of trainings that part where they are told to."""
import json
import struct
from pathlib import Path
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import facts as record

ex = experiment("fit", types={"parts_at": (int, None)})

@ex.config
def config():
    seed = 1
    parts_at = None
    weights_only = False
    speed = 1.0

@ex.main
def main(_run, parts_at, weights_only, speed):
    steps, tensors = b"", ""
    for step in range(1, 21):
        other = parts_at is not None and step >= parts_at
        loss = 1 / step + (0.125 if other and not weights_only else 0)
        steps += struct.pack("<qff", step, loss, -loss)
        if step % 5 == 0:
            digests = {"a": "%08x" % step, "w": "%08x" % (step + 1000 * other)}
            tensors += json.dumps({"step": step, "tensors": digests}) + "\\n"
            record.record_scalar(_run, "generator_loss", loss, step)
            record.record_scalar(_run, "steps_per_second", speed, step)
    for name, content in (("steps.log", steps), ("tensors.jsonl", tensors.encode())):
        Path(name).write_bytes(content)
        _run.add_artifact(name)
    return {"step": step, "loss": loss}

if __name__ == "__main__":
    for updates in (
        {},
        {"speed": 2.0},
        {"parts_at": 13},
        {"parts_at": 13, "weights_only": True},
    ):
        ex.run(config_updates=updates, options={"--file_storage": "fits"})
'''


def git(folder, *arguments):
    """Run git with an identity of its own."""
    identity = ["-c", "user.name=anna", "-c", "user.email=anna@example.org"]
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True
    )
    return done.stdout.decode().strip()


def make_project(folder):
    """Write the project and commit it; then change a file and add one. Return its path."""
    lab = folder / "project" / "lab"
    lab.mkdir(parents=True)
    (lab / "__init__.py").write_text("")
    (lab / "make.py").write_text(MAKE)
    (lab / "train.py").write_text(TRAIN)
    (lab / "fits.py").write_text(FITS)
    (lab / "changed.py").write_text("before = 1\n")
    git(lab.parent, "init", "-q", "-b", "main")
    git(lab.parent, "add", "lab")
    git(lab.parent, "commit", "-q", "-m", "Begin")
    (lab / "changed.py").write_text("after = 2\n")
    (lab / "added.py").write_text("new = 3\n")
    return lab.parent


def start(project, module, *arguments, cwd=None, **variables):
    """Start an experiment in a folder of its own, or another one; return the process."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{project}{os.pathsep}{ROOT}",
        "PYTHONWARNINGS": "ignore",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd or project.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(project, module, *arguments, **options):
    """Run an experiment; return its exit code and what it printed."""
    process = start(project, module, *arguments, **options)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def run_id(output):
    """Return the id of the (last) run that an output names."""
    return re.findall(r"^Run (\S+): ", output, re.MULTILINE)[-1]


def recorded(tmp_path_factory):
    """Return the project, after four runs of it in ``runs`` beside it; tests only read them.

    Run 1 trains after run 2 has made its data, from variables that it must record or hide; run 3
    trains from the same data with another rate, run 4 fails. In ``fits`` run 2 is run 1 at twice
    the speed, run 3 parts from them at step 13, and run 4 there too, in a variable only.
    """
    return made_once(tmp_path_factory, "lab", _record) / "project"


def _record(folder):
    project = make_project(folder)
    variables = {
        "OMP_NUM_THREADS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_LAB_TOKEN": TOKEN,
        "TF_LAB_URL": f"https://anna:{SECRET}@example.org/x",
        "LAB_UNRELATED": "private",
    }
    outcomes = [
        run(project, "lab.train", "with", "stage=True", **variables),
        run(project, "lab.train", "with", "lr=1"),
        run(project, "lab.train", "with", "fail=too hot"),
        run(project, "lab.fits"),
    ]
    assert [code for code, _ in outcomes] == [0, 0, 1, 0], outcomes
