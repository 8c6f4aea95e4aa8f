"""The objects without items that a configuration may hold packed, each made by a function here."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np

_DTYPE = re.compile(
    r"[<>|=]?([biufc]\d{1,2}|[SU]\d{1,6})|bool|u?int\d{1,2}|float\d{2}|complex\d{2,3}"
)
_LARGEST_ARRAY_BYTES = 1 << 30
_NUMPY = (
    *("numpy.bool_", "numpy.bool", "numpy.float16", "numpy.float32", "numpy.float64"),
    *("numpy.complex64", "numpy.complex128", "numpy.str_", "numpy.bytes_"),
    *(f"numpy.{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
# Names of ``leaf``.
NAMED = {
    *_NUMPY,
    *("numpy.ndarray", "builtins.complex", "uuid.UUID"),
    *("datetime.datetime", "datetime.date", "datetime.time"),
}


def reduced(kind: Any, arguments: Any) -> Any:
    """Return an object that is packed as a type with arguments; None for another type.

    Args:
        kind: Name of the type, such as "pathlib.PosixPath".
        arguments: Its arguments, unpacked.

    Raises:
        TypeError, ValueError, ArithmeticError: The arguments don't fit.
    """
    make = _REDUCED.get(kind) if isinstance(kind, str) else None
    return make(*arguments) if make is not None and isinstance(arguments, tuple) else None


def _path(*parts: str) -> Path:
    return Path(*_all(str, parts))


def _pure_path(*parts: str) -> PurePath:
    return PurePath(*_all(str, parts))


def _all(kind: type | tuple[type, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not all(isinstance(one, kind) for one in values):
        raise TypeError(f"expected {kind}")
    return values


def _slice(*arguments: int | None) -> slice:
    return slice(*_all((int, type(None)), arguments))


def _range(*arguments: int) -> range:
    return range(*_all(int, arguments))


def _fraction(*arguments: int) -> Fraction:
    # Of a string such as "1e999999999" it would compute the digits.
    return Fraction(*_all(int, arguments))


def _decimal(text: str) -> Decimal:
    return Decimal(*_all(str, (text,)))


_REDUCED: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath"), _path),
    **dict.fromkeys(
        ("pathlib.PurePath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath"), _pure_path
    ),
    "builtins.frozenset": frozenset,
    "builtins.slice": _slice,
    "builtins.range": _range,
    "datetime.timedelta": timedelta,
    "datetime.timezone": timezone,
    "decimal.Decimal": _decimal,
    "fractions.Fraction": _fraction,
}


def leaf(kind: str, given: Mapping[str, Any]) -> Any:
    """Return an object that is packed by its name; None if it can't be made.

    Args:
        kind: One of ``NAMED``.
        given: What is packed beside the name, unpacked.

    Raises:
        TypeError, ValueError, ArithmeticError, LookupError: That doesn't fit.
    """
    if kind == "numpy.ndarray":
        return _array(given)
    if kind in _NUMPY:
        return _scalar(given)
    if kind == "builtins.complex":
        real, imaginary = given["py/newargs"]
        return complex(float(real), float(imaginary))
    if kind == "uuid.UUID":
        return UUID(hex=given["hex"])
    text, *zone = given["arguments"]
    if not all(isinstance(one, timezone) for one in zone):
        return None
    return _TIMES[kind](base64.b64decode(text, validate=True), *zone)


# The bytes of pickle; a constructor that is given them would not check them.
def _datetime(data: bytes, zone: timezone | None = None) -> datetime:
    day, clock = _date(bytes([data[0], data[1], data[2] & 0x7F, data[3]])), _clock(data[4:])
    return datetime(day.year, day.month, day.day, *clock, tzinfo=zone, fold=data[2] >> 7)


def _date(data: bytes) -> date:
    high, low, month, day = data
    return date(high * 256 + low, month, day)


def _time(data: bytes, zone: timezone | None = None) -> time:
    fold = data[0] >> 7
    return time(*_clock(bytes([data[0] & 0x7F]) + data[1:]), tzinfo=zone, fold=fold)


def _clock(data: bytes) -> tuple[int, int, int, int]:
    hour, minute, second, high, middle, low = data
    return hour, minute, second, (high * 256 + middle) * 256 + low


_TIMES: dict[str, Callable[..., Any]] = {
    "datetime.datetime": _datetime,
    "datetime.date": _date,
    "datetime.time": _time,
}


def _dtype(name: Any) -> np.dtype[Any]:
    import numpy as np

    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise TypeError("not a type of numbers or strings")
    return np.dtype(name)


def _scalar(given: Mapping[str, Any]) -> np.generic | None:
    value = given["value"]
    if set(given) != {"dtype", "value"} or not isinstance(value, (int, float, complex, str, bytes)):
        return None
    made: np.generic = _dtype(given["dtype"]).type(value)
    return made


def _array(given: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
    import numpy as np

    dtype, order = _dtype(given["dtype"]), "F" if given.get("order") == "F" else "C"
    shape = given.get("shape")
    shape = None if shape is None else tuple(_all(int, tuple(shape)))
    array: np.ndarray[Any, Any]
    if given.get("base") is not None:
        array = _view(given, dtype, shape or ())
    elif isinstance(given["values"], str):
        data = _inflated(given["values"], _bytes_of(dtype, shape or ()))
        dtype = dtype.newbyteorder(">" if given.get("byteorder") == ">" else "<")
        array = np.frombuffer(data, dtype).reshape(shape or (), order=order)  # type: ignore[call-overload]
        array = array.astype(dtype.newbyteorder("="))
    else:
        array = np.array(given["values"], dtype=dtype, order=order)  # type: ignore[call-overload]
        array = array if shape is None else array.reshape(shape)
    if given.get("writeable") is False:
        array.flags.writeable = False
    return array


def _bytes_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    if any(length < 0 for length in shape) or size > _LARGEST_ARRAY_BYTES:
        raise ValueError("too large")
    return size


def _inflated(text: str, size: int) -> bytes:
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(data) != size:
        raise ValueError("another size")
    return data


def _view(
    given: Mapping[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """Return a copy of a part of an array; NumPy checks that it lies within."""
    import numpy as np

    base = given["base"]
    if not isinstance(base, np.ndarray):
        raise TypeError("no array")
    _bytes_of(dtype, shape)
    strides = given.get("strides")
    return np.ndarray(
        shape,
        dtype,
        buffer=base.tobytes(order="A"),
        offset=int(given.get("offset", 0)),
        strides=None if strides is None else tuple(_all(int, tuple(strides))),
    ).copy(order="K")
