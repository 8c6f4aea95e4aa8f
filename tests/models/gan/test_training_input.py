"""What a training is given, and what is refused before it writes anything."""

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import ArrayHandler, ImageHandler
from tests.models import training_processes as training

ONE_STEP = {"max_steps": 1, "grid_every_steps": 1}


def write_images(record_dir, handler, shape):
    images = np.random.default_rng(3).integers(0, 256, (24, *shape), dtype=np.uint8)
    write_records(
        str(record_dir),
        "{}-{:05d}.tfrecord",
        {"image": handler},
        8,
        {"train": 8, "eval": 8, "test": 8},
        lambda split: ({"image": image} for image in images[:8]),
    )
    return str(record_dir)


def test_images_without_a_channel_axis_train_as_grey_ones(tmp_path):
    flat = ArrayHandler(dtype="uint8", value_range=(0, 255))
    records = write_images(tmp_path / "flat", flat, (16, 16))
    assert training.run(records, tmp_path / "a", cadence=ONE_STEP) is None
    grey = ImageHandler(shape=[16, 16, 1], value_range=(0, 255))
    same = write_images(tmp_path / "grey", grey, (16, 16, 1))
    assert training.run(same, tmp_path / "b", cadence=ONE_STEP) is None
    a, b = (training.result(tmp_path / name)["digests"] for name in "ab")
    assert a == b


def test_images_with_opacity_train_and_are_shown_with_it(tmp_path):
    records = write_images(tmp_path / "rgba", ImageHandler(shape=[16, 16, 4]), (16, 16, 4))
    assert training.run(records, tmp_path / "model", cadence=ONE_STEP) is None
    with Image.open(tmp_path / "model" / "samples" / "step-00000001.png") as picture:
        assert picture.mode == "RGBA"
        assert picture.size == (8 * 17 + 1, 8 * 17 + 1)
        assert picture.getpixel((0, 0)) == (128, 128, 128, 255)


def test_images_that_no_grid_can_show_are_refused_before_anything_is_written(tmp_path):
    two = ArrayHandler(dtype="uint8", value_range=(0, 255))
    records = write_images(tmp_path / "two", two, (16, 16, 2))
    error = training.run(records, tmp_path / "model", cadence=ONE_STEP)
    assert f"The images of {records} have 2 channels" in error
    assert not (tmp_path / "model").exists()


def test_a_folder_without_classifier_is_named_before_anything_is_written(tmp_path, small_records):
    error = training.run(small_records, tmp_path / "model", classifier_dir=str(tmp_path / "none"))
    assert "none holds no classifier" in error
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hinge_trains_a_step_on_large_colour_images(tmp_path):
    handler = ImageHandler(shape=[128, 128, 3])
    records = write_images(tmp_path / "large", handler, (128, 128, 3))
    settings = {"gan_type": "hinge", "batch_size": 2}
    assert training.run(records, tmp_path / "model", settings, ONE_STEP) is None
    found = training.result(tmp_path / "model")
    assert found["step"] == 1
    assert np.isfinite([found["generator_loss"], found["critic_loss"]]).all()
    with Image.open(found["grid"]) as picture:
        assert picture.size == (8 * 129 + 1, 8 * 129 + 1)
