"""Configuration values that a default filled in, as a run recorded them.

The values of an experiment's ``fill_in`` are in the recorded configuration, and ``meta`` marks
them. A run of an earlier version holds None there, and ``info["settings"]`` holds the value that
its GAN used instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reproducible_ml.tracking.runs.document import facts

# In ``meta``: configuration key -> where its value comes from.
FILLED_IN = "filled_in"
# In the configuration file of a rerun: the same, for the recorded run.
TOLD_FILLED_IN = "__filled_in__"


def filled_in(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the configuration keys that a default filled in -> where the value comes from.

    Args:
        entry: The run's document.
    """
    config = entry.get("config") or {}
    names = [str(config[key]) for key in ("gan_type", "defaults") if config.get(key)]
    return {**dict.fromkeys(_unmarked(entry), ", ".join(names)), **recorded_marks(entry)}


def recorded_marks(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the same, only for values in the recorded configuration itself."""
    return dict((entry.get("meta") or {}).get(FILLED_IN) or {})


def complete_config(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration, with the values that were used in place of None."""
    return {**(entry.get("config") or {}), **_unmarked(entry)}


def _unmarked(entry: Mapping[str, Any]) -> dict[str, Any]:
    config, info = entry.get("config") or {}, facts(entry)
    return {
        key: value
        for key, value in (info.get("settings") or {}).items()
        if key in config and config[key] is None and value is not None
    }
