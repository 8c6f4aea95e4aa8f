"""What the data benchmark says of itself: its data, its command, its labels, its verdicts."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import data, data_scale
from benchmarks.measure import Part, Target, markdown
from tests.datasets.small_data import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "data.json"


def run(*options, **environment):
    """Start the benchmark in a process; it measures nothing but the machine."""
    command = [sys.executable, "-m", "benchmarks.data", "--only=nothing", "--records=70", *options]
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_HOME": "keras", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def keras(tmp_path):
    folder = tmp_path / "keras" / "datasets"
    folder.mkdir(parents=True)
    np.savez(folder / "mnist.npz", x_train=np.zeros((80, 28, 28), np.uint8), y_train=np.zeros(80))
    return {"KERAS_HOME": str(tmp_path / "keras")}


def test_random_images_are_named_and_their_figures_do_not_replace_those_of_mnist():
    before = RESULTS.read_bytes()
    done = run()
    assert done.returncode == 0, done.stderr
    assert "MEASURED WITH RANDOM IMAGES IN PLACE OF MNIST" in done.stdout
    assert "Nothing kept: these are figures of random images" in done.stdout
    assert RESULTS.read_bytes() == before


def test_figures_of_random_images_are_not_put_on_a_page(tmp_path):
    done = run(f"--page={tmp_path / 'README.md'}")
    assert done.returncode == 2
    assert "--page shows figures of MNIST, and there is none" in done.stderr


def test_mnist_is_taken_from_the_cache_of_keras(keras, tmp_path):
    done = run(f"--json={tmp_path / 'found.json'}", **keras)
    assert done.returncode == 0, done.stderr
    assert "RANDOM" not in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["data"] == "MNIST"
    options = f"--only=nothing --records=70 --json={tmp_path / 'found.json'}"
    assert found["command"] == f"python -m benchmarks.data {options}"


def test_a_label_of_the_table_stands_for_one_contender():
    contenders = {}
    for target in data.TARGETS:
        contenders.setdefault(target.work, set()).add((target.part, target.name))
    assert {work: names for work, names in contenders.items() if len(names) > 1} == {}


def test_a_figure_without_a_target_is_stated():
    part = Part("part", "peer", 10)
    part.seconds, part.counts = {"ours": [1.0], "peer": [2.0]}, {"ours": 10, "peer": 10}
    row = Target("work", "part", "ours", "peer", None).row({"part": part})
    assert markdown([row]).splitlines()[-1] == "| work | peer | - | 2.0x |"
    missed = Target("work", "part", "ours", "peer", 3).row({"part": part})
    assert markdown([missed]).splitlines()[-1] == "| work | peer | 3.0x | 2.0x (missed) |"


def size_of(compression, records, write_megabytes, read_megabytes):
    return {
        "compression": compression,
        "records": records,
        "write_bytes": write_megabytes * 1_000_000,
        "read_bytes": read_megabytes * 1_000_000,
    }


def test_memory_of_the_largest_size_is_compared_with_that_of_a_hundred_thousand_records():
    sizes = [
        size_of("", 10_000, 1, 1),
        size_of("", 100_000, 500, 500),
        size_of("", 1_000_000, 900, 900),
        size_of("", 10_000_000, 550, 551),
        size_of("GZIP", 100_000, 500, 500),
    ]
    rows = data_scale.figures(sizes)
    assert markdown(rows).splitlines()[2:] == [
        "| memory of the writer, none, 10,000,000 records | 100,000 records | +50 MB | +50 MB |",
        "| memory of the streaming reader, none, 10,000,000 records | 100,000 records | +50 MB | "
        "+51 MB (missed) |",
    ]
