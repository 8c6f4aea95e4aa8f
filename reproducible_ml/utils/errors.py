"""The project's exceptions; their messages say what is wrong, where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any, TypeVar

from reproducible_ml.utils.text import did_you_mean

Entry = TypeVar("Entry")


class ReproducibleMLError(Exception):
    """Base class of the project's own errors, which commands show without a traceback."""


class DataError(ReproducibleMLError, ValueError):
    """Raw data, records or a manifest are missing, damaged or malformed."""


class ConfigError(ReproducibleMLError, ValueError):
    """A setting has a wrong type or an invalid value."""


class TrackingError(ReproducibleMLError, RuntimeError):
    """A run cannot be recorded, found or delivered."""


def chosen(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return an entry of a table by its name.

    Args:
        table: The entries by name.
        name: Which one.
        what: What the entries are, such as "optimizer".

    Raises:
        ConfigError: There is no such entry; the message names the nearest and lists all.
    """
    if not isinstance(name, str) or name not in table:
        near = did_you_mean(name, table) if isinstance(name, str) else ""
        raise ConfigError(
            f"There is no {what} {name!r}{near or '.'} Choose one of: {', '.join(sorted(table))}."
        )
    return table[name]


def need_number(
    name: str, value: Any, *, above: float | None = None, least: float | None = None, also: str = ""
) -> None:
    """Refuse a setting that is not a finite number within its range.

    Args:
        name: The setting.
        value: Its value.
        above: The value must be greater than this.
        least: The value must not be less than this.
        also: What else it may be, such as "or None".

    Raises:
        ConfigError: It is not such a number.
    """
    expected = f"above {above}" if above is not None else f"{least} or more"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A comparison with NaN is false, and infinity is above everything.
    fits = is_number and math.isfinite(value)
    if not fits or (above is not None and value <= above) or (least is not None and value < least):
        raise ConfigError(
            f"{name} must be {expected}{(also and f', {also};') or ','} found {value!r}."
        )


def need_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse a setting that is not an integer or is too small. A cast would truncate 2.5.

    Args:
        name: The setting.
        value: Its value.
        least: The value must not be less than this.

    Raises:
        ConfigError: It is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{name} must be an integer, {least} or more, found {value!r}.")
    need_number(name, int(value), least=least)


def need_bool(name: str, value: Any) -> None:
    """Refuse a setting that is neither True nor False; the string "False" would count as true.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, found {value!r}.")
