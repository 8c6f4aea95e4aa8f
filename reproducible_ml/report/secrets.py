"""Keeps secrets out of a report, those too that an older or foreign record still holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reproducible_ml.tracking.mongo import redact
from reproducible_ml.utils.environment import HIDDEN, SECRET_NAME


def without_secrets(value: Any, key: str = "") -> Any:
    """Return a recorded value without credentials of addresses and texts under secret names."""
    if isinstance(value, Mapping):
        return {redact(str(k)): without_secrets(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, key) for item in value]
    if isinstance(value, str):
        return HIDDEN if value and SECRET_NAME.search(key) else redact(value)
    return value
