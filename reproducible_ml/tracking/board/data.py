"""What the board's two storages share: deletion, and what the list shows.

They are Sacredboard's data access, subclassed: ``mongo_data`` and ``folder_data``, in which every
override says which defect of 0.4.2 it mends. Both offer what the pages need beyond Sacredboard's
own interface: ``metric_names``, ``output`` and ``artifacts`` of a run, and ``read`` for an
artifact's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reproducible_ml.tracking.board.query import is_alive, utc_now
from reproducible_ml.tracking.board.upstream import RunFacade

# What the list shows; without a projection the whole captured output of every run is read.
LIST_FIELDS = [
    *("experiment.name", "command", "status", "start_time", "heartbeat", "host.hostname", "result")
]
ANY = {"type": "and", "filters": []}


class StillRunning(Exception):
    """A run that is being written cannot be deleted."""


class BoardFacade(RunFacade):
    """Mends: the rest of a run was deleted before anyone looked whether the run exists."""

    def delete_run(self, run_id: Any) -> None:
        """Delete a run with its metrics and files; the run itself last, so it can be repeated."""
        runs = self.datastorage.get_run_dao()
        run = runs.get(run_id)
        if is_alive(run, utc_now()):
            raise StillRunning(f"Run {run_id} is still running; stop it, then delete it.")
        self.datastorage.get_metrics_dao().delete(run)
        runs.delete(run["_id"])


def joined(name: str, parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return one metric from its documents, in their order."""
    metric: dict[str, Any] = {"name": name, "steps": [], "timestamps": [], "values": []}
    for part in parts:
        for key in ("steps", "timestamps", "values"):
            metric[key] += part.get(key) or []
    return metric
