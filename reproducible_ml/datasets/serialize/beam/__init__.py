"""Serialization on Apache Beam: the same shards and manifest, written by any number of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.beam.records import write_records
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "write_records",
]
