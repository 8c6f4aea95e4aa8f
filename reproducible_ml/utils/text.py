"""Values, sizes, times and tables in human-readable form."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

# Digests and commits are shown with this length everywhere, unless they are shown in full.
SHORT_DIGEST = 12
# Between the columns of a table.
GAP = "  "
# What is left of a column that gives way: "identical" still fits.
_LEAST = 9
_HEXADECIMAL = re.compile(r"[0-9a-f]{32,}")
# What a terminal obeys instead of showing: control characters, and marks that reorder the line.
# Half a surrogate pair can't be printed at all.
_OBEYED = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[{_OBEYED}]+")
_NOT_IN_TEXT = re.compile(f"(?![\n\t])[{_OBEYED}]")


def shown(value: Any) -> str:
    """Return a value on one line: floats in full, digests shortened, strings as they are."""
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
    # Recorded text must not control the terminal.
    return _CONTROL.sub(" ", text)


def neutral(text: str) -> str:
    r"""Return a text without what controls a terminal, apart from line ends and tabs.

    A recorded text may hold anything: a sequence of ``ESC ] 52`` would write the clipboard of who
    looks at it. Such characters become visible: "\x1b".
    """
    return _NOT_IN_TEXT.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def neutral_json(text: str) -> str:
    """Return JSON that controls no terminal and means the same."""
    return _NOT_IN_TEXT.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 file", "2 files", "1,000 files".

    Args:
        count: The number.
        noun: The noun in the singular.
        plural: The noun in the plural; by default with an s.
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
    """Align rows in columns, as every table in the terminal is.

    Not by rich: importing it takes as long as all else that ``reproducible-ml runs`` does.

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


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the known name that was probably meant; up to three if they are equally likely."""
    by_form = {_form(one): one for one in known}
    near = difflib.get_close_matches(_form(name), list(by_form), n=1, cutoff=0.6)
    if near:
        return [by_form[near[0]]]
    # "lr" means one of "gen_lr" and "crit_lr", though few of the letters agree.
    return [one for one in known if name and one.lower().endswith(f"_{name.lower()}")][:3]


def _form(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return "; did you mean ...?" with what ``nearest`` finds; empty if it finds nothing."""
    near = nearest(name, known)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the end of a sentence that names the nearest of the known names, or all of them."""
    near = did_you_mean(name, known)
    if near:
        return near
    return f"; there are: {', '.join(known)}." if known else "; there are none."
