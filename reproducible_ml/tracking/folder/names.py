"""Names of runs, and times in the form that runs record them in."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from reproducible_ml.utils.errors import TrackingError

EPOCH = datetime(1970, 1, 1)


def highest_id(runs_dir: Path) -> int:
    """Return the greatest run number among the folders; 0 if there is none."""
    numbers = (int(entry.name) for entry in os.scandir(runs_dir) if entry.name.isdigit())
    return max(numbers, default=0)


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
    found = [path for path in runs_dir.iterdir() if (path / holding).is_file()]
    return sorted(
        found, key=lambda p: (not p.name.isdigit(), int(p.name) if p.name.isdigit() else 0, p.name)
    )


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
