"""Rows to TFRecord shards with a manifest, and back to certainty."""

from reproducible_ml.datasets.serialize.from_source import serialize_npz, serialize_source
from reproducible_ml.datasets.serialize.manifest import Manifest, Shard, Split, read_manifest
from reproducible_ml.datasets.serialize.records import get_writer, write_records, write_samples
from reproducible_ml.datasets.serialize.shards import RECORD_PATTERN, div_mod

__all__ = [
    "RECORD_PATTERN",
    "Manifest",
    "Shard",
    "Split",
    "div_mod",
    "get_writer",
    "read_manifest",
    "serialize_npz",
    "serialize_source",
    "write_records",
    "write_samples",
]
