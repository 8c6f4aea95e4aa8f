"""Configuration values that JSON does not hold as they are, recorded for a rerun to have again.

A record holds ``"data"`` for ``Path("data")`` and a sorted list for a set: everyone can read,
filter and compare these. A rerun needs the path and the set. So beside the configuration a run
records such values packed, as ``packed_values`` says; a configuration file may hold them so.
"""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from reproducible_ml.tracking.packing import packed, unpacked
from reproducible_ml.utils.redaction import SECRET_NAME

# In ``meta``: pairs of dotted configuration key and text.
EXACT_CONFIG = "exact_config"
# The text of a value that can't be read back.
UNREADABLE_TEXT = ""
_PATH_MARK = '"pathlib.'
_PURE_MARK = _PATH_MARK + "Pure"


def exact_values(config: Mapping[str, Any]) -> list[list[str]]:
    """Return the values that JSON does not hold, packed.

    Args:
        config: The configuration as the run uses it.

    Returns:
        Pairs of dotted key and text; the text of a value that can't be read back is
        ``UNREADABLE_TEXT``. Values under secret names are left out.
    """
    return [
        [key, _text(value)]
        for key, value in _leaves(config, "")
        if not _is_json(value) and not any(map(SECRET_NAME.search, key.split(".")))
    ]


def _leaves(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value and not _has_other_keys(value):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _has_other_keys(value: Any) -> bool:
    """Tell whether a value is a dictionary with keys that are not strings."""
    return isinstance(value, Mapping) and not all(isinstance(key, str) for key in value)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or type(value) in (bool, int, float, str)


def _text(value: Any) -> str:
    try:
        # Sacred takes a dictionary apart and turns its keys into strings, but no UserDict.
        value = UserDict(value) if _has_other_keys(value) else value
        text = json.dumps(packed(value), sort_keys=True)
        back = unpacked(json.loads(text))
        return text if type(back) is type(value) else UNREADABLE_TEXT
    except Exception:  # a foreign type may raise anything, and no value may stop a run
        return UNREADABLE_TEXT


def with_exact(
    config: Mapping[str, Any], recorded: Mapping[str, Any], texts: Iterable[tuple[str, str]]
) -> tuple[dict[str, Any], list[str]]:
    """Return a configuration for Sacred to read from a JSON file, with its values in their types.

    Args:
        config: The recorded configuration, in which some values may have been replaced; a string
            that replaces a path becomes a path.
        recorded: The recorded configuration.
        texts: What ``exact_values`` returned for it.

    Returns:
        The configuration, and the keys of recorded values that can't be read back.
    """
    result, lost = dict(config), []
    for key, text in texts:
        *groups, name = key.split(".")
        inner, before = result, recorded
        for group in groups:
            inner[group] = inner = dict(inner.get(group) or {})
            before = before.get(group) or {}
        value, old = inner.get(name), before.get(name)
        if value is not old and value != old:
            if _PATH_MARK in text and isinstance(value, str):
                inner[name] = packed(PurePath(value) if _PURE_MARK in text else Path(value))
        elif text == UNREADABLE_TEXT:
            lost.append(key)
        else:
            inner[name] = json.loads(text)
    return result, lost
