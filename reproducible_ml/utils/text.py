"""Values, sizes and times as people read them, the same in the terminal and in reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

# The one length in which digests and commits are shown, where they are not shown whole.
SHORT_DIGEST = 12
_HEXADECIMAL = re.compile(r"[0-9a-f]{32,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def shown(value: Any) -> str:
    """Return a value in one line: floats in full, digests short, texts as they are."""
    if isinstance(value, str):
        text = _HEXADECIMAL.sub(lambda found: found.group()[:SHORT_DIGEST], value) or "''"
    elif isinstance(value, datetime):
        text = value.strftime("%Y-%m-%d %H:%M:%S")
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name} {shown(item)}" for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(map(shown, value)) + "]"
    elif value is None:
        text = "-"
    else:
        text = repr(value)
    # What a record holds must not steer the terminal.
    return _CONTROL.sub(" ", text)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 file", "2 files", "1,000 files".

    Args:
        count: How many.
        noun: What, of one.
        plural: What, of any other number; the noun with an s by default.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float | None) -> str:
    """Return a wall time: "0.4 s", "12 s", "3 min 20 s", "2 h 05 min", "3 d 4 h"."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: int) -> str:
    """Return a number of bytes: "512 B", "3.4 kB", "136.0 MB"."""
    if count < 1000:
        return f"{count} B"
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if count < 999.95 * factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e9:.1f} GB"
