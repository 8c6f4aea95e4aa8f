"""Names of runs, and times in the form that runs record them in."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from reproducible_ml.utils.errors import TrackingError

EPOCH = datetime(1970, 1, 1)


def highest_id(runs_dir: Path) -> int:
    """Return the greatest run number among the folders; 0 if there is none."""
    return max((_number(entry.name) or 0 for entry in os.scandir(runs_dir)), default=0)


def run_directories(runs_dir: Path, holding: str = "run.json") -> list[Path]:
    """Return the folders of runs, ordered by number, then by name.

    Args:
        runs_dir: directory of all runs.
        holding: the file that marks a folder as a run.

    Raises:
        TrackingError: there is no such directory.
    """
    if not runs_dir.is_dir():
        raise TrackingError(f"{runs_dir} is not a directory; name the one that holds the runs.")
    try:
        paths = list(runs_dir.iterdir())
    except OSError as error:
        raise TrackingError(f"{runs_dir} cannot be read: {error.strerror or error}.") from error
    # Not Path.is_file, which raises an error for a folder of another user.
    found = [path for path in paths if os.path.isfile(path / holding)]
    return sorted(found, key=lambda path: _order(path.name))


def _order(name: str) -> tuple[bool, int, str]:
    number = _number(name)
    return (number is None, number or 0, name)


def _number(name: str) -> int | None:
    """Return the number that a folder's name is; None for another name, such as "²"."""
    return int(name) if name.isascii() and name.isdigit() else None


def now() -> datetime:
    """Return the present time in UTC without a zone, as Sacred records times."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def iso(time: datetime) -> str:
    """Return a time as a string, always with microseconds: Sacredboard reads no other form."""
    return time.isoformat(timespec="microseconds")


def to_microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 of a UTC time without a zone."""
    return (time - EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """Return the UTC time without a zone for microseconds since 1970."""
    return EPOCH + timedelta(microseconds=count)
