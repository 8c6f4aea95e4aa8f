"""A writer that is killed leaves the old data set or none, and its leftovers go at the next start.

The kill comes at a random moment during a writing or shortly after it.
"""

import random
import signal
import subprocess

import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.verify import verify
from tests.datasets.writing import rows_of, start_writer, tree, write

# Says "ready" before it writes; imports are over by then, so that a kill meets the writing itself.
WRITER = """
import json, sys
from tests.datasets.writing import write
options = json.loads(sys.argv[1])
write("warm", {"train": 2})
print("ready", flush=True)
write("data", {"train": 40, "test": 10}, samples_per_record=3, overwrite=options["overwrite"])
"""
# About what one such writing takes; a later kill would meet a complete data set every time.
LONGEST_SECONDS = 0.05


def killed(folder, overwrite, seconds):
    process = start_writer(WRITER, folder, overwrite=overwrite)
    assert process.stdout.readline() == "ready\n"
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors


def check_round(folder, seconds, overwrite):
    before = write(folder / "data", {"train": 7}).fingerprint if overwrite else None
    whole = write(folder / "whole", {"train": 40, "test": 10}, samples_per_record=3).fingerprint
    killed(folder, overwrite, seconds)
    data = folder / "data"
    if not overwrite and not data.exists():
        found = None
    else:
        assert verify(data) == []
        found = read_manifest(data).fingerprint
    assert found in (before, whole)
    write(data, {"train": 5}, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"data", "warm", "whole"}
    assert verify(data) == []


@pytest.mark.parametrize("number", range(10))
def test_a_killed_writer_leaves_the_old_data_set_or_none(number, tmp_path):
    seconds = random.Random(number).uniform(0, LONGEST_SECONDS)
    check_round(tmp_path, seconds, overwrite=number % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(100, 150))
def test_a_writer_killed_at_fifty_moments_leaves_the_old_data_set_or_none(number, tmp_path):
    seconds = random.Random(number).uniform(0, LONGEST_SECONDS)
    check_round(tmp_path, seconds, overwrite=number % 2 == 0)


def test_the_old_data_set_stays_when_rows_run_out(tmp_path):
    write(tmp_path / "data", {"train": 7})
    before = tree(tmp_path)

    def too_few(split):
        return rows_of({split: 5})(split)

    with pytest.raises(Exception, match="yields only"):
        write(tmp_path / "data", {"train": 9}, rows_gen=too_few, overwrite=True)
    assert tree(tmp_path) == before
