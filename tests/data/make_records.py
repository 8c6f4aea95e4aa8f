"""Makes the records of commit 1705972 that ``tests/test_records_of_before.py`` reads.

Run with Python 3.11.7 and TensorFlow 2.15.1 of requirements.txt on Linux, in a checkout that has
the commit, as

    $ sudo unshare --uts sh -c 'hostname example; .venv/bin/python tests/data/make_records.py'

It clones the commit to /tmp/project and executes it there, as a user does: what a record names of
its machine is then that folder, the host "example" and the processor. It writes, beside itself,

records-1705972.tar.xz  the folders ``runs``, ``data`` and ``models``, and ``tiny.npz``, the rows
records-1705972.json    what the trainings ended with, and digests of the checkpoints
code-1705972.json       the digests of the code that ``models/half/training.json`` names

Of the checkpoints the archive holds all but the weights, which are 80 MB each: no network of the
library has fewer than 6.5 million. The sources that the runs recorded make them again.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import venv
from pathlib import Path

import numpy as np
import sacred
from sklearn.datasets import load_digits

COMMIT = "1705972"
HERE = Path(__file__).resolve().parent
PROJECT = Path("/tmp/project")
PYTHON = str(PROJECT / ".venv" / "bin" / "python")
STEPS, HALF = 16, 8
TRAINING = [
    *("-m", "experiments.mnist_wgan", "with", "record_dir=data/tiny", "noise_dims=8"),
    *("batch_size=4", f"max_steps={STEPS}", f"checkpoint_every_steps={HALF}"),
    *(f"grid_every_steps={STEPS}", "digest_every_steps=4", "log_every_steps=2"),
]
# Nothing of the machine beyond what a record must name.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": str(PROJECT), "LANG": "C.UTF-8"}


def main():
    """Make everything anew."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    clone()
    write_rows(PROJECT / "tiny.npz")
    serialize = "-m experiments.mnist_serialize with source=npz npz_file=tiny.npz"
    python(*serialize.split(), "record_dir=data/tiny", "samples_per_record=200")
    python(*TRAINING, "model_dir=models/whole")
    python(*TRAINING, "model_dir=models/other", "seed=2")
    kill_half_way([*TRAINING, "model_dir=models/half"])
    judge = "-m experiments.mnist_classifier with record_dir=data/tiny classifier_dir=models/judge"
    python(*judge.split(), "batch_size=16", "max_steps=60", "log_every_steps=20")
    evaluate = "-m experiments.mnist_evaluate with record_dir=data/tiny model_dir=models/whole"
    figures = [*evaluate.split(), "classifier_dir=models/judge", "evaluation_dir=models/figures"]
    # Refused for so few samples: a FAILED run.
    python(*figures, "samples=40", fails=True)
    python(*figures, "samples=150")
    python("-m", "reproducible_ml.cli", "reproduce", "2")
    half = PROJECT / "models" / "half"
    whole = json.loads((PROJECT / "models" / "whole" / "result.json").read_text())
    facts = {
        "commit": COMMIT,
        "steps": STEPS,
        "half": HALF,
        "digests": whole["digests"],
        "tensors": whole["tensors"],
        "checkpoints": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(half.glob("model.ckpt-*"))
        },
    }
    write_json(HERE / f"records-{COMMIT}.json", facts)
    code = json.loads((half / "training.json").read_text())["code"]
    write_json(HERE / f"code-{COMMIT}.json", code)
    with tarfile.open(HERE / f"records-{COMMIT}.tar.xz", "w:xz", preset=9) as archive:
        for name in ("tiny.npz", "data", "runs", "models/half"):
            archive.add(PROJECT / name, name, filter=small_and_nobodys)


def clone():
    """Check the commit out, with this Python's packages and no remote."""
    checkout = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"],
        cwd=HERE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for command in (
        ["git", "init", "--quiet", "--initial-branch=main", str(PROJECT)],
        ["git", "-C", str(PROJECT), "fetch", "--quiet", checkout, "HEAD"],
        ["git", "-C", str(PROJECT), "reset", "--quiet", "--hard", COMMIT],
    ):
        subprocess.run(command, check=True)
    (PROJECT / ".git" / "info" / "exclude").write_text("/.keras\n/.venv\n/tiny.npz\n")
    # Not a link to the whole: tracebacks would name the place of the packages.
    venv.create(PROJECT / ".venv", symlinks=True)
    (packages,) = (PROJECT / ".venv").glob("lib/python*/site-packages")
    packages.rmdir()
    packages.symlink_to(Path(sacred.__file__).parents[1])


def write_rows(path):
    """Write scikit-learn's digits in a frame of 10 x 10, the smallest images of the networks."""
    bundled = load_digits()
    images = np.pad((bundled.images * 15).astype(np.uint8), [(0, 0), (1, 1), (1, 1)])
    parts = {"train": slice(0, 400), "eval": slice(400, 440), "test": slice(440, 580)}
    np.savez_compressed(
        path,
        **{f"x_{name}": images[part] for name, part in parts.items()},
        **{f"y_{name}": bundled.target[part] for name, part in parts.items()},
    )


def python(*arguments, fails=False):
    """Execute the clone's Python to its end."""
    done = subprocess.run([PYTHON, *arguments], cwd=PROJECT, env=ENVIRONMENT, check=False)
    if fails != bool(done.returncode):
        raise SystemExit(f"exit code {done.returncode} of {arguments}")


def kill_half_way(arguments):
    """Kill a training after the checkpoint of half its steps and before its end."""
    process = subprocess.Popen([PYTHON, *arguments], cwd=PROJECT, env=ENVIRONMENT)
    folder = PROJECT / "models" / "half"
    while logged(folder) < HALF + 2 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps, newest = logged(folder), (folder / "checkpoint").read_text().splitlines()[0]
    if not HALF < steps < STEPS or f"model.ckpt-{HALF}" not in newest:
        raise SystemExit(f"killed at step {steps} with {newest}; do it again")
    print(f"killed at step {steps}")


def logged(folder):
    """Return the number of steps in a training's log of 16 bytes a step."""
    log = folder / "steps.log"
    return os.stat(log).st_size // 16 if log.exists() else 0


def small_and_nobodys(entry):
    """Leave out the weights, and whose the files are."""
    if ".data-" in entry.name:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def write_json(path, content):
    """Write a file of a line a value."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
