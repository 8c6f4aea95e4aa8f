"""Checks of arrays of images before anything is written: form, finite values, one range for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers import (
    DTYPES,
    SIGNED_UNIT,
    ValueSpan,
    check_span,
    not_finite,
    range_of,
    span_of,
)
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Range = tuple[float, float]

_CHANNELS = (1, 3, 4)
_IMAGES = 3  # dimensions of an array of grey images


def check_images(name: str, images: Array) -> None:
    """Refuse an array that does not hold images.

    Args:
        name: File and name of the array, for errors.
        images: The array.

    Raises:
        DataError: Its dtype or shape is not that of images.
    """
    if images.dtype.name not in DTYPES:
        raise DataError(f"{name} has dtype {images.dtype}, expected numbers.")
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim == 0 or 0 in images.shape[1:] or channels not in _CHANNELS:
        first = images.ndim == 4 and images.shape[1] in _CHANNELS
        hint = " Put channels last: numpy.moveaxis(images, 1, -1)." if first else ""
        raise DataError(
            f"{name} has shape {images.shape}, expected (count, height, width) or (count, height, "
            f"width, channels) with 1, 3 or 4 channels.{hint}"
        )


def check_alike(where: str, arrays: Mapping[str, Array], stated: Range | None) -> None:
    """Refuse images of several forms or scales, and values that no network should see.

    Args:
        where: The file, for errors.
        arrays: Name -> images.
        stated: The range that the user stated; None if it follows from the values.

    Raises:
        DataError: The arrays differ in shape or in kind, or an image has NaN, infinity or a value
            outside the range, or the range can't be told.
    """
    (first, images), *others = arrays.items()
    if images.ndim not in (_IMAGES, _IMAGES + 1):
        return  # refused for its shape by the source
    for name, other in others:
        if _pixels(other) != _pixels(images):
            raise DataError(
                f"{where}: {name} has images of shape {other.shape[1:]}, {first} of shape "
                f"{images.shape[1:]}; expected one shape."
            )
        if other.dtype.kind != images.dtype.kind and {other.dtype.kind, images.dtype.kind} != set(
            "iu"
        ):
            raise DataError(
                f"{where}: {name} has dtype {other.dtype.name}, {first} {images.dtype.name}; "
                "expected one dtype, with values on one scale."
            )
    whole: ValueSpan | None = None
    for name, array in arrays.items():
        span = _checked_span(f"{where}: {name}", array, stated)
        whole = whole if span is None else span.joined(whole)
    if whole is None or stated is not None:
        return
    try:
        range_of(images.dtype, whole)
    except DataError as error:
        raise DataError(f"{where}: {', '.join(arrays)}: {error}.") from error


def _pixels(images: Array) -> tuple[int, ...]:
    """Return (height, width, channels); grey images may leave the last out."""
    return (*images.shape[1:], 1) if images.ndim == _IMAGES else images.shape[1:]


def array_range(name: str, array: Array, stated: Range | None) -> Range | None:
    """Return the range of rows in an array; None to leave them as they are.

    Args:
        name: File and name of the array, for errors.
        array: The rows.
        stated: The range that the user stated, or None.

    Raises:
        DataError: Rows of two dimensions or more have NaN or infinity, or values are outside the
            stated range.
    """
    if stated is None and array.ndim < _IMAGES:
        return None
    span = _checked_span(name, array, stated)
    if span is None or stated is not None:
        return stated
    try:
        found = range_of(array.dtype, span)
    except DataError as error:
        if array.dtype != "uint8":
            # Perhaps no images at all. If they are read as such, it is an error then.
            return None
        raise DataError(f"{name}: {error}.") from error
    return None if found == SIGNED_UNIT and array.dtype.kind == "f" else found


def _checked_span(name: str, array: Array, stated: Range | None) -> ValueSpan | None:
    """Return an array's span.

    Raises:
        DataError: A value is NaN, infinite or outside the stated range; the message names the row.
    """
    span = span_of(array)
    if span is None:
        return None
    try:
        _check(span, stated)
    except DataError:
        # Only now row by row, since there is something to be found.
        for number, row in enumerate(array):
            try:
                one = span_of(row)
                if one is not None:
                    _check(one, stated)
            except DataError as error:
                raise DataError(f"{name}, row {number}: {error}.") from error
        raise
    return span


def _check(span: ValueSpan, stated: Range | None) -> None:
    if stated is not None:
        check_span(span, stated)
    elif not span.is_finite:
        raise DataError(f"found {not_finite(span)}, expected finite numbers")
