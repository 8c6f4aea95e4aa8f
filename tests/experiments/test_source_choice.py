"""A source that is asked for is the one that is read, or the run is refused and says why."""

import json

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.datasets.serialize import read_manifest, serialize_source
from reproducible_ml.datasets.sources import make_source
from tests.experiments.running import experiment

QUICK = ["max_steps=1", "model_dir=models/mine"]


def photos(folder):
    """Make a folder of small colour images of two classes."""
    draw = np.random.default_rng(0)
    for number in range(60):
        path = folder / ("cats", "dogs")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with photographs, and data sets of digits and of the photographs."""
    root = tmp_path_factory.mktemp("sources")
    photos(root / "photos")
    serialize_source(make_source("digits"), root / "data" / "digits")
    images = make_source("folder", image_dir=str(root / "photos"), image_shape=[16, 16, 3])
    serialize_source(images, root / "data" / "photos")
    return root


def refused(folder, name, *updates):
    """Return what an experiment says that must not start anything."""
    before = sorted(folder.rglob("*"))
    code, output = experiment(name, folder, "-u", "with", *updates)
    assert code == 1, output
    assert sorted(folder.rglob("*")) == before
    (line,) = [line for line in output.splitlines() if line.startswith("Error: ")]
    return line


def test_another_source_than_that_of_the_data_set_is_refused(folder):
    said = refused(folder, "mnist_wgan", "digits", "source=folder", "image_dir=photos", *QUICK)
    assert said == (
        "Error: data/digits was written from digits, not with source=folder image_dir=photos. "
        "Name another record_dir, or leave source, image_dir out."
    )


def test_a_file_that_the_data_set_was_not_written_from_is_refused(folder):
    for name in ("mnist_wgan", "mnist_classifier"):
        said = refused(folder, name, "digits", "npz_file=mnist.npz")
        assert "data/digits was written from digits, not with npz_file=mnist.npz." in said


def test_the_same_photographs_in_another_size_are_another_source(folder):
    choice = ["source=folder", "image_dir=photos", "record_dir=data/photos"]
    said = refused(folder, "mnist_wgan", *choice, "image_shape=[32,32,3]", *QUICK)
    assert "image_shape=[32,32,3]. Name another record_dir" in said


@pytest.mark.parametrize(
    "updates",
    [
        ["source=folder", "image_dir=photos"],
        ["source=folder", "image_dir=photos", "record_dir=data/mnist"],
        ["smoke", "source=folder", "image_dir=photos"],
    ],
)
@pytest.mark.parametrize("name", ["mnist_serialize", "mnist_wgan"])
def test_photographs_are_not_written_where_another_source_goes(folder, name, updates):
    said = refused(folder, name, *updates)
    assert "is where the data set of another source goes." in said
    assert said.endswith("for source=folder too, for example record_dir=data/folder.")


def test_a_path_that_the_source_does_not_take_is_refused(folder):
    said = refused(folder, "mnist_serialize", "smoke", "npz_file=mnist.npz")
    assert "source=digits takes no npz_file, which is 'mnist.npz'" in said
    assert "source=mnist or source=npz" in said


def test_the_source_that_a_data_set_was_written_from_may_be_named_and_is_recorded(folder):
    # The photographs were moved since: what counts is that they are the same.
    (folder / "photos").rename(folder / "album")
    try:
        choice = ["source=folder", "image_dir=album", "record_dir=data/photos"]
        code, output = experiment(
            "mnist_wgan", folder, "with", *choice, "image_shape=[16,16,3]", *QUICK, "batch_size=2"
        )
    finally:
        (folder / "album").rename(folder / "photos")
    assert code == 0, output
    info = json.loads((folder / "runs" / "1" / "info.json").read_text())
    recorded = info["dataset"]["records"]["source"]
    assert recorded == read_manifest(folder / "data" / "photos").source
    assert recorded["arguments"]["image_dir"] == str(folder / "photos")


def test_a_preset_and_its_own_source_say_the_same_twice(tmp_path):
    code, output = experiment("mnist_serialize", tmp_path, "-u", "with", "digits", "source=digits")
    assert code == 0, output
    assert read_manifest(tmp_path / "data" / "digits").source["name"] == "digits"
