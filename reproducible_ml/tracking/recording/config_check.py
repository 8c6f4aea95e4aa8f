"""Check the settings after ``with`` against the configuration's defaults before a run starts.

Sacred warns of a wrong type and runs anyway. Here a key must exist, and its value must have the
type of its default, except that an integer may replace a float. An experiment declares other types
itself: ``experiment("name", types={"npz_file": (str, None)})``.
"""

from __future__ import annotations

import numbers
import re
from collections import UserDict
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any, Union

from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.text import suggestion

Type = Union[type, None]
Types = Mapping[str, Union[Type, "tuple[Type, ...]"]]

# NumPy's generators take no larger seed, and Sacred seeds them all.
LARGEST_SEED = 2**32 - 1
NOT_TYPED: Mapping[str, str] = {}
_MISSING = object()
_YAML_TEXT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_NAMES: dict[Any, str] = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a dictionary",
    None: "None",
    bytes: "bytes such as b'ab'",
    complex: "a number",
    date: "a date such as '2026-01-31'",
    datetime: "a date and time such as '2026-01-31 12:00'",
    set: "a set or list",
    frozenset: "a set or list",
    time: "a time such as '12:00'",
    timedelta: "a number of seconds",
}


def checked_updates(
    updates: Mapping[str, Any],
    defaults: Mapping[str, Any],
    types: Types,
    free: Collection[str] = (),
    texts: Mapping[str, str] = NOT_TYPED,
) -> dict[str, Any]:
    """Check updates of a configuration, and convert them to the types of the defaults.

    What JSON or a command line holds is converted: an integer replaces a float, a string a path, a
    date or a member of an enumeration, a list a set or an array.

    Args:
        updates: Nested new values.
        defaults: The complete configuration without them.
        types: Declared types by dotted key; all others follow from the default.
        free: Keys that functions take although the configuration lacks them.
        texts: What was typed for the values, by dotted key.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type; the message names both.
    """
    return _checked_tree(updates, defaults, types, frozenset(free) | set(types), texts, "")


def _checked_tree(
    updates: Mapping[str, Any],
    defaults: Mapping[str, Any],
    types: Types,
    free: frozenset[str],
    texts: Mapping[str, str],
    prefix: str,
) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in updates.items():
        key = f"{prefix}{name}"
        default = defaults.get(name, _MISSING)
        if key == "seed":
            checked[name] = _checked_seed(value)
        elif key in types:
            declared = types[key]
            wanted = declared if isinstance(declared, tuple) else (declared,)
            checked[name] = _checked_value(key, value, wanted, default, texts)
        elif default is _MISSING:
            if key not in free:
                raise ConfigError(_unknown(key, defaults, prefix))
            checked[name] = value
        elif _has_other_keys(default) and isinstance(value, Mapping):
            checked[name] = _with_other_keys(key, value, default, types)
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            # An empty dictionary as default accepts any keys.
            checked[name] = (
                _checked_tree(value, default, types, free, texts, key + ".")
                if default
                else _whole(value)
            )
        elif default is None:
            checked[name] = _whole(_plain(value))
        else:
            checked[name] = _checked_value(key, value, (_kind(default),), default, texts)
    return checked


def _with_other_keys(
    prefix: str, value: Mapping[Any, Any], default: Mapping[Any, Any], types: Types
) -> Any:
    """Return an update of a dictionary whose keys are not all strings, as ``_whole`` does."""
    known = {str(key): key for key in default}
    merged = dict(default)
    for name, item in value.items():
        key = name if name in default else known.get(str(name), _MISSING)
        if key is _MISSING:
            raise ConfigError(_unknown(f"{prefix}.{name}", default, f"{prefix}."))
        found = _checked_tree(
            {key: item}, default, types, frozenset(types), NOT_TYPED, f"{prefix}."
        )
        merged[key] = found[key]
    return _whole(merged)


def _has_other_keys(value: Any) -> bool:
    return isinstance(value, Mapping) and not all(isinstance(key, str) for key in value)


def _whole(value: Any) -> Any:
    """Return a dictionary whose keys are not all strings as a UserDict.

    Sacred takes updates apart that are a ``dict``, and turns their keys into strings.
    """
    if _has_other_keys(value):
        return UserDict(value)
    return {k: _whole(one) for k, one in value.items()} if isinstance(value, Mapping) else value


def unwrap(config: dict[str, Any]) -> None:
    """Make every UserDict in a configuration a dictionary again, in its place."""
    for key, value in list(config.items()):
        if isinstance(value, UserDict):
            # Bypasses Sacred's lock, which protects against the experiment's own functions.
            dict.__setitem__(config, key, type(config)(value.data))
        elif isinstance(value, dict):
            unwrap(value)


def _kind(default: Any) -> Type:
    if isinstance(default, Enum):
        return type(default)
    for kind in (bool, int, float, str):
        if isinstance(default, kind):
            return kind
    if isinstance(default, (list, tuple)):
        return list
    return dict if isinstance(default, Mapping) else type(default)


def _checked_value(
    key: str, value: Any, wanted: tuple[Type, ...], default: Any, texts: Mapping[str, str]
) -> Any:
    value = _plain(value)
    if any(_fits(value, kind) for kind in wanted):
        return _with_items(value, default)
    if float in wanted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    for kind in wanted:
        try:
            return _with_items(_converted(value, kind, default), default)
        except (TypeError, ValueError, ArithmeticError):
            continue
    expected = " or ".join(map(_name, wanted))
    shown = "" if default is _MISSING else f", like its default {default!r}"
    hint = ""
    if str in wanted and not isinstance(value, str):
        hint = f" Quote it to pass a string: {key}=\"'{texts.get(key, value)}'\"."
    elif isinstance(value, str) and {int, float} & set(wanted) and _YAML_TEXT.fullmatch(value):
        # YAML 1.1 reads a number without a point, or without the exponent's sign, as text.
        hint = f" In YAML, write {float(value)!r} as {_yaml_number(float(value))}."
    raise ConfigError(
        f"{key} must be {expected}{shown}, found {value!r} ({type(value).__name__}).{hint}"
    )


def _name(kind: Type) -> str:
    if kind in _NAMES:
        return _NAMES[kind]
    assert kind is not None, "None has a name"
    if issubclass(kind, PurePath):
        return "a path"
    if issubclass(kind, Enum):
        return f"one of {', '.join(str(one.value) for one in kind)}"
    return "an array of numbers" if kind.__name__ == "ndarray" else f"a {kind.__name__}"


def _converted(value: Any, kind: Type, default: Any) -> Any:
    """Return what JSON or a command line holds for a value of this type.

    Raises:
        TypeError: Nothing is converted to it, or not such a value.
        ValueError: The value has another form.
    """
    if kind is None or kind in (bool, int, float, str, list, dict):
        raise TypeError
    if issubclass(kind, Enum):
        found = [one for one in kind if value in (one.value, one.name)]
        if found:
            return found[0]
        raise ValueError
    if kind.__name__ == "ndarray":
        return _array(value, default)
    for base, (takes, convert) in _CONVERSIONS.items():
        if issubclass(kind, base) and isinstance(value, takes) and not isinstance(value, bool):
            return convert(kind, value)
    raise TypeError


def _with_items(value: Any, default: Any) -> Any:
    """Return a list or set with strings as paths if the default holds paths."""
    if not isinstance(default, (list, tuple, set, frozenset)):
        return value
    kinds = {type(one) for one in default}
    if len(kinds) != 1 or not issubclass(kind := kinds.pop(), PurePath):
        return value
    return type(value)(kind(one) if isinstance(one, str) else one for one in value)


def _array(value: Any, default: Any) -> Any:
    import numpy as np

    array = np.asarray(value)
    dtype = getattr(default, "dtype", array.dtype)
    if array.dtype.kind == dtype.kind == "U":
        return array
    if not {array.dtype.kind, dtype.kind} <= set("biufc"):
        raise ValueError
    converted = array.astype(dtype)
    # Neither 0.5 for an integer nor 300 for a byte.
    if dtype.kind in "biu" and not np.array_equal(converted, array):
        raise ValueError
    return converted


# Type of the default -> the types that are converted to it, and how.
_CONVERSIONS: dict[type, tuple[tuple[type, ...], Callable[[Any, Any], Any]]] = {
    PurePath: ((str, PurePath), lambda kind, value: kind(value)),
    set: ((list, tuple, set, frozenset), lambda kind, value: kind(value)),
    frozenset: ((list, tuple, set, frozenset), lambda kind, value: kind(value)),
    bytes: ((str,), lambda kind, value: kind(value, "utf-8")),
    complex: ((int, float), lambda kind, value: kind(value)),
    datetime: ((str,), lambda kind, value: kind.fromisoformat(value)),
    date: ((str,), lambda kind, value: kind.fromisoformat(value)),
    time: ((str,), lambda kind, value: kind.fromisoformat(value)),
    timedelta: ((int, float), lambda kind, value: kind(seconds=value)),
    numbers.Number: ((int, str), lambda kind, value: kind(value)),
}


def _yaml_number(value: float) -> str:
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{exponent}{power}"


def _fits(value: Any, kind: Type) -> bool:
    if kind is None:
        return value is None
    if kind is list:
        return isinstance(value, (list, tuple))
    if kind is dict:
        return isinstance(value, Mapping)
    # True is an int in Python, but max_steps=True is a mistake.
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _plain(value: Any) -> Any:
    """Return a NumPy scalar, which a notebook may pass, as a Python number."""
    if type(value).__module__ == "numpy" and isinstance(value, (numbers.Number, str)):
        return value.item()  # type: ignore[union-attr]
    if type(value).__name__ == "bool_" and hasattr(value, "item"):
        return value.item()
    return value


def _checked_seed(value: Any) -> int:
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        raise ConfigError(
            f"seed must be an integer from 0 to {LARGEST_SEED}, found {value!r} "
            f"({type(value).__name__})."
        )
    return value


def _unknown(key: str, defaults: Mapping[str, Any], prefix: str) -> str:
    known = sorted(prefix + str(name) for name in defaults if not str(name).startswith("__"))
    return f"There is no configuration key {key!r}{suggestion(key, known)}"
