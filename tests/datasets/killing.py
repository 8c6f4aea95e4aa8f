"""Writers that are killed at random moments.

One process imports everything and forks a child for each round, which starts to write at once: so
the kill meets the writing, and a round takes no longer than that. How long a writing takes here is
measured before.
"""

import json
import os
import random
import subprocess
import sys
import time

import psutil

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from tests.datasets.small_data import ROOT, images_and_labels, write

SIZES = {"train": 40, "test": 10}
# Up to how many times what a writing takes a kill comes.
SPREAD = 2.0
MEASURED = 2
PROGRAM = """
import json, os, signal, sys, time
{imports}
from tests.datasets.killing import arrays, SIZES
measured, plans = json.loads(sys.argv[1])

def start(folder, overwrite):
    child = os.fork()
    if not child:
        os.chdir(folder)
        {write}
        os._exit(0)
    return child

def seconds(folder):
    began = time.monotonic()
    assert os.waitpid(start(folder, False), 0)[1] == 0
    return time.monotonic() - began

whole = min(map(seconds, measured))
for folder, overwrite, part in plans:
    child = start(folder, overwrite)
    time.sleep(part * whole)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def arrays(split):
    """Return the rows of a split as arrays."""
    images, labels = images_and_labels(SIZES[split], len(split))
    return {"image": images, "label": labels}


def check_kills(tmp_path, rounds, imports, call):
    """Kill writers, and check that each left the old data set or none, or the whole new one.

    Args:
        tmp_path: Where to write.
        rounds: How many; their kills are spread over twice what a writing takes.
        imports: Imports of the writing process.
        call: Its writing of the data set ``data``, with ``overwrite`` at hand.
    """
    whole = write(tmp_path / "whole", SIZES, rows_gen=arrays).fingerprint
    measured = [str(tmp_path / f"measured-{number}") for number in range(MEASURED)]
    for folder in measured:
        os.mkdir(folder)
    plans, draw = [], random.Random(rounds)
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number % 2:
            write(folder / "data", {"train": 7})
        part = SPREAD * (number + draw.random()) / rounds
        plans.append((str(folder), bool(number % 2), part))
    before = write(tmp_path / "before", {"train": 7}).fingerprint
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    program = PROGRAM.format(imports=imports, write=call)
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([measured, plans])],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_for_orphans(tmp_path)
    outcomes = set()
    for folder, overwrite, _ in plans:
        data = os.path.join(folder, "data")
        found = None
        if overwrite or os.path.exists(data):
            assert verify(data) == [], folder
            found = read_manifest(data).fingerprint
        assert found in (before if overwrite else None, whole), folder
        outcomes.add("new" if found == whole else "old")
        write(data, SIZES, rows_gen=arrays, overwrite=True)
        assert os.listdir(folder) == ["data"]
    return outcomes


def wait_for_orphans(tmp_path):
    """Wait until the workers of killed writers have ended by themselves."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # Workers start where their writer stood.
        found = [one.info for one in psutil.process_iter(["pid", "cwd", "cmdline"])]
        orphans = [
            one["cmdline"]
            for one in found
            if one["pid"] != os.getpid() and (one["cwd"] or "").startswith(str(tmp_path))
        ]
        if not orphans:
            return
        time.sleep(0.2)
    raise AssertionError(f"workers outlived their parent: {orphans}")
