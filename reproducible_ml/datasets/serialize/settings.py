"""Checks of the settings for writing: converted to what a manifest can hold, or refused early."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import ConfigError


def whole(name: str, value: Any) -> int:
    """Return an integer of any type, such as NumPy's, as Python's own.

    Raises:
        ConfigError: It is not an integer; not even 3.0, which may be the result of rounding.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} must be an integer, found {value!r}.") from None


def check_text(name: str, value: Any) -> None:
    """Refuse values that are not strings, or that UTF-8 cannot encode.

    Raises:
        ConfigError: The value is one of these.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, found {value!r}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{name} is {value!r}, which UTF-8 cannot encode.") from None


def plain(name: str, value: Any) -> Any:
    """Return a value in the form in which it will be read back from JSON.

    Args:
        name: What it is, for the error.
        value: Strings, numbers, paths, NumPy's numbers and arrays, and lists and mappings of these.

    Raises:
        ConfigError: JSON or UTF-8 can't represent it.
    """
    try:
        return _plain(name, value)
    except RecursionError:
        raise ConfigError(f"{name} contains itself, which a manifest can't represent.") from None


def described(name: str, values: Any) -> dict[str, Any]:
    """Return a mapping in plain form, see ``plain``; empty for None."""
    if values is not None and not isinstance(values, Mapping):
        raise ConfigError(f"{name} must be a mapping, found {values!r:.50}.")
    return {} if values is None else plain(name, values)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if isinstance(value, str):
        check_text(name, value)
        # A subclass, such as NumPy's, may differ from the string that is read back.
        return str(value)
    if isinstance(value, Mapping):
        return _plain_mapping(name, value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(f"{name}[{number}]", item) for number, item in enumerate(value)]
    raise ConfigError(
        f"{name} is a {type(value).__name__}, which a manifest can't hold; use a string, a number, "
        "or a list or mapping of these."
    )


def _plain_mapping(name: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        written = _plain(f"a key of {name}", key)
        # JSON's keys are strings: 1 becomes "1", True "true".
        written = written if isinstance(written, str) else json.dumps(written)
        if isinstance(key, (tuple, Mapping)) or written in found:
            raise ConfigError(
                f"{name} has the key {key!r} twice, or the key is not a string or number."
            )
        found[written] = _plain(f"{name}[{key!r}]", value)
    return found
