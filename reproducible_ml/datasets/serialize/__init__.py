"""Rows to TFRecord shards with a manifest, and back to certainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.manifest import (
        FORMAT_NAME,
        MANIFEST_FILE,
        Manifest,
        Shard,
        Split,
        compute_fingerprint,
        read_manifest,
    )
    from reproducible_ml.datasets.serialize.shard import RECORD_PATTERN, div_mod
    from reproducible_ml.datasets.serialize.writing import (
        get_writer,
        serialize_npz,
        serialize_source,
        write_records,
        write_samples,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "FORMAT_NAME",
    "MANIFEST_FILE",
    "RECORD_PATTERN",
    "Manifest",
    "Shard",
    "Split",
    "compute_fingerprint",
    "div_mod",
    "get_writer",
    "read_manifest",
    "serialize_npz",
    "serialize_source",
    "write_records",
    "write_samples",
]
