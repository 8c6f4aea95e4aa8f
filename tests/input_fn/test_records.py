"""The steps of the project's own description, and every encoding read from the manifest alone."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.input_fn import dataset_from_records, map_fn, shuffle_repeat_prefetch
from reproducible_ml.input_fn.parse import parse_batch, scale
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.input_fn.by_hand import (
    FEATURES,
    SIZE,
    bytes_list,
    example,
    float_list,
    images_of,
    int64_list,
    write_by_hand,
)


def test_the_described_input_function_runs(tmp_path):
    write_by_hand(tmp_path, {"train": 12}, {"image": FEATURES["image"]}, "GZIP", 5)
    batch_size = 4

    def input_fn():
        def fn():
            dataset = dataset_from_records(f"{tmp_path}/train-*.tfrecord")
            dataset = dataset.map(map_func=map_fn())
            dataset = dataset.batch(batch_size)
            dataset = shuffle_repeat_prefetch(dataset)
            return dataset

        return fn

    batches = [batch.numpy() for batch in input_fn()().take(6)]
    assert all(batch.shape == (4, *SIZE) for batch in batches)
    expected = images_of(12) / np.float32(127.5) - np.float32(1)
    for epoch in (batches[:3], batches[3:]):
        read = sorted(image.tobytes() for batch in epoch for image in batch)
        assert read == sorted(image.tobytes() for image in expected)
    again = [batch.numpy() for batch in input_fn()().take(6)]
    np.testing.assert_array_equal(batches, again)


def test_several_features_come_as_a_dictionary(tmp_path):
    write_by_hand(tmp_path, {"train": 3})
    dataset = dataset_from_records(tmp_path / "train-*").map(map_fn(tmp_path))
    values = list(dataset.as_numpy_iterator())
    assert [value["label"] for value in values] == [0, 1, 2]
    assert values[0]["image"].shape == SIZE
    labels = dataset_from_records(tmp_path / "train-*").map(map_fn(keys=["label"]))
    assert list(labels.as_numpy_iterator()) == [0, 1, 2]


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path):
    write_by_hand(tmp_path, {"train": 3})
    with pytest.raises(DataError, match=r"matches no shard.*train \(1 shards\)"):
        dataset_from_records(tmp_path / "training-*.tfrecord")


def test_a_pattern_that_matches_part_of_a_split_is_an_error(tmp_path):
    write_by_hand(tmp_path, {"train": 6}, per_shard=2)
    with pytest.raises(DataError, match="matches only 1 of the 3 shards of split 'train'"):
        dataset_from_records(tmp_path / "train-00001.tfrecord")


def test_map_fn_needs_a_data_set(monkeypatch):
    monkeypatch.setattr("reproducible_ml.input_fn.records._opened", [])
    with pytest.raises(ConfigError, match="needs a record_dir"):
        map_fn()


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
DTYPES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
ENCODINGS = {
    f"raw {dtype}": (
        FeatureSchema("bytes", dtype, (2, 3), "raw"),
        lambda value: bytes_list(value.tobytes()),
        np.arange(6).reshape(2, 3).astype(dtype),
    )
    for dtype in DTYPES
}
ENCODINGS.update(
    {
        "png": (
            FeatureSchema("bytes", "uint8", (3, 4, 3), "png"),
            lambda value: bytes_list(png(value)),
            COLOUR,
        ),
        "gray png": (
            FeatureSchema("bytes", "uint8", (3, 4), "png"),
            lambda value: bytes_list(png(value)),
            GRAY,
        ),
        "integers": (
            FeatureSchema("int64", "int32", (3,), "list"),
            lambda value: int64_list(*value.tolist()),
            np.array([1, -5, 2**31 - 1], np.int32),
        ),
        "floats": (
            FeatureSchema("float", "float32", (2, 2), "list"),
            lambda value: float_list(*value.ravel().tolist()),
            np.array([[0.5, -1], [3, 4]], np.float32),
        ),
        "text": (
            FeatureSchema("bytes", "string", (), "utf8"),
            lambda value: bytes_list(value),
            "zwölf".encode(),
        ),
    }
)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_value_comes_back_as_it_was_written(encoding):
    schema, feature, value = ENCODINGS[encoding]
    records = tf.constant([example({"value": feature(value)})] * 3)
    found = parse_batch(records, {"value": schema})["value"].numpy()
    assert found.shape == (3, *np.shape(value))
    for one in found:
        np.testing.assert_array_equal(one, value)
    if schema.encoding != "utf8":
        assert found.dtype == np.dtype(schema.dtype)


def test_lists_of_varying_length_come_ragged():
    schema = FeatureSchema("int64", "int64", None, "list")
    records = tf.constant([example({"value": int64_list(*range(n))}) for n in (2, 0, 3)])
    found = parse_batch(records, {"value": schema})["value"]
    assert found.to_list() == [[0, 1], [], [0, 1, 2]]


def test_jpeg_comes_back_about_as_it_was_written():
    smooth = np.full((8, 8, 3), 100, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG")
    schema = FeatureSchema("bytes", "uint8", (8, 8, 3), "jpeg")
    record = tf.constant([example({"value": bytes_list(buffer.getvalue())})])
    found = parse_batch(record, {"value": schema})["value"].numpy()[0]
    assert np.abs(found.astype(int) - 100).max() <= 2


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("uint16", 0, 65_535), ("float32", -3, 5)]
)
def test_the_value_range_is_scaled_to_minus_one_and_one(dtype, low, high):
    value = np.array([low, (low + high) / 2, high]).astype(dtype)
    schema = FeatureSchema("bytes", dtype, (3,), "raw", value_range=(low, high))
    record = tf.constant([example({"value": bytes_list(value.tobytes())})])
    parsed = parse_batch(record, {"value": schema})["value"]
    found = scale(parsed, schema).numpy()[0]
    assert found.dtype == np.float32
    assert (found[0], found[2]) == (-1, 1)
    assert abs(found[1]) < 0.005


def test_a_dtype_of_another_size_is_an_error():
    record = tf.constant([example({"value": bytes_list(bytes(12))})] * 2)
    for dtype in ("uint8", "float64"):
        schema = FeatureSchema("bytes", dtype, (3,), "raw")
        with pytest.raises(tf.errors.InvalidArgumentError):
            parse_batch(record, {"value": schema})


def test_a_missing_feature_is_an_error():
    record = tf.constant([example({"other": int64_list(1)})])
    with pytest.raises(tf.errors.InvalidArgumentError, match="value"):
        parse_batch(record, {"value": FeatureSchema("int64", "int64", (), "list")})


def jpeg(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def any_shape(folder, encoding, dtype, contents):
    """Write encoded images of any shape."""
    schema = FeatureSchema(
        "bytes", dtype, None, encoding, "", (0, 255 if dtype == "uint8" else 65535)
    )
    rows = [example({"image": bytes_list(content)}) for content in contents]
    write_by_hand(folder, {"train": rows}, {"image": schema})
    return dataset_from_records(folder / "train-*").map(map_fn())


def test_png_images_of_any_shape_are_decoded_one_by_one(tmp_path):
    images = [COLOUR, GRAY, COLOUR[:2, :1], np.dstack([COLOUR, GRAY])]
    found = list(any_shape(tmp_path, "png", "uint8", map(png, images)))
    for one, image in zip(found, images):
        whole = image if image.ndim == 3 else image[..., None]
        np.testing.assert_array_equal(one, whole / np.float32(127.5) - np.float32(1))


def test_deep_png_images_of_any_shape_are_decoded_one_by_one(tmp_path):
    images = [np.array([[0, 65535, 255]], np.uint16), np.array([[1], [256]], np.uint16)]
    found = list(any_shape(tmp_path, "png", "uint16", map(png, images)))
    for one, image in zip(found, images):
        whole = image[..., None] / np.float32(32767.5) - np.float32(1)
        np.testing.assert_array_equal(one, whole)


def test_jpeg_images_of_any_shape_are_decoded_one_by_one(tmp_path):
    shapes = [(8, 8, 3), (5, 9), (1, 2, 3)]
    images = [np.full(shape, 100, np.uint8) for shape in shapes]
    found = list(any_shape(tmp_path, "jpeg", "uint8", map(jpeg, images)))
    assert [one.shape for one in found] == [(8, 8, 3), (5, 9, 1), (1, 2, 3)]
    for one in found:
        assert np.abs((one.numpy() + 1) * 127.5 - 100).max() <= 2


def test_raw_bytes_of_no_shape_are_an_error_that_names_the_feature(tmp_path):
    schema = FeatureSchema("bytes", "uint8", None, "raw", "", (0, 255))
    rows = [example({"blob": bytes_list(b"x" * n)}) for n in (2, 3)]
    write_by_hand(tmp_path, {"train": rows}, {"blob": schema})
    with pytest.raises(DataError, match="feature 'blob' holds raw bytes whose shape varies"):
        map_fn(tmp_path)
