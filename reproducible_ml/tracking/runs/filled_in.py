"""Configuration values that a default filled in, by what a record says of them.

What an experiment's ``fill_in`` gave is part of the recorded configuration, and ``meta`` marks it.
A run without it, such as those of earlier versions, holds None there, and in ``info["settings"]``
what a GAN used instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# In ``meta``: key of the configuration -> where the value that filled it in comes from.
FILLED_IN = "filled_in"
# In a configuration file: the same, of the run that is executed again.
TOLD_FILLED_IN = "__filled_in__"


def filled_in(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return which configuration keys a default filled in, with where the value comes from.

    Args:
        entry: The run's document.
    """
    config = entry.get("config") or {}
    names = [str(config[key]) for key in ("gan_type", "defaults") if config.get(key)]
    return {**dict.fromkeys(_unmarked(entry), ", ".join(names)), **recorded_marks(entry)}


def recorded_marks(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the same of the values that the recorded configuration holds."""
    return dict((entry.get("meta") or {}).get(FILLED_IN) or {})


def complete_config(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration with what was used in place of None."""
    return {**(entry.get("config") or {}), **_unmarked(entry)}


def _unmarked(entry: Mapping[str, Any]) -> dict[str, Any]:
    config, info = entry.get("config") or {}, entry.get("info") or {}
    return {
        key: value
        for key, value in (info.get("settings") or {}).items()
        if key in config and config[key] is None and value is not None
    }
