"""A watch on the values that are written: their span, and none that no reader could scale.

The least and the largest value of each feature that can be an image go into the manifest, and the
range of those that state none follows from them. NaN and infinity show in the least and the largest
value, so looking for them costs nothing more.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reproducible_ml.handlers import (
    FeatureHandler,
    FeatureSchema,
    ValueSpan,
    check_span,
    dtype_limits,
    not_finite,
    range_of,
    range_text,
    span_of,
)
from reproducible_ml.utils.errors import DataError

# Split -> feature name -> span of its values.
Spans = Mapping[str, Mapping[str, ValueSpan]]
# The dimensions that a reader takes for an image.
_IMAGE_DIMENSIONS = (2, 3)
# The same picture at a range that is so much wider is black.
_DARK = 100


class Watch:
    """Follows the values of a data set while it is written.

    Args:
        schema: Schema by feature name.
        handlers: Handler by feature name.
    """

    def __init__(
        self, schema: Mapping[str, FeatureSchema], handlers: Mapping[str, FeatureHandler]
    ) -> None:
        self._open = [key for key, one in schema.items() if _is_open(handlers.get(key), one)]
        self._schema = {
            key: one for key, one in schema.items() if key in self._open or _is_watched(one)
        }
        self._spans: dict[str, ValueSpan] = {}
        self._settled: set[str] = set()

    def see(self, key: str, values: Any) -> None:
        """Look at some of a feature's values.

        Args:
            key: Name of the feature.
            values: What its records hold: byte strings, as uint8 [n, bytes] or a sequence, or
                numbers.

        Raises:
            DataError: A value is outside the feature's range, NaN or infinite.
        """
        if key not in self._schema or key in self._settled:
            return
        schema = self._schema[key]
        found = span_of(numbers_of(values, schema))
        if found is None:
            return
        if schema.value_range is not None:
            check_span(found, schema.value_range)
        elif key in self._open and not found.is_finite:
            raise DataError(f"found {not_finite(found)}, expected finite numbers")
        joined = found.joined(self._spans.get(key))
        self._spans[key] = joined
        # Nothing can follow that would change it: bytes are soon through.
        if np.dtype(schema.dtype).kind in "biu" and (
            (joined.minimum, joined.maximum) == dtype_limits(schema.dtype)
        ):
            self._settled.add(key)

    def taken(self) -> dict[str, ValueSpan]:
        """Return the spans since the last call."""
        found, self._spans, self._settled = self._spans, {}, set()
        return found


def joined(parts: Sequence[Mapping[str, ValueSpan]]) -> dict[str, ValueSpan]:
    """Join the spans of several parts of a data set."""
    found: dict[str, ValueSpan] = {}
    for part in parts:
        for key, span in part.items():
            found[key] = span.joined(found.get(key))
    return found


def with_ranges(
    schema: Mapping[str, FeatureSchema], handlers: Mapping[str, FeatureHandler], spans: Spans
) -> dict[str, FeatureSchema]:
    """Return the schema with the spans that were found, and the ranges that follow from them.

    Raises:
        DataError: The range of a feature can't be told; the message names the feature.
    """
    found, whole = dict(schema), joined(list(spans.values()))
    for key, span in whole.items():
        one = schema[key].spanning(span)
        if _is_open(handlers.get(key), schema[key]):
            try:
                value_range = range_of(one.dtype, span)
                _check_splits(one.dtype, value_range, key, spans)
            except DataError as error:
                raise DataError(f"field {key!r}: {error}.") from error
            one = one.ranging(value_range)
        found[key] = one
    return found


def _check_splits(dtype: str, value_range: Any, key: str, spans: Spans) -> None:
    """Refuse splits of different scales, such as floats of 0 to 1 beside floats of 0 to 255."""
    if np.dtype(dtype).kind != "f":
        return
    for split, span in ((name, found[key]) for name, found in spans.items() if key in found):
        try:
            own = range_of(dtype, span)
        except DataError:
            continue
        if value_range[1] > _DARK * own[1]:
            raise DataError(
                f"the split {split!r} holds values from {span.minimum:g} to {span.maximum:g}, "
                f"others up to {value_range[1]:g}: scale all splits alike, or state "
                f"{range_text(value_range)}"
            )


def _is_open(handler: FeatureHandler | None, schema: FeatureSchema) -> bool:
    """Tell whether the range of a feature is to be taken from its values."""
    # The last of a chain is the one that stores them.
    while (inner := getattr(handler, "delegate_to", None)) is not None:
        handler = inner
    return (
        handler is not None
        and handler.range_from_values
        # A subclass may state a range, or a form without pixels, in a schema of its own.
        and schema.value_range in (None, handler.value_range)
        and schema.encoding in ("png", "jpeg", "raw")
        and not (schema.encoding == "raw" and schema.shape is None)
    )


def _is_watched(schema: FeatureSchema) -> bool:
    if schema.encoding == "list":
        return schema.value_range is not None
    if schema.encoding == "png":
        # Its bytes would have to be decoded, and a picture of 8 bits holds bytes.
        return schema.dtype != "uint8"
    return (
        schema.encoding == "raw"
        and schema.shape is not None
        and (schema.value_range is not None or len(schema.shape) in _IMAGE_DIMENSIONS)
    )


def numbers_of(values: Any, schema: FeatureSchema) -> np.ndarray[Any, Any]:
    """Return the numbers that a feature's records hold.

    Args:
        values: Byte strings, as uint8 [n, bytes] or a sequence, or numbers.
        schema: The feature's schema.
    """
    dtype = np.dtype(schema.dtype).newbyteorder("<")
    if schema.encoding in ("png", "jpeg"):
        from PIL import Image

        pictures = [np.asarray(Image.open(io.BytesIO(value))) for value in values]
        return np.concatenate([one.ravel() for one in pictures])
    if schema.encoding == "list":
        return np.asarray(values)
    if isinstance(values, np.ndarray):
        return values.view(dtype) if values.size else np.empty(0, dtype)
    return np.frombuffer(b"".join(values), dtype)
