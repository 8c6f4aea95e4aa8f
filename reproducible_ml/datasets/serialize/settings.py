"""Settings of a writing: brought into the form that a manifest holds, or refused at the start."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import ConfigError


def whole(name: str, value: Any) -> int:
    """Return a whole number of any kind, NumPy's too, as Python's own.

    Raises:
        ConfigError: It is none; 3.0 is none either, since it was computed with rounding.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} must be a whole number, found {value!r}.") from None


def check_text(name: str, value: Any) -> None:
    """Refuse what is no text, or text that no UTF-8 file can hold.

    Raises:
        ConfigError: It is one of these.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be text, found {value!r}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{name} is {value!r}, which UTF-8 cannot hold.") from None


def plain(name: str, value: Any) -> Any:
    """Return a description in the form in which it is read back from JSON.

    Args:
        name: What it is, for the error.
        value: Texts, numbers, paths, NumPy's numbers and arrays, and lists and mappings of these.

    Raises:
        ConfigError: JSON or UTF-8 can't hold it.
    """
    try:
        return _plain(name, value)
    except RecursionError:
        raise ConfigError(f"{name} holds itself; a manifest can't.") from None


def described(name: str, values: Any) -> dict[str, Any]:
    """Return a mapping, or nothing for None, in plain form; see ``plain``."""
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
        # Subclasses, such as NumPy's, would not be equal to what is read back.
        return str(value)
    if isinstance(value, Mapping):
        return _plain_mapping(name, value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(f"{name}[{number}]", item) for number, item in enumerate(value)]
    raise ConfigError(
        f"{name} is a {type(value).__name__}, which a manifest can't hold; give text, a number, or "
        "a list or mapping of these."
    )


def _plain_mapping(name: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        written = _plain(f"a key of {name}", key)
        # JSON's keys are texts: 1 becomes "1", True "true".
        written = written if isinstance(written, str) else json.dumps(written)
        if isinstance(key, (tuple, Mapping)) or written in found:
            raise ConfigError(f"{name} has the key {key!r} twice, or as no text or number.")
        found[written] = _plain(f"{name}[{key!r}]", value)
    return found
