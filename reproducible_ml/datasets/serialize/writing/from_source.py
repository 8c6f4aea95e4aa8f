"""Serialization of complete sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize.manifest import Manifest
from reproducible_ml.datasets.serialize.shard import RECORD_PATTERN
from reproducible_ml.datasets.serialize.writing.records import write_records
from reproducible_ml.datasets.sources import NpzArraySource, Source
from reproducible_ml.handlers import FeatureHandler


def serialize_source(
    source: Source,
    record_dir: str | Path,
    record_pattern: str = RECORD_PATTERN,
    samples_per_record: int = 5000,
    compression: str = "",
    overwrite: bool = False,
    workers: int = 1,
) -> Manifest:
    """Write all splits of a source with its own handlers.

    Args:
        source: A source, such as ``make_source`` returns.
        record_dir: Folder of the data set.
        record_pattern: Format pattern of the shard names.
        samples_per_record: Records in a full shard.
        compression: "", "GZIP" or "ZLIB".
        overwrite: Replace a data set that is already there.
        workers: Number of processes that write.

    Returns:
        The manifest.
    """
    return write_records(
        record_dir,
        record_pattern,
        source.keys_to_handlers,
        samples_per_record,
        source.split_to_size,
        source.rows_gen,
        compression=compression,
        keys_to_descriptions=source.keys_to_descriptions,
        overwrite=overwrite,
        source=source.describe(),
        workers=workers,
    )


def serialize_npz(
    npz_file: str | Path,
    key: str,
    record_dir: str | Path = "data/npz",
    handler: FeatureHandler | None = None,
    value_range: Sequence[float] | None = None,
    **options: Any,
) -> Manifest:
    """Write one array of an NPZ file as the train split, with a record for each of its rows.

    Args:
        npz_file: The file.
        key: Name of the array in it, and of the feature.
        record_dir: Folder of the data set.
        handler: Handles each row; by default ``ArrayHandler`` with the array's shape and type.
        value_range: (low, high), the values that become -1 and 1; None takes the range of images
            from their dtype and values.
        **options: ``record_pattern``, ``samples_per_record``, ``keys_to_descriptions`` and other
            arguments of ``write_records``.

    Returns:
        The manifest.

    Raises:
        DataError: The file is missing or damaged, has no such array with at least one row, or its
            images have NaN or infinity.
    """
    source = NpzArraySource(npz_file, key, handler, value_range)
    return write_records(
        record_dir,
        options.pop("record_pattern", RECORD_PATTERN),
        source.keys_to_handlers,
        options.pop("samples_per_record", 5000),
        source.split_to_size,
        source.rows_gen,
        source=source.describe(),
        **options,
    )
