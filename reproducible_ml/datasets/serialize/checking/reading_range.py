"""The range by which a feature is read, so that what a network gets lies in [-1, 1].

The manifest states the range, and the least and the largest value that were written. Data sets of
version 1.0 state no values, and their ranges follow from the dtype alone: these values are looked
at once, and a range that would put them outside [-1, 1], or all of them at -1, is an error.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from reproducible_ml.datasets.serialize.encoding import numbers_of
from reproducible_ml.datasets.serialize.manifest import Manifest, read_manifest
from reproducible_ml.datasets.serialize.shard import batches_of, mapped
from reproducible_ml.handlers import (
    DTYPES,
    SIGNED_UNIT,
    FeatureSchema,
    ValueSpan,
    check_span,
    dtype_limits,
    not_finite,
    range_of,
    span_of,
)
from reproducible_ml.utils.errors import DataError

_AGAIN = "Serialize the data set again; the range then follows from the values, or from value_range"


def readable(manifest: Manifest, split: str, key: str, is_image: bool) -> FeatureSchema:
    """Return a feature's schema with the range by which it is read.

    Args:
        manifest: The data set, whose shards were checked.
        split: The split that is read.
        key: Name of the feature.
        is_image: It is read as an image, which lies in [-1, 1] also if no range was stated.

    Raises:
        DataError: The values are outside the range, NaN or infinite, or an image's range can't be
            told.
    """
    schema = manifest.features[key]
    if not _is_numeric(schema) or (schema.value_range is None and not is_image):
        return schema
    try:
        if schema.span is not None:
            # Values outside a stated range were refused when they were written.
            if schema.value_range is not None:
                return schema
            return schema.ranging(range_of(schema.dtype, schema.span))
        return _as_of_before(manifest, split, key, schema)
    except DataError as error:
        raise DataError(f"{manifest.record_dir}: feature {key!r}: {error}. {_AGAIN}.") from error


def odd_values(manifest: Manifest) -> str | None:
    """Name the first feature that holds NaN or infinity, with its record; None if there is none."""
    folder = str(Path(manifest.record_dir).resolve())
    for split in manifest.splits:
        for key, schema in manifest.features.items():
            if not (_is_numeric(schema) and schema.dtype.startswith("float")):
                continue
            try:
                _span(folder, manifest.fingerprint, split, key)
            except DataError as error:
                return f"{manifest.record_dir}: feature {key!r}: {error}"
    return None


def _as_of_before(manifest: Manifest, split: str, key: str, schema: FeatureSchema) -> FeatureSchema:
    """Check the range of a data set that states no values."""
    if schema.dtype in ("bool", "uint8"):
        limits = ValueSpan(*dtype_limits(schema.dtype))
        if schema.value_range is None:
            return schema.ranging(range_of(schema.dtype, limits))
        if schema.value_range == range_of(schema.dtype, limits):
            return schema
    span = _span(str(Path(manifest.record_dir).resolve()), manifest.fingerprint, split, key)
    if span is None:
        return schema
    check_span(span, schema.value_range or SIGNED_UNIT)
    if schema.value_range is not None and schema.value_range == _range_of_before(schema.dtype):
        try:
            told = range_of(schema.dtype, span)
        except DataError:
            return schema
        if told != schema.value_range:
            low, high = schema.value_range
            raise DataError(
                f"it is read with the range {low:g} to {high:g} of its dtype {schema.dtype}, but "
                f"its values are {span.minimum} to {span.maximum}"
            )
    return schema


def _range_of_before(dtype: str) -> tuple[float, float] | None:
    """Return the range that version 1.0 took from the dtype."""
    if np.dtype(dtype).kind not in "iu":
        return None
    return 0.0, float(dtype_limits(dtype)[1])


def _is_numeric(schema: FeatureSchema) -> bool:
    if schema.shape is None and schema.encoding == "raw":
        return False
    return schema.dtype in DTYPES and schema.encoding != "utf8"


@lru_cache(maxsize=64)
def _span(record_dir: str, fingerprint: str, split: str, key: str) -> ValueSpan | None:
    """Find the least and the largest value of a split.

    Raises:
        DataError: A value is NaN or infinite; the message names the record.
    """
    import tensorflow as tf

    # The fingerprint only tells data sets apart that stood in one folder, one after the other.
    del fingerprint
    manifest = read_manifest(record_dir)
    schema = manifest.features[key]
    whole: ValueSpan | None = None
    for shard in manifest.splits[split].shards:
        number = 0
        for batch in batches_of(mapped(Path(record_dir) / shard.file), manifest.compression):
            for index in range(len(batch.starts)):
                example = tf.train.Example.FromString(bytes(batch.payload(index)))
                values = getattr(example.features.feature[key], f"{schema.kind}_list").value
                found = span_of(numbers_of(values, schema))
                if found is not None and not found.is_finite:
                    raise DataError(
                        f"{shard.file}, record {number}: found {not_finite(found)}, expected "
                        "finite numbers"
                    )
                whole = whole if found is None else found.joined(whole)
                number += 1
    return whole
