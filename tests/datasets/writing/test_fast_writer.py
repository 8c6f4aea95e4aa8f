"""Blocks of records have the bytes that protobuf gives one by one."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.datasets.serialize.wire.tfrecord import frame
from reproducible_ml.handlers import ArrayHandler, FeatureHandler, LabelHandler
from reproducible_ml.utils.errors import DataError

COUNT = 700


class Words(FeatureHandler):
    """A handler without batch method, of byte strings of any length."""

    def handle(self, row, key):
        return {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[row[key]]))}

    def schema(self):
        from reproducible_ml.handlers.schema import FeatureSchema

        return FeatureSchema("bytes", "uint8", None, "raw")


def rows():
    draw = np.random.default_rng(3)
    for number in range(COUNT):
        yield {
            "image": draw.integers(0, 256, (5, 3), np.uint8),
            "image/h": draw.normal(size=2).astype(np.float32),
            "wide": draw.integers(-5, 5, (2, 2)),
            "label": int(draw.integers(-3, 3)) * 10 ** int(draw.integers(0, 18)),
            "word": b"w" * (number % 200),
        }


ALL = {
    "image": (ArrayHandler(), lambda v: bytes_of(v.tobytes())),
    "image/h": (ArrayHandler(), lambda v: bytes_of(v.tobytes())),
    "wide": (ArrayHandler(), lambda v: bytes_of(v.tobytes())),
    "label": (
        LabelHandler(),
        lambda v: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])),
    ),
    "word": (Words(), lambda v: bytes_of(v)),
}


def bytes_of(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def written(folder, keys, source=rows, **options):
    handlers = {key: ALL[key][0] for key in keys}
    return write_records(
        folder, "{}-{}.tfrecord", handlers, 500, {"train": COUNT}, lambda _: source(), **options
    )


def by_the_loop(keys):
    out = []
    for row in rows():
        features = {key: ALL[key][1](row[key]) for key in keys}
        example = tf.train.Example(features=tf.train.Features(feature=features))
        out.append(frame(example.SerializeToString(deterministic=True)))
    return [b"".join(out[:500]), b"".join(out[500:])]


@pytest.mark.parametrize(
    "keys", [["image"], ["image", "image/h", "wide"], ["label"], ["image", "label"], list(ALL)]
)
def test_blocks_have_the_bytes_of_the_loop(keys, tmp_path):
    written(tmp_path / "data", keys)
    found = [(tmp_path / "data" / f"train-{index}.tfrecord").read_bytes() for index in (0, 1)]
    assert found == by_the_loop(keys)


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_compressed_blocks_hold_the_same_records(compression, tmp_path):
    plain = written(tmp_path / "plain", list(ALL))
    packed = written(tmp_path / "packed", list(ALL), compression=compression)
    assert packed.fingerprint == plain.fingerprint
    files = [str(tmp_path / "packed" / f"train-{index}.tfrecord") for index in (0, 1)]
    records = tf.data.TFRecordDataset(files, compression_type=compression).as_numpy_iterator()
    assert b"".join(map(frame, records)) == b"".join(by_the_loop(list(ALL)))


def test_a_generator_may_use_its_array_again(tmp_path):
    def reusing():
        image = np.empty((5, 3), np.uint8)
        for row in rows():
            image[:] = row["image"]
            yield {"image": image}

    reused = written(tmp_path / "reused", ["image"], reusing)
    assert reused.fingerprint == written(tmp_path / "fresh", ["image"]).fingerprint


def test_a_bad_row_within_a_block_is_named(tmp_path):
    def broken():
        for number, row in enumerate(rows()):
            yield {**row, "label": 0.5 if number == 321 else 1}

    with pytest.raises(DataError, match=r"train-0.tfrecord, record 321: "):
        written(tmp_path / "data", ["image", "label"], broken)
    assert not (tmp_path / "data").exists()
