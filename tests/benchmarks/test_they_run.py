"""Each benchmark runs, at sizes that measure nothing, and leaves the kept figures alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.datasets.small_data import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def _results_stay():
    folder = ROOT / "benchmarks" / "results"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    yield
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def run(module, *options):
    """Run a module in a process of its own; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-m", module, *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_data():
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 55_100), ("test", 100)):
        arrays[f"x_{split}"] = draw.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 10
    np.savez("mnist.npz", **arrays)
    options = ("--records=300", "--rounds=1", "--largest=10000", "--json=d.json")
    run("benchmarks.data", "--npz-file=mnist.npz", *options)
    with open("d.json", encoding="utf-8") as file:
        found = json.load(file)
    titles = set(found["parts"])
    assert {"write MNIST, none", "read PNG", "read 128x128x3, none", "verify MNIST, GZIP"} < titles
    assert [size["compression"] for size in found["scale"]] == ["", "GZIP"]
    assert "write PNG byte strings, none" in {row["work"] for row in found["figures"]}


def test_training():
    run("benchmarks.training", "--only=start", "--rounds=1", "--json=training.json")
    with open("training.json", encoding="utf-8") as file:
        found = json.load(file)
    assert [row["work"] for row in found["figures"]] == ["start, to the first step"]


def test_determinism():
    lines = run("benchmarks.determinism", "--steps=1", "--settings=2").splitlines()
    assert lines[-2].startswith("| the default |")
    assert lines[-1].startswith("| the default, once more |")
    assert lines[-1].endswith("| none |")


def test_kill_and_resume():
    printed = run("benchmarks.kill_and_resume", "--steps=10", "--rounds=1", "--critic-steps=1")
    assert printed.splitlines()[-1] == "1 of 1 digests are equal"


def test_quality():
    chosen = ("digits", "max_steps=2", "classifier_dir=judge")
    run("experiments.mnist_classifier", "-u", "with", *chosen)
    options = ("--types=real digits", "--seeds=1", "--samples=200", "--json=quality.json")
    printed = run("benchmarks.quality", "--classifier=judge", *options)
    assert "| real digits |" in printed
    with open("quality.json", encoding="utf-8") as file:
        (found,) = json.load(file)
    # Each of the drawn training images is compared with all others.
    assert (found["samples"], found["references"]) == (200, {"test": 150, "train": 1499})
    assert found["origin"] == "train split, drawn with seed 1"
    assert found["figures"]["nearest_training_distance"] > 0
    assert 0 <= found["figures"]["memorized_share"] < 0.2
    printed = run("benchmarks.floor", "--classifier=judge", "--json=floor.json")
    assert "| drawn, seeds 1 to 10 |" in printed
    with open("floor.json", encoding="utf-8") as file:
        found = json.load(file)
    # At most half of the training images, so that the choices differ.
    assert (found["samples"], found["references"]) == (750, {"test": 150})
    assert all(distance >= 0 for one in found["distances"].values() for distance in one)
