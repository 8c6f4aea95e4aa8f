"""Data sets written record by record with TensorFlow alone, so that tests know what is in them."""

import hashlib
import struct

import crc32c
import numpy as np
import tensorflow as tf

from reproducible_ml.datasets.serialize.manifest import (
    Manifest,
    Shard,
    Split,
    compute_fingerprint,
    write_manifest,
)
from reproducible_ml.handlers.schema import FeatureSchema

SIZE = (4, 5, 1)
FEATURES = {
    "image": FeatureSchema("bytes", "uint8", SIZE, "raw", "", (0.0, 255.0)),
    "label": FeatureSchema("int64", "int64", (), "list"),
}


def images_of(records, seed=0):
    """Give images that differ from one another: uint8 [records, 4, 5, 1]."""
    images = np.random.default_rng(seed).integers(0, 256, (records, *SIZE), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(records), 256)
    return images


def bytes_list(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def int64_list(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def float_list(*values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def example(features):
    """Serialize one record."""
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return message.SerializeToString(deterministic=True)


def digit_records(records, seed=0):
    """Give serialized records of an image and its number modulo 10."""
    return [
        example({"image": bytes_list(image.tobytes()), "label": int64_list(i % 10)})
        for i, image in enumerate(images_of(records, seed))
    ]


def write_by_hand(record_dir, splits, features=None, compression="", per_shard=None):
    """Write a data set.

    Args:
        record_dir: Its folder.
        splits: Serialized records by split name, or their number for digit records.
        features: The schema, for digit records by default.
        compression: "", "GZIP" or "ZLIB".
        per_shard: Records in each shard, all by default.
    """
    record_dir.mkdir(parents=True, exist_ok=True)
    features = features or FEATURES
    contents = {}
    for name, rows in splits.items():
        rows = digit_records(rows) if isinstance(rows, int) else rows
        size = per_shard or len(rows)
        shards = []
        for number, first in enumerate(range(0, len(rows), size)):
            path = record_dir / f"{name}-{number:05d}.tfrecord"
            with tf.io.TFRecordWriter(str(path), compression) as writer:
                for row in rows[first : first + size]:
                    writer.write(row)
            data = path.read_bytes()
            count = len(rows[first : first + size])
            shards.append(Shard(path.name, count, len(data), f"{crc32c.crc32c(data):08x}"))
        packed = b"".join(struct.pack("<QI", len(row), crc32c.crc32c(row)) for row in rows)
        digest = hashlib.sha256(packed).hexdigest()
        contents[name] = Split(len(rows), tuple(shards), digest)
    summary = {name: (split.records, split.content) for name, split in contents.items()}
    manifest = Manifest(
        record_dir=str(record_dir),
        features=features,
        splits=contents,
        compression=compression,
        fingerprint=compute_fingerprint(features, summary),
        record_pattern="{}-{:05d}.tfrecord",
        samples_per_record=per_shard or max(split.records for split in contents.values()),
    )
    write_manifest(manifest)
    return manifest
