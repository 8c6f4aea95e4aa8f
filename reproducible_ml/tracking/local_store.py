"""The observer that writes every run to ``runs/<id>/`` as it goes, MongoDB or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sacred.observers.base import RunObserver

from reproducible_ml.tracking.mongo_uri import MongoTarget


class LocalStore(RunObserver):  # type: ignore[misc]
    """Write a run to ``runs_dir/<id>/`` in the layout of Sacred's FileStorageObserver.

    Args:
        runs_dir: directory of all runs; made when it is missing.
        mirror: database that also gets the run, from a background thread; None for none.
    """

    # Above every observer of Sacred: the first one asked assigns the run's id.
    priority = 100

    def __init__(self, runs_dir: str | Path = "runs", mirror: MongoTarget | None = None) -> None:
        self.runs_dir = Path(runs_dir)
        self.mirror = mirror

    def attach(self, run: Any) -> None:
        """Take each metric point of a Sacred run the moment it is logged, not at the heartbeat.

        Call it once with the ``sacred.run.Run`` before the run starts (an option handler gets
        it). Without it a killed process loses the points since its last heartbeat.
        """
