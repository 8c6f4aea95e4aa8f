"""Plain aligned text for the terminal, and the options by which commands find recorded runs."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import SHORT_DIGEST, duration, shown, size

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

GAP = "  "
# What is left of a column that gives way: "identical" still fits.
_LEAST = 9
_Function = TypeVar("_Function", bound=Callable[..., Any])


def store_options(function: _Function) -> _Function:
    """Add ``-F`` and ``-m`` with Sacred's meaning; neither reads ``runs``."""
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
    """Return how wide lines may be; None for output that is no terminal, which is not cut."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def cut(text: str, width: int | None) -> str:
    """Return the text within a width, with an ellipsis where it was cut."""
    if width is None or len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + "…"


def table(
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    elastic: Sequence[int] = (),
    width: int | None = None,
    indent: int = 0,
) -> list[str]:
    """Align rows in columns.

    Args:
        rows: The cells; all rows have the same number.
        right: Columns that are aligned to the right.
        elastic: Columns that give way when a line would be wider than ``width``, the first most.
        width: The widest line; None for no limit.
        indent: Blanks before each line.
    """
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if width is not None:
        excess = indent + sum(widths) + len(GAP) * (len(widths) - 1) - width
        for column in elastic:
            taken = max(0, min(excess, widths[column] - _least(rows, column)))
            widths[column] -= taken
            excess -= taken
    lines = []
    for row in rows:
        cells = [
            cell.rjust(size) if column in right else cut(cell, size).ljust(size)
            for column, (cell, size) in enumerate(zip(row, widths))
        ]
        lines.append(cut((" " * indent + GAP.join(cells)).rstrip(), width))
    return lines


def _least(rows: Sequence[Sequence[str]], column: int) -> int:
    return max(_LEAST, len(rows[0][column]))


def as_json(value: Any) -> str:
    """Return JSON that every reader takes: times as ISO text, NaN and infinities as texts."""
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
