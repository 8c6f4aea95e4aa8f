"""Exact conversion of raw values: what a dtype cannot hold is an error, never wrapped or cut."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import ConfigError, DataError

# What a record can be read back as.
DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """Return a dtype that a record can hold.

    Raises:
        ConfigError: It is none of ``DTYPES``.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; it is one of {', '.join(DTYPES)}")
    return found


def checked_range(value_range: Any) -> tuple[float, float] | None:
    """Return a value range that can be mapped to [-1, 1] in float32, or None as it is.

    Raises:
        ConfigError: It is not two finite numbers, the lower one first.
    """
    if value_range is None:
        return None
    is_pair = isinstance(value_range, (tuple, list)) and len(value_range) == 2
    if is_pair and all(isinstance(end, Real) for end in value_range):
        low, high = float(value_range[0]), float(value_range[1])
        # What the reader divides by; 0 or infinity would make NaN or one value of every image.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            half = np.float32((high - low) / 2)
        if math.isfinite(low) and math.isfinite(high) and 0 < half < math.inf:
            return low, high
    raise ConfigError(
        f"value_range is {value_range!r}, expected (low, high): two finite numbers, low < high"
    )


def to_array(value: Any) -> np.ndarray[Any, Any]:
    """Make an array of a value.

    Raises:
        DataError: It is no array of numbers: ragged, of objects, of texts; or some are masked.
    """
    refuse_masked(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"found values that make no array ({error})") from None
    if array.dtype.kind not in "biuf":
        hint = "; its rows have unequal lengths or are no numbers" if array.dtype == object else ""
        raise DataError(f"found an array of dtype {array.dtype}, expected numbers{hint}")
    return array


def refuse_masked(value: Any) -> None:
    """Refuse an array in which values are missing, which NumPy would fill with what lies there.

    Raises:
        DataError: A value is masked.
    """
    is_masked: Any = np.ma.is_masked
    if isinstance(value, np.ma.MaskedArray) and is_masked(value):
        raise DataError("found a masked value, expected numbers; fill or drop what is missing")


def exact(value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Convert to a dtype, little-endian and in C order, without changing any value.

    Floats may lose precision to a shorter float type; that is what such a type is for.

    Args:
        value: A number, a nested list or an array.
        dtype: The dtype to store.

    Raises:
        DataError: A value is not a number, not whole or out of the dtype's range.
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
            raise DataError(f"found NaN where {target.name} is due")
        if np.isinf(array).any():
            raise DataError(f"found infinity where {target.name} is due")
        if (np.trunc(array) != array).any():
            worst = array[np.trunc(array) != array].flat[0]
            raise DataError(f"found {worst}, which is not whole, where {target.name} is due")
    if target.kind == "b":
        if ((array != 0) & (array != 1)).any():
            raise DataError("found a value other than 0 and 1 where bool is due")
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
