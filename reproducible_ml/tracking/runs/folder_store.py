"""Read a folder of runs in the layout of Sacred's FileStorageObserver, ours and Sacred's own.

Ids and names come from users and from records; whichever leads out of the folder does not exist.
"""

from __future__ import annotations

import fcntl
import json
import mimetypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from reproducible_ml.tracking.folder import (
    DELIVERY_NAME,
    JOURNAL_NAME,
    KILLED_STATUS,
    InfoChanged,
    Journal,
    read_json,
    read_metrics,
    run_directories,
)
from reproducible_ml.tracking.folder import (
    Metrics as MetricsEvent,
)
from reproducible_ml.tracking.runs.store import (
    DEFAULT_FOLDER,
    ArtifactInfo,
    Metrics,
    RunId,
    Store,
    read_time,
    source_name,
    typed_id,
    without_pickle_tags,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import write_json

TIMES = ("start_time", "heartbeat", "stop_time")
_PLAIN_ID = re.compile(r"[^._/\\\0][^/\\\0]*")
_METRIC_EVENT = f'"e":"{MetricsEvent.KIND}"'.encode()


def _no_folder(folder: str) -> str:
    """Return the sentence for a folder that is not there; before the first run none is."""
    other = "name a folder with -F DIR, or a database with -m."
    if folder != DEFAULT_FOLDER:
        return f"There is no folder of runs {folder!r}; {other}"
    # Of a project's own experiments it is not known which comes first.
    known = Path("experiments", "mnist_wgan.py").is_file()
    example = ": python -m experiments.mnist_wgan with digits" if known else ""
    return (
        f"There is no folder of runs {folder!r}: no experiment has run here yet{example}. Else "
        f"{other}"
    )


class FileStore(Store):
    """A folder of runs.

    Args:
        folder: The folder.

    Raises:
        TrackingError: There is no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.shown = str(folder)
        if not self.folder.is_dir():
            raise TrackingError(_no_folder(str(folder)))

    def directory(self, run_id: RunId) -> Path:
        """Return the directory of a run.

        Raises:
            TrackingError: There is no such run.
        """
        name = str(run_id)
        path = self.folder / name
        if not _PLAIN_ID.fullmatch(name) or not (path / "run.json").is_file():
            raise self.missing(run_id)
        if path.resolve().parent != self.folder.resolve():
            raise self.missing(run_id)
        return path

    def ids(self) -> list[RunId]:
        """Return the names of the runs; ``_sources`` and the like are none."""
        names = [path.name for path in run_directories(self.folder)]
        return [typed_id(name) for name in names if _PLAIN_ID.fullmatch(name)]

    def entry(self, run_id: RunId) -> dict[str, Any]:
        """Return a run's document; see ``Store.entry``."""
        directory = self.directory(run_id)
        entry = without_pickle_tags(read_json(directory / "run.json"))
        if not isinstance(entry, dict):
            raise TrackingError(f"{directory / 'run.json'} is no record of a run.")
        for part in ("config", "info"):
            entry[part] = without_pickle_tags(read_json(directory / f"{part}.json", {}))
        for name in TIMES:
            entry[name] = read_time(entry.get(name))
        entry["_id"] = typed_id(directory.name)
        if entry.get("status") == "RUNNING" and _is_left(directory / JOURNAL_NAME):
            entry["status"] = KILLED_STATUS
        return entry

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of all runs."""
        for run_id in self.ids():
            try:
                yield self.entry(run_id)
            except TrackingError as error:
                yield {
                    "_id": run_id,
                    "status": "UNREADABLE",
                    "experiment": {},
                    "config": {},
                    "info": {},
                    "fail_trace": [str(error)],
                }

    def metrics(self, run_id: RunId) -> Metrics:
        """Return every point.

        An ended run's ``metrics.json`` is what everyone else reads, so it is what is shown, unless
        it lacks points that the journal has (a full disk at the end).
        """
        directory = self.directory(run_id)
        journal = directory / JOURNAL_NAME
        found = read_json(directory / "metrics.json", None)
        ended = read_json(directory / "run.json").get("status") != "RUNNING"
        points = sum(len(one["values"]) for one in (found or {}).values())
        if not journal.exists():
            found = found or {}
        elif not ended or points < _count(journal, _METRIC_EVENT):
            found = read_metrics(directory)
        return {
            name: {
                "steps": list(one["steps"]),
                "values": list(one["values"]),
                "timestamps": [read_time(text) for text in one["timestamps"]],
            }
            for name, one in (found or {}).items()
        }

    def output(self, run_id: RunId) -> str:
        """Return what the run printed."""
        try:
            data = (self.directory(run_id) / "cout.txt").read_bytes()
        except FileNotFoundError:
            return ""
        return data.decode("utf-8", "replace")

    def artifacts(self, run_id: RunId) -> dict[str, ArtifactInfo]:
        """Return the artifacts that are there."""
        found = {}
        for name in read_json(self.directory(run_id) / "run.json").get("artifacts") or []:
            path = self._artifact(run_id, str(name))
            if path is not None:
                kind = mimetypes.guess_type(str(name))[0] or ""
                found[str(name)] = ArtifactInfo(str(name), path.stat().st_size, kind, str(path))
        return found

    def open_artifact(self, run_id: RunId, name: str) -> BinaryIO:
        """Open an artifact for reading."""
        path = self._artifact(run_id, name) if name in self.artifacts(run_id) else None
        if path is None:
            raise TrackingError(f"Run {run_id} in {self.shown} has no artifact {name!r}.")
        return open(path, "rb")

    def _artifact(self, run_id: RunId, name: str) -> Path | None:
        directory = self.directory(run_id)
        return inside(directory, directory / name) if "\0" not in name else None

    def sources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the recorded source files."""
        experiment = read_json(self.directory(run_id) / "run.json").get("experiment", {})
        found = {}
        for recorded, kept in experiment.get("sources", ()):
            path = inside(self.folder, self.folder / str(kept))
            name = source_name(
                str(recorded), experiment.get("base_dir", "/"), experiment.get("library_dir")
            )
            if path is None or name is None:
                raise TrackingError(
                    f"Source {recorded!r} of run {run_id} in {self.shown} is not kept there: "
                    f"{kept!r} is missing or leads out of the folder."
                )
            found[name] = path.read_bytes()
        return found

    def resources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the content of the run's resources."""
        found = {}
        for recorded, kept in read_json(self.directory(run_id) / "run.json").get("resources") or []:
            # Recorded from where the run was started, which need not be where we are.
            path = inside(self.folder, self.folder / "_resources" / Path(str(kept)).name)
            if path is not None:
                found[str(recorded)] = path.read_bytes()
        return found

    def append_info(self, run_id: RunId, key: str, value: Any) -> None:
        """Append a value to the list ``info[key]`` of an ended run, in the journal too."""
        directory = self.directory(run_id)
        with _writing(directory) as journal:
            info = read_json(directory / "info.json", {})
            info[key] = [*info.get(key, []), json.loads(json.dumps(value))]
            if journal is not None:
                journal.append(InfoChanged(info))
                journal.sync()
                self._deliver_again(directory)
            write_json(directory / "info.json", info)

    @staticmethod
    def _deliver_again(directory: Path) -> None:
        """Have the next ``reproducible-ml sync`` bring the addition to the databases."""
        delivery = read_json(directory / DELIVERY_NAME)
        if delivery is not None:
            for target in delivery["targets"].values():
                target["complete"] = False
            write_json(directory / DELIVERY_NAME, delivery)


@contextmanager
def _writing(directory: Path) -> Iterator[Journal | None]:
    """Hold the right to write to an ended run: its journal's lock, or the folder's own."""
    if (directory / JOURNAL_NAME).exists():
        journal = Journal(directory / JOURNAL_NAME)
        try:
            yield journal
        finally:
            journal.close()
        return
    number = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield None
    finally:
        os.close(number)


def _is_left(journal: Path) -> bool:
    """Tell whether nobody holds a run's journal any more."""
    try:
        with open(journal, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False  # Sacred's own observer wrote the run, and leaves no sign of life but a beat
    except OSError:
        return False
    return True


def _count(path: Path, part: bytes) -> int:
    """Count the lines of a journal that hold this part, without parsing them."""
    with open(path, "rb") as file:
        return sum(1 for line in file if part in line[:64])


def inside(root: Path, path: Path) -> Path | None:
    """Return a file that lies below a directory; None when it is missing or lies elsewhere."""
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError):
        return None
    return resolved if root.resolve() in resolved.parents and resolved.is_file() else None
