"""Terminal output, and the options that locate recorded runs."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import GAP, SHORT_DIGEST, cut, duration, shown, size, table

__all__ = [
    "GAP",
    "SHORT_DIGEST",
    "as_json",
    "cut",
    "duration",
    "shown",
    "size",
    "store_options",
    "table",
    "terminal_width",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def store_options(function: _Function) -> _Function:
    """Add ``-F`` and ``-m`` with Sacred's meaning; without either, commands read ``runs``."""
    folder = click.option(
        "-F",
        "--file_storage",
        "folder",
        metavar="DIR",
        shell_complete=complete_folder,
        help="Folder of runs; default: runs.",
    )
    mongo = click.option(
        "-m", "--mongo_db", "mongo", metavar="DB", help="Database: sacred, host:port:db, mongodb://"
    )
    return folder(mongo(function))


def terminal_width() -> int | None:
    """Return the width of the terminal; None for other output, whose lines are not cut."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def as_json(value: Any) -> str:
    """Return JSON that every parser accepts: times, NaN and infinities become strings."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
