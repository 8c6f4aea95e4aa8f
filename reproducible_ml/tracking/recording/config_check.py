"""Check the settings after ``with`` against the configuration's defaults before a run starts.

Sacred warns of a wrong type and runs anyway. Here a key must exist, and its value must have the
type of its default, except that an integer may replace a float. An experiment declares other types
itself: ``experiment("name", types={"npz_file": (str, None)})``.
"""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping
from typing import Any, Union

from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.text import suggestion

Type = Union[type, None]
Types = Mapping[str, Union[Type, "tuple[Type, ...]"]]

# NumPy's generators take no larger seed, and Sacred seeds them all.
LARGEST_SEED = 2**32 - 1
_MISSING = object()
_NAMES: dict[Any, str] = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a dictionary",
    None: "None",
}


def checked_updates(
    updates: Mapping[str, Any],
    defaults: Mapping[str, Any],
    types: Types,
    free: Collection[str] = (),
) -> dict[str, Any]:
    """Check updates of a configuration; return them with integers converted to floats if needed.

    Args:
        updates: Nested new values.
        defaults: The complete configuration without them.
        types: Declared types by dotted key; all others follow from the default.
        free: Keys that functions take although the configuration lacks them.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type; the message names both.
    """
    return _checked_tree(updates, defaults, types, frozenset(free) | set(types), "")


def _checked_tree(
    updates: Mapping[str, Any],
    defaults: Mapping[str, Any],
    types: Types,
    free: frozenset[str],
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
            checked[name] = _checked_value(key, value, wanted, default)
        elif default is _MISSING:
            if key not in free:
                raise ConfigError(_unknown(key, defaults, prefix))
            checked[name] = value
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            # An empty dictionary as default accepts any keys.
            checked[name] = (
                _checked_tree(value, default, types, free, key + ".") if default else dict(value)
            )
        elif default is None:
            checked[name] = _plain(value)
        else:
            checked[name] = _checked_value(key, value, (_kind(default),), default)
    return checked


def _kind(default: Any) -> Type:
    for kind in (bool, int, float, str):
        if isinstance(default, kind):
            return kind
    if isinstance(default, (list, tuple)):
        return list
    return dict if isinstance(default, Mapping) else type(default)


def _checked_value(key: str, value: Any, wanted: tuple[Type, ...], default: Any) -> Any:
    value = _plain(value)
    if any(_fits(value, kind) for kind in wanted):
        return value
    if float in wanted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = " or ".join(_NAMES.get(kind, str(kind)) for kind in wanted)
    shown = "" if default is _MISSING else f", like its default {default!r}"
    hint = ""
    if str in wanted and not isinstance(value, str):
        hint = f" Quote it to pass a string: {key}=\"'{value}'\"."
    raise ConfigError(
        f"{key} must be {expected}{shown}, found {value!r} ({type(value).__name__}).{hint}"
    )


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
