"""The whole MNIST, written and read back bit for bit; needs its file."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import serialize_source
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.input_fn import input_fn

ROOT = Path(__file__).parents[2]
MNIST = Path(
    os.environ.get("REPRODUCIBLE_ML_MNIST", ROOT.parent / "shared" / "data" / "mnist.npz")
).absolute()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not MNIST.is_file(), reason=f"needs MNIST: REPRODUCIBLE_ML_MNIST=mnist.npz, or {MNIST}"
    ),
]


@pytest.fixture(scope="module")
def arrays():
    with np.load(MNIST) as archive:
        x, y = archive["x_train"], archive["y_train"]
        return {
            "train": (x[:55_000], y[:55_000]),
            "eval": (x[55_000:], y[55_000:]),
            "test": (archive["x_test"], archive["y_test"]),
        }


@pytest.fixture(scope="module")
def record_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist") / "records"
    serialize_source(make_source("mnist", npz_file=str(MNIST)), folder)
    return folder


def test_all_70000_records_lie_in_canonical_order_for_a_plain_parse(record_dir, arrays):
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(records):
        parsed = tf.io.parse_example(records, features)
        images = tf.io.decode_raw(parsed["image"], tf.uint8)
        return tf.reshape(images, [-1, 28, 28]), parsed["label"]

    assert [len(images) for images, _ in arrays.values()] == [55_000, 5_000, 10_000]
    for split, (images, labels) in arrays.items():
        shards = sorted(str(path) for path in record_dir.glob(f"{split}-*.tfrecord"))
        dataset = tf.data.TFRecordDataset(shards).batch(5000).map(parse)
        found = list(dataset.as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([image for image, _ in found]), images)
        np.testing.assert_array_equal(np.concatenate([label for _, label in found]), labels)


def test_the_library_reads_back_the_same_bits(record_dir, arrays):
    for split, (images, labels) in arrays.items():
        fn = input_fn(str(record_dir), split, 500, shuffle=False, repeat=False, label_key="label")
        start = 0
        for features, batch in fn().as_numpy_iterator():
            stop = start + len(batch)
            # Each of the 256 values has a float of its own, so the bytes come back from it.
            pixels = (batch.astype(np.float64) + 1) * 127.5
            assert np.abs(pixels - np.rint(pixels)).max() < 1e-4
            np.testing.assert_array_equal(np.rint(pixels)[..., 0], images[start:stop])
            np.testing.assert_array_equal(features["labels"], labels[start:stop])
            start = stop
        assert start == len(images)
