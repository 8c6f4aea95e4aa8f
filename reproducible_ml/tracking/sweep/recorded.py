"""The recorded runs of a sweep's experiment: which one a member would repeat, or can resume.

A run counts as a member if its configuration, source files and data fingerprints are the same. A
member that is resumed is given the ``model_dir`` of the run that stopped; apart from that its
configuration is the same, so it counts as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.tracking.runs import (
    NOT_ENDED,
    Run,
    Store,
    as_typed,
    iterate_runs,
    newest_checkpoint,
    resume_command_of,
    source_name,
)
from reproducible_ml.utils.errors import DataError

_COMPLETED, _RUNNING = "COMPLETED", "RUNNING"
_MODEL_DIR = "model_dir"
_STORED_MD5 = re.compile(r"_([0-9a-f]{32})(\.[^/]*)?$")


@dataclass(frozen=True)
class Stopped:
    """A run that stopped before its end.

    Attributes:
        run: The run.
        model_dir: Its folder of checkpoints, as it recorded it.
        step: The newest checkpoint's step.
    """

    run: Run
    model_dir: str
    step: int

    @property
    def word(self) -> str:
        """The word after ``with`` that resumes it."""
        return f"{_MODEL_DIR}={as_typed(self.model_dir)}"


@dataclass(frozen=True)
class Found:
    """What is recorded of a member: at most one of these.

    Attributes:
        completed: The run that it would repeat.
        running: The run of another process that is executing it now.
        stopped: The run that it can resume.
    """

    completed: Run | None = None
    running: Run | None = None
    stopped: Stopped | None = None


class Recorded:
    """The runs of an experiment, among which members may be."""

    def __init__(self, store: Store, experiment: str) -> None:
        self._runs = list(iterate_runs(store, experiment))

    def find(self, config: Mapping[str, Any], sources: Mapping[str, str]) -> Found:
        """Return what is recorded of a member.

        Args:
            config: Its complete configuration.
            sources: Path -> MD5 of today's source files.
        """
        runs = [run for run in self._of(config) if recorded_sources(run) == sources]
        # The newest counts.
        for run in reversed(runs):
            if run.status == _COMPLETED and same_data(run):
                return Found(completed=run)
        for run in reversed(runs):
            if run.status == _RUNNING:
                return Found(running=run)
        if _MODEL_DIR in config:
            stopped = [one for one in map(_stopped, runs) if one is not None and same_data(one.run)]
            if stopped:
                return Found(stopped=max(stopped, key=lambda one: one.step))
        return Found()

    def _of(self, config: Mapping[str, Any]) -> list[Run]:
        """Return the runs of a configuration, and those that resumed one of them."""
        # Compared as recorded: if the experiment fills nothing in, both hold None.
        same = [run for run in self._runs if run.entry.get("config") == config]
        if config.get(_MODEL_DIR, True) is not None:
            return same
        own = {_folder(run.facts.get(_MODEL_DIR)) for run in same} - {None}
        resumed = [
            run
            for run in self._runs
            if _folder((run.entry.get("config") or {}).get(_MODEL_DIR)) in own
            and {**run.entry["config"], _MODEL_DIR: None} == config
        ]
        return [run for run in self._runs if run in same or run in resumed]


def _folder(model_dir: Any) -> str | None:
    return None if model_dir is None else os.path.realpath(str(model_dir))


def _stopped(run: Run) -> Stopped | None:
    """Return a run that has ended with a checkpoint and without its result."""
    # Nothing is printed to resume a run that would be refused again.
    if run.status in (_COMPLETED, *NOT_ENDED) or not resume_command_of(run):
        return None
    found = newest_checkpoint(run.facts)
    return None if found is None else Stopped(run, str(run.facts[_MODEL_DIR]), found[1])


def recorded_sources(run: Run) -> dict[str, str]:
    """Return path -> MD5 of a run's source files; empty if the run doesn't record them so."""
    experiment = run.entry.get("experiment", {})
    found = {}
    for recorded, kept in experiment.get("sources") or []:
        name = source_name(
            str(recorded), str(experiment.get("base_dir", "/")), experiment.get("library_dir")
        )
        md5 = _STORED_MD5.search(str(kept))
        if name is None or md5 is None:
            return {}
        found[name] = md5.group(1)
    return found


def same_data(run: Run) -> bool:
    """Tell whether the data sets of a run are still in their places and unchanged."""
    for facts in (run.facts.get("dataset") or {}).values():
        path = Path(facts["record_dir"])
        started_in = (run.facts.get("stage") or {}).get("cwd")
        if started_in and path.is_absolute() and Path(started_in) in path.parents:
            path = path.relative_to(started_in)
        try:
            if read_manifest(path).fingerprint != facts["fingerprint"]:
                return False
        except (DataError, OSError):
            return False
    return True
