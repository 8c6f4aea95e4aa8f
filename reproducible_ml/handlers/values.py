"""Exact conversion of raw values; one that the dtype cannot hold is an error, never wrapped."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import ConfigError, DataError

# The types that a reader can return.
DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """Return a dtype that a record can hold.

    Raises:
        ConfigError: It is not one of ``DTYPES``.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
    return found


def checked_range(value_range: Any) -> tuple[float, float] | None:
    """Return a value range that can be mapped to [-1, 1] in float32; None stays None.

    Raises:
        ConfigError: It is not two finite numbers, the lower one first.
    """
    if value_range is None:
        return None
    is_pair = isinstance(value_range, (tuple, list)) and len(value_range) == 2
    if is_pair and all(isinstance(end, Real) for end in value_range):
        low, high = float(value_range[0]), float(value_range[1])
        # The reader divides by this; 0 would give NaN, infinity a constant.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            half = np.float32((high - low) / 2)
        if math.isfinite(low) and math.isfinite(high) and 0 < half < math.inf:
            return low, high
    raise ConfigError(
        f"value_range is {value_range!r}, expected (low, high): two finite numbers, low < high"
    )


def checked_shape(shape: Any, least: int = 0) -> tuple[int, ...]:
    """Return a shape as Python's integers.

    Args:
        shape: The sizes.
        least: The least that a size may be.

    Raises:
        ConfigError: It is not a list of such integers; 64.5 is not cut to 64.
    """
    try:
        if isinstance(shape, (str, bytes)) or any(isinstance(size, bool) for size in shape):
            raise TypeError
        found = tuple(operator.index(size) for size in shape)
    except TypeError:
        found = (least - 1,)
    if any(size < least for size in found):
        shown = tuple(shape) if isinstance(shape, list) else shape
        raise ConfigError(f"expected shape of integers from {least} on, found {shown!r}")
    return found


def to_array(value: Any) -> np.ndarray[Any, Any]:
    """Convert a value to an array of numbers.

    Raises:
        DataError: It is ragged, holds objects or strings, or has masked values.
    """
    refuse_masked(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"found values that do not form an array ({error})") from None
    if array.dtype.kind not in "biuf":
        hint = "; its rows have unequal lengths or are no numbers" if array.dtype == object else ""
        raise DataError(f"found an array of dtype {array.dtype}, expected numbers{hint}")
    return array


def refuse_masked(value: Any) -> None:
    """Refuse an array with missing values; NumPy would use whatever its memory holds there.

    Raises:
        DataError: A value is masked.
    """
    is_masked: Any = np.ma.is_masked
    if isinstance(value, np.ma.MaskedArray) and is_masked(value):
        raise DataError("found a masked value, expected numbers; fill or drop missing values")


def exact(value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Convert to a dtype, little-endian and in C order, without changing any value.

    Only precision may be lost, when floats are converted to a shorter float type.

    Args:
        value: A number, a nested list or an array.
        dtype: The dtype to store.

    Raises:
        DataError: A value is not a number, not an integer or out of the dtype's range.
    """
    array = to_array(value)
    target = np.dtype(dtype).newbyteorder("<")
    if array.dtype == target:
        return np.asarray(array, order="C")
    if array.size and not np.can_cast(array.dtype, target, "safe"):
        _check_values(array, target)
    with np.errstate(over="ignore"):
        return array.astype(target, order="C")


def _check_values(array: np.ndarray[Any, Any], target: np.dtype[Any]) -> None:
    if target.kind == "f":
        _check_range(array[np.isfinite(array)], target, np.finfo(target))
        return
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            raise DataError(f"found NaN, expected {target.name}")
        if np.isinf(array).any():
            raise DataError(f"found infinity, expected {target.name}")
        if (np.trunc(array) != array).any():
            worst = array[np.trunc(array) != array].flat[0]
            raise DataError(f"found {worst}, which is not an integer, expected {target.name}")
    if target.kind == "b":
        if ((array != 0) & (array != 1)).any():
            raise DataError("found a value other than 0 and 1, expected bool")
        return
    _check_range(array, target, np.iinfo(target))


def _check_range(array: np.ndarray[Any, Any], target: np.dtype[Any], limits: Any) -> None:
    if not array.size:
        return
    # Python's numbers compare exactly; NumPy would compare int64 with uint64 as floats.
    low, high = array.min().item(), array.max().item()
    least, most = _python(limits.min), _python(limits.max)
    if low < least or high > most:
        found = low if low < least else high
        raise DataError(
            f"found {found}, out of the range of {target.name} ({least} to {most}); "
            "choose another dtype"
        )


def _python(number: Any) -> Any:
    return number.item() if isinstance(number, np.generic) else number
