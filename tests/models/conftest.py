"""Small data sets for training tests."""

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import ImageHandler


def write_small_records(record_dir, seed):
    """Write 60 random images of 10 x 10 for training and 8 each for the other splits."""
    sizes = {"train": 60, "eval": 8, "test": 8}
    images = np.random.default_rng(seed).integers(0, 256, (76, 10, 10, 1), dtype=np.uint8)
    rows = {"train": images[:60], "eval": images[60:68], "test": images[68:]}
    write_records(
        str(record_dir),
        "{}-{:05d}.tfrecord",
        {"image": ImageHandler(shape=[10, 10, 1])},
        25,
        sizes,
        lambda split: ({"image": image} for image in rows[split]),
    )
    return str(record_dir)


@pytest.fixture(scope="session")
def small_records(tmp_path_factory):
    """A data set of 60 training images of 10 x 10."""
    return write_small_records(tmp_path_factory.mktemp("data") / "small", seed=1)


@pytest.fixture(scope="session")
def other_records(tmp_path_factory):
    """Another data set of the same form."""
    return write_small_records(tmp_path_factory.mktemp("data") / "other", seed=2)
