"""One rule for the status of a run, whatever store it is read from.

A run records its own end, but a killed one stays RUNNING forever. A folder shows at once that the
process is gone; a database only shows that its heartbeat stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
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

RUNNING, UNREADABLE = "RUNNING", "UNREADABLE"
# Sacredboard's word for a run whose heartbeat stopped; its process may still live.
SILENT = "DEAD"
# Runs with these statuses may still change.
NOT_ENDED = (RUNNING, SILENT, "QUEUED")
# Sacred's heartbeat comes every 10 s; missing 12 of them is no accident.
SILENT_AFTER_SECONDS = 120


def current_status(entry: Mapping[str, Any], left: bool = False) -> str:
    """Return the present status of a run.

    Args:
        entry: The run's document, with times as datetimes in UTC.
        left: Whether its process is known to be gone.
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
    """Return how long ago a time in UTC was; None for None."""
    return None if time is None else (now() - time).total_seconds()


def refuse_running(entry: Mapping[str, Any]) -> None:
    """Refuse to delete a running run.

    Raises:
        StillWritten: The run is running.
    """
    if entry["status"] == RUNNING:
        raise StillWritten(f"Run {entry['_id']} is still running; stop it, then delete it.")


def entry_or_reason(store: Store, run_id: RunId) -> dict[str, Any]:
    """Return a run's document; if it can't be read, a document that says why.

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
    """Return a document for a run that can't be read, with the reason as its ``fail_trace``."""
    empty: dict[str, Any] = {"experiment": {}, "config": {}, "info": {}}
    return {"_id": run_id, "status": UNREADABLE, **empty, "fail_trace": [str(error)]}
