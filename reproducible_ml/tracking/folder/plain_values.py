"""Conversion of logged values to the types that JSON and MongoDB hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any, Union
from uuid import UUID

from reproducible_ml.tracking.folder.names import iso
from reproducible_ml.utils.errors import TrackingError

Number = Union[int, float, bool, str, None]

LONGEST_TEXT_VALUE = 200
# Larger arrays in info, config or results are packed by jsonpickle, as Sacred does.
LONGEST_LISTED_ARRAY = 1000


def metric_value(value: Any) -> Number:
    """Return a metric's value as a plain Python value.

    Args:
        value: a number, NaN and infinity included; a NumPy scalar; an array or tensor of one
            element; a boolean; None; a short string.

    Raises:
        TrackingError: anything else; the message completes "metric 'x' at step 3 ".
    """
    if type(value) in (float, int, bool) or value is None:
        return value
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT_VALUE:
            raise TrackingError(
                f"is a string of {len(value)} characters; log at most {LONGEST_TEXT_VALUE}"
            )
        return value
    if isinstance(value, (bytes, bytearray, dict, list, tuple, set)):
        raise TrackingError(f"is a {type(value).__name__}; log a number")
    try:
        return _unpack(value)
    except TrackingError:
        raise
    except Exception as error:  # a foreign type may raise anything
        raise TrackingError(
            f"is a {type(value).__name__}, not a number ({error}); log a number"
        ) from None


def _unpack(value: Any) -> Number:
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "item"):
        if getattr(value, "size", 1) != 1:
            raise TrackingError(
                f"is an array of shape {tuple(value.shape)}; log its mean or one number of it"
            )
        value = value.item()
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return float(value)


def metric_step(step: Any) -> int | float:
    """Return a metric's step as a plain number.

    Raises:
        TrackingError: it is not a number; the message completes "metric 'x' at step 3 ".
    """
    try:
        value = metric_value(step)
    except TrackingError as error:
        raise TrackingError(f"has a step that {error}") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TrackingError(f"has the step {value!r}; a step must be a finite number")
    return value


def plain(value: Any) -> Any:
    """Return a value of config, info or result as JSON types, with as little loss as possible.

    NumPy scalars and arrays of one element become numbers, short arrays lists, sets sorted lists;
    paths, dates, bytes and numbers of other types become strings. All else is converted as by
    Sacred's observers (``sacred.serializer.flatten``), or by ``repr`` if that fails.
    """
    try:
        return _plain(value)
    except RecursionError:  # a value that contains itself
        return repr(value)


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    for kind, convert in _READABLE.items():
        if isinstance(value, kind) and type(value).__module__ != "numpy":
            return convert(value)
    try:
        if type(value).__module__ == "numpy":
            if value.size == 1:
                return _plain(value.item())
            if value.size <= LONGEST_LISTED_ARRAY:
                return _plain(value.tolist())
        from reproducible_ml.tracking.sacred_parts import flatten

        flattened = flatten(value)  # type: ignore[no-untyped-call]
        # jsonpickle drops what it can't pickle, such as a lambda; its repr holds an address.
        return f"<{type(value).__name__}>" if flattened is None else flattened
    except Exception:  # no logged value may end a run
        return repr(value)


def _sorted(value: set[Any] | frozenset[Any]) -> list[Any]:
    # The order of a set depends on the process.
    return sorted(map(_plain, value), key=lambda one: (type(one).__name__, json.dumps(one)))


def _time(value: datetime) -> str:
    return iso(value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value)


# Types whose values are easier to read, and to filter by, than jsonpickle's form of them.
_READABLE: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((set, frozenset), _sorted),
    **dict.fromkeys((PurePath, Decimal, Fraction, UUID, complex, timedelta), str),
    datetime: _time,
    **dict.fromkeys((date, time), lambda value: value.isoformat()),
    Enum: lambda value: _plain(value.value),
    bytes: repr,
}
