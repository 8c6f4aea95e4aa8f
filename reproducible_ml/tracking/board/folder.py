"""Read a folder of runs in the layout of Sacred's FileStorageObserver, whatever state they are in.

    runs/<id>/run.json config.json info.json metrics.json cout.txt and the artifacts
    runs/<id>/journal.log              of this project's own store: every point at any time
    runs/_sources/ runs/_resources/    shared by the runs

Nothing outside the folder is ever read or deleted: an id or a name that leads elsewhere does not
exist. A run may be half there (just started, killed, QUEUED) or be written at this moment.
"""

from __future__ import annotations

import fcntl
import functools
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from reproducible_ml.tracking.folder import JOURNAL_NAME, read_metrics
from reproducible_ml.utils.errors import TrackingError

logger = logging.getLogger(__name__)

# Time of the last change and size of a file; None where there is no such file.
State = Optional[tuple[int, int]]
TIME_FIELDS = ("start_time", "heartbeat", "stop_time")
# A tail of the captured output that a page can show; the rest is there for download.
OUTPUT_BYTES = 1_000_000


class RunFolder:
    """The runs of one folder."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it need not exist yet."""
        self.root = root

    def ids(self) -> list[str]:
        """Return the names of the runs; ``_sources`` and the like are none."""
        try:
            entries = list(os.scandir(self.root))
        except FileNotFoundError:
            return []
        return [one.name for one in entries if one.name[0] not in "._" and self._holds(one)]

    def path(self, run_id: str) -> Path:
        """Return a run's directory.

        Raises:
            LookupError: if the folder has no such run, or the id leads out of it.
        """
        path = self.root / run_id
        if (
            not run_id
            or run_id[0] in "._"
            or path.name != run_id
            or not (path / "run.json").exists()
        ):
            raise LookupError(f"There is no run {run_id} in {self.root}.")
        if path.resolve().parent != self.root.resolve():
            raise LookupError(f"Run {run_id} leads out of {self.root}.")
        return path

    def run(self, run_id: str, parts: tuple[str, ...] = ("config", "info")) -> dict[str, Any]:
        """Return a run as MongoDB would hold it: times as datetimes, config and info inside."""
        path = self.path(run_id)
        run: dict[str, Any] = read_json(path / "run.json")
        if not run:
            run = {"status": "UNREADABLE", "experiment": {"name": "(run.json cannot be read)"}}
        run["_id"] = typed_id(run_id)
        for part in parts:
            run[part] = read_json(path / f"{part}.json")
        for field in TIME_FIELDS:
            run[field] = read_time(run.get(field))
        return run

    def output(self, run_id: str) -> str:
        """Return the end of what the run printed."""
        try:
            with open(self.path(run_id) / "cout.txt", "rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - OUTPUT_BYTES))
                return stream.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def metrics(self, run_id: str) -> dict[str, Any]:
        """Return ``{name: {"steps": …, "timestamps": …, "values": …}}``, of a living run too."""
        path = self.path(run_id)
        return _metrics_of(path, _state(path / JOURNAL_NAME), _state(path / "metrics.json"))

    def artifact(self, run_id: str, name: str) -> Path | None:
        """Return the file of an artifact; None when it is gone or lies outside the run."""
        directory = self.path(run_id).resolve()
        try:
            path = (directory / name).resolve()
        except (OSError, ValueError):  # a NUL byte, a loop of links
            return None
        return path if directory in path.parents and path.is_file() else None

    def remove(self, run_id: str) -> None:
        """Delete a run; it leaves the list at once, and whole, however long the deleting takes.

        Raises:
            BlockingIOError: a living process writes or delivers it.
        """
        path = self.path(run_id)
        with _unless_written(path / JOURNAL_NAME):
            grave = path.with_name(f"_deleted_{os.getpid()}_{path.name}")
            path.rename(grave)
            shutil.rmtree(grave)

    @staticmethod
    def _holds(entry: os.DirEntry[str]) -> bool:
        return entry.is_dir() and os.path.exists(os.path.join(entry.path, "run.json"))


def typed_id(run_id: str) -> Any:
    """Return 12 for "12", so that runs sort as numbers do; other names stay as they are."""
    return int(run_id) if run_id.isdecimal() and str(int(run_id)) == run_id else run_id


def read_time(text: Any) -> datetime | None:
    """Read an ISO time; None where there is none yet."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; empty when the file is missing, or cut because it is being written."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=2)
def _metrics_of(path: Path, journal: State, metrics: State) -> dict[str, Any]:
    """Parse a run's points once per state of its files: a page asks for each metric on its own."""
    try:
        return dict(read_metrics(path)) if journal else read_json(path / "metrics.json")
    except TrackingError as error:
        logger.warning("%s Shown is what metrics.json has.", error)
        return read_json(path / "metrics.json")


def _state(path: Path) -> State:
    """Return what changes when a file does; None where it is missing."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_size


@contextmanager
def _unless_written(path: Path) -> Iterator[None]:
    """Hold a run's journal, as its writer does; nobody can begin to write or deliver meanwhile.

    Raises:
        BlockingIOError: a living process has it.
    """
    if not path.exists():
        yield
        return
    with open(path, "rb") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
