"""Names of runs, and times as records hold them."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from reproducible_ml.utils.errors import TrackingError

EPOCH = datetime(1970, 1, 1)


def highest_id(runs_dir: Path) -> int:
    """Return the greatest run number among the folders, 0 when there is none."""
    numbers = (int(entry.name) for entry in os.scandir(runs_dir) if entry.name.isdigit())
    return max(numbers, default=0)


def run_directories(runs_dir: Path, holding: str = "run.json") -> list[Path]:
    """Return the folders that hold a run, by number, then by name.

    Args:
        runs_dir: directory of all runs.
        holding: the file that makes a folder count.

    Raises:
        TrackingError: there is no such directory.
    """
    if not runs_dir.is_dir():
        raise TrackingError(f"{runs_dir} is no directory of runs; name the one that holds them.")
    found = [path for path in runs_dir.iterdir() if (path / holding).is_file()]
    return sorted(
        found, key=lambda p: (not p.name.isdigit(), int(p.name) if p.name.isdigit() else 0, p.name)
    )


def now() -> datetime:
    """Return the present in UTC without a zone, as Sacred's records hold it."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def iso(time: datetime) -> str:
    """Return the time as text, always with microseconds: Sacredboard reads no other form."""
    return time.isoformat(timespec="microseconds")


def to_microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 of a UTC time without a zone."""
    return (time - EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """Return the UTC time without a zone of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=count)
