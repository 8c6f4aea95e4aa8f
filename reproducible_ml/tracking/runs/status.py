"""The one rule for the status of a run, wherever it is read from.

A run that ended says so itself. A killed one cannot, and its record says RUNNING for ever: a folder
knows at once that the process is gone, a database only that nothing is heard of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from reproducible_ml.tracking.folder import KILLED_STATUS, now
from reproducible_ml.tracking.runs.store import (
    NotRecorded,
    RunId,
    StillWritten,
    Store,
    StoreUnavailable,
)
from reproducible_ml.utils.errors import TrackingError

TIMES = ("start_time", "heartbeat", "stop_time")

RUNNING, UNREADABLE = "RUNNING", "UNREADABLE"
# Sacredboard's word for a run that has not been heard of; whether its process lives is not known.
SILENT = "DEAD"
# Statuses of runs that may still change.
NOT_ENDED = (RUNNING, SILENT, "QUEUED")
# Sacred's heartbeat comes every 10 s; 12 missed ones are no accident.
SILENT_AFTER_SECONDS = 120


def current_status(entry: Mapping[str, Any], left: bool = False) -> str:
    """Return the status of a run as it is now.

    Args:
        entry: The run's document, with times as datetimes in UTC.
        left: Whether it is known that its process is gone.
    """
    recorded = str(entry.get("status") or UNREADABLE)
    if recorded != RUNNING:
        return recorded
    if left:
        return KILLED_STATUS
    # A run that has just started has no heartbeat yet.
    silent = seconds_since(entry.get("heartbeat") or entry.get("start_time"))
    return RUNNING if silent is not None and silent < SILENT_AFTER_SECONDS else SILENT


def seconds_since(time: datetime | None) -> float | None:
    """Return how long ago a time in UTC was; None where there is no time."""
    return None if time is None else (now() - time).total_seconds()


def read_time(value: Any) -> datetime | None:
    """Return a time of MongoDB or in ISO form, in UTC without a zone; None where there is none."""
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return None
    # An address may ask for times with a zone (tz_aware), which cannot be compared with ours.
    return value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value


def refuse_running(entry: Mapping[str, Any]) -> None:
    """Refuse to delete a run that is running.

    Raises:
        StillWritten: It is.
    """
    if entry["status"] == RUNNING:
        raise StillWritten(f"Run {entry['_id']} is still running; stop it, then delete it.")


def entry_or_reason(store: Store, run_id: RunId) -> dict[str, Any]:
    """Return a run's document; of one that cannot be read a document that says why.

    Raises:
        NotRecorded: There is no such run.
        StoreUnavailable: The database does not answer.
    """
    try:
        return store.entry(run_id)
    except (NotRecorded, StoreUnavailable):
        raise
    except TrackingError as error:
        return unreadable(run_id, error)


def unreadable(run_id: RunId, error: Exception) -> dict[str, Any]:
    """Return the document of a run that cannot be read, which says why."""
    empty: dict[str, Any] = {"experiment": {}, "config": {}, "info": {}}
    return {"_id": run_id, "status": UNREADABLE, **empty, "fail_trace": [str(error)]}
