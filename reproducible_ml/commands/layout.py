"""Terminal output, and the options that locate recorded runs."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import (
    GAP,
    SHORT_DIGEST,
    cut,
    duration,
    neutral,
    neutral_json,
    shown,
    size,
    table,
)

__all__ = [
    "ALWAYS",
    "GAP",
    "NEVER",
    "SHORT_DIGEST",
    "as_json",
    "cut",
    "duration",
    "echo",
    "neutral_logs",
    "shown",
    "size",
    "store_options",
    "table",
    "terminal_width",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


# When REPRODUCIBLE_ML_MONGO counts as ``-m``: if no folder is named; if one is, too; or never.
UNLESS_FOLDER, ALWAYS, NEVER = "unless a folder is named", "always", "never"


def store_options(
    function: _Function | None = None, *, variable: str = UNLESS_FOLDER
) -> Any:  # the function, or a decorator
    """Add ``-F``, ``-m`` and ``--mongo-from``; without any, commands read ``runs``.

    The function gets ``folder``, and as ``mongo`` the address from ``-m``, from the file of
    ``--mongo-from`` or from the variable ``REPRODUCIBLE_ML_MONGO``.

    Args:
        function: The command.
        variable: When the variable counts: ``UNLESS_FOLDER``, ``ALWAYS`` or ``NEVER``.
    """
    if function is None:
        return functools.partial(store_options, variable=variable)

    @functools.wraps(function)
    def with_address(*args: Any, mongo: str | None, mongo_from: str | None, **options: Any) -> Any:
        if mongo is None and mongo_from is None and not _counts(variable, options["folder"]):
            return function(*args, mongo=None, **options)
        from reproducible_ml.tracking.runs import database_address

        return function(*args, mongo=database_address(mongo, mongo_from), **options)

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
    mongo_from = click.option(
        "--mongo-from",
        metavar="FILE",
        help="Database: its address is in this file of mode 0600, or in REPRODUCIBLE_ML_MONGO.",
    )
    return folder(mongo(mongo_from(with_address)))


def _counts(variable: str, folder: str | None) -> bool:
    """Tell whether the variable counts, if it is set."""
    if not os.environ.get("REPRODUCIBLE_ML_MONGO", "").strip():
        return False
    return variable == ALWAYS or (variable == UNLESS_FOLDER and folder is None)


def echo(text: str = "", err: bool = False) -> None:
    """Print a line or several; every command prints through this.

    What is printed may come from a record, so nothing in it may control the terminal.
    """
    click.echo(neutral(str(text)), err=err)


def neutral_logs() -> None:
    """Keep what is logged without a handler of the user's from controlling the terminal."""
    if logging.lastResort is not None and _neutral_record not in logging.lastResort.filters:
        logging.lastResort.addFilter(_neutral_record)


def _neutral_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = neutral(record.getMessage()), ()
    return True


def terminal_width() -> int | None:
    """Return the width of the terminal; None for other output, whose lines are not cut."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def as_json(value: Any) -> str:
    """Return JSON that every parser accepts: times, NaN and infinities become strings."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    return neutral_json(text)


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
