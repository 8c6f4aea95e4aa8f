"""A Beam pipeline that is killed leaves the old data set or none, and nothing for the next start.

How long such a writing takes is measured again and again, and the kills are spread over twice that:
so the old data set must be seen and the new one. Every third kill comes as soon as the writing has
left something in its folder, however short that moment is: so writings are met midway.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from tests.datasets.killing import SIZES, arrays, wait_for_orphans
from tests.datasets.small_data import PATTERN, ROOT, handlers, tree, write
from tests.require import skip_or_fail

# What Beam and its dependencies warn of is not this project's to mend.
pytestmark = pytest.mark.filterwarnings("default")
PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
FOLDER, ADDRESS = "data", "shared://data"
# Up to how many times what a writing takes a kill comes; other work slows one or the other.
SPREAD = 2.0
MEASURED_EVERY = 5
MIDWAY_EVERY = 3
# Forks a child for each round, which starts to write at once.
PROGRAM = """
import json, logging, os, signal, sys, time
logging.disable()
from reproducible_ml.datasets.serialize.beam import records as beam
from tests.datasets.beam import shared_address
from tests.datasets.killing import arrays, SIZES
from tests.datasets.small_data import PATTERN, handlers

place, options, every, measured, killed = json.loads(sys.argv[1])

def start(folder):
    child = os.fork()
    if not child:
        os.chdir(folder)
        os.environ[shared_address.ROOT_VARIABLE] = folder
        beam.write_records(place, PATTERN, handlers(), 3, SIZES, arrays, options=options,
                           overwrite=os.path.exists("data"))
        os._exit(0)
    return child

def seconds(folder):
    began = time.monotonic()
    assert os.waitpid(start(folder), 0)[1] == 0
    return time.monotonic() - began

def traces(folder):
    # What a writing leaves beside the data set, or in a data set that has no manifest yet.
    data = os.path.join(folder, "data")
    beside = [name for name in os.listdir(folder) if name.startswith(".data.")]
    begun = os.path.isdir(data) and not os.path.exists(os.path.join(data, "dataset.json"))
    return beside + (os.listdir(data) if begun else [])

for number, (folder, part) in enumerate(killed):
    if number % every == 0:
        whole = seconds(measured.pop())
    child = start(folder)
    if part is None:
        given_up = time.monotonic() + 10 * whole
        while not traces(folder) and time.monotonic() < given_up:
            time.sleep(0.0005)
    else:
        time.sleep(part * whole)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def _beam():
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        skip_or_fail("beam", "apache-beam is not installed")


def check(tmp_path, rounds, place=FOLDER, options=()):
    """Kill pipelines; return how many left the old data set or none, the new, and were midway."""
    new = write(tmp_path / "new", SIZES, rows_gen=arrays).fingerprint
    old = write(tmp_path / "old", {"train": 7}).fingerprint
    draw = random.Random(5)
    parts = [SPREAD * (number + draw.random()) / rounds for number in range(rounds)]
    draw.shuffle(parts)
    parts[::MIDWAY_EVERY] = [None] * len(parts[::MIDWAY_EVERY])
    killed, measured = [], []
    for number, part in enumerate(parts):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        # An address takes no second data set.
        if number % 2 and place == FOLDER:
            shutil.copytree(tmp_path / "old", folder / "data")
        killed.append((str(folder), part))
        if number % MEASURED_EVERY == 0:
            measured.append(str(tmp_path / f"measured-{number}"))
            os.mkdir(measured[-1])
    _run([place, list(options), MEASURED_EVERY, measured, killed])
    wait_for_orphans(tmp_path)
    outcomes = {"old": 0, "new": 0, "midway": 0}
    for number, (folder, _) in enumerate(killed):
        data = os.path.join(folder, "data")
        found = None
        if os.path.exists(os.path.join(data, "dataset.json")):
            assert verify(data) == [], folder
            found = read_manifest(data).fingerprint
        else:
            assert place == ADDRESS or not os.path.exists(data), folder
        assert found in (new, old if number % 2 and place == FOLDER else None), folder
        outcomes["new" if found == new else "old"] += 1
        outcomes["midway"] += found != new and _left(folder, place)
        _write_again(folder, place, found)
        assert tree(data) == tree(
            tmp_path / "new" if place == FOLDER else Path(measured[0], "data")
        )
        assert os.listdir(folder) == ["data"]
    return outcomes


def _run(request):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _left(folder, place):
    """Say whether something of a writing is there that did not come to its end."""
    if place == ADDRESS:
        return bool(os.path.exists(f"{folder}/data") and os.listdir(f"{folder}/data"))
    return any(name.startswith(".data.") for name in os.listdir(folder))


def _write_again(folder, place, found):
    if place == FOLDER:
        write(os.path.join(folder, "data"), SIZES, rows_gen=arrays, overwrite=True)
    elif found is None:
        from reproducible_ml.datasets.serialize.beam import records as beam
        from tests.datasets.beam import shared_address

        with pytest.MonkeyPatch.context() as patched:
            patched.setenv(shared_address.ROOT_VARIABLE, folder)
            beam.write_records(place, PATTERN, handlers(), 3, SIZES, arrays)


@pytest.mark.parametrize("place", [FOLDER, ADDRESS])
def test_a_killed_pipeline_leaves_the_old_data_set_or_none(place, tmp_path):
    outcomes = check(tmp_path, 5, place)
    assert outcomes["old"], outcomes
    assert outcomes["midway"], outcomes


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", [FOLDER, ADDRESS])
def test_a_pipeline_killed_at_many_moments_leaves_the_old_data_set_or_none(place, tmp_path):
    outcomes = check(tmp_path, 15, place)
    assert outcomes["old"], outcomes
    assert outcomes["new"], outcomes
    assert outcomes["midway"] >= 2, outcomes
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_pipeline_of_several_processes_leaves_the_old_data_set_or_none(tmp_path):
    # A round takes 15 s: so few need not meet the new data set.
    outcomes = check(tmp_path, 5, FOLDER, PROCESSES)
    assert outcomes["old"], outcomes
    assert outcomes["midway"], outcomes
    shutil.rmtree(tmp_path)
