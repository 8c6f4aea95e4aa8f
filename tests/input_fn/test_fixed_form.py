"""Values taken by their place are those that protobuf parses, also where records differ in form."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import read_manifest, write_records
from reproducible_ml.handlers import ArrayHandler, FloatHandler, IntegersHandler, LabelHandler
from reproducible_ml.input_fn.readers.fixed_form import FixedForm
from reproducible_ml.input_fn.readers.memmap import memmap_gather

COUNT = 60


def rows():
    draw = np.random.default_rng(0)
    for number in range(COUNT):
        # One of the two needs two bytes and the other one, so all records are equally long.
        few, many = int(draw.integers(0, 128)), int(draw.integers(128, 16384))
        one, other = (few, many) if number % 3 else (many, few)
        yield {
            "image": draw.integers(0, 256, (3, 2), np.uint8),
            "wide": draw.integers(-(2**62), 2**62, 2),
            "half": draw.normal(size=4).astype(np.float16),
            "float": np.float32(draw.normal()),
            "one": one,
            "other": other,
            "pair": [few, many],
            "negative": -int(draw.integers(1, 2**62)),
        }


HANDLERS = {
    "image": ArrayHandler(),
    "wide": ArrayHandler(),
    "half": ArrayHandler(),
    "float": FloatHandler(),
    "one": LabelHandler(),
    "other": LabelHandler(),
    "pair": IntegersHandler((2,)),
    "negative": LabelHandler(),
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixed") / "data"
    write_records(folder, "{}-{}.tfrecord", HANDLERS, 17, {"train": COUNT}, lambda _: rows())
    return read_manifest(folder)


def test_a_gather_gives_each_value_as_it_was_written(manifest):
    order = np.random.default_rng(1).permutation(COUNT)
    gather = memmap_gather(manifest, "train", manifest.features)
    found = gather(tf.constant(order, tf.int64))
    written = list(rows())
    for key in HANDLERS:
        expected = np.array([written[index][key] for index in order])
        np.testing.assert_array_equal(found[key].numpy(), expected, err_msg=key)
        assert found[key].dtype == tf.as_dtype(manifest.features[key].dtype)


def test_records_of_another_form_are_told_apart(manifest):
    shard = tf.data.TFRecordDataset(f"{manifest.record_dir}/train-0.tfrecord")
    payloads = [record.numpy() for record in shard]
    form = FixedForm(payloads[0], manifest.features)
    table = np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), -1)
    assert form.fits(table).tolist() == [number % 3 == 0 for number in range(len(payloads))]


def test_encoded_images_are_not_taken_by_their_place(manifest):
    import dataclasses

    shard = tf.data.TFRecordDataset(f"{manifest.record_dir}/train-0.tfrecord")
    payload = next(iter(shard)).numpy()
    encoded = dataclasses.replace(manifest.features["image"], encoding="png")
    with pytest.raises(ValueError, match="'image' must be decoded"):
        FixedForm(payload, {"image": encoded})
    with pytest.raises(ValueError, match="missing"):
        FixedForm(payload, {"nothing": encoded})
