"""Read a folder of runs that this project or Sacred's FileStorageObserver wrote.

Ids and names come from users and from recorded files, so a path that leads out of the folder is
treated as missing.
"""

from __future__ import annotations

import fcntl
import functools
import io
import json
import mimetypes
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Optional

from reproducible_ml.process import held_by, within
from reproducible_ml.tracking.folder import (
    JOURNAL_NAME,
    Deliveries,
    InfoChanged,
    Journal,
    read_json,
    read_metrics,
    run_directories,
)
from reproducible_ml.tracking.folder import (
    Metrics as MetricsEvent,
)
from reproducible_ml.tracking.runs.document import document, metrics
from reproducible_ml.tracking.runs.query import checked, fields, matcher, sort_key
from reproducible_ml.tracking.runs.status import (
    RUNNING,
    current_status,
    entry_or_reason,
    refuse_running,
    unreadable,
)
from reproducible_ml.tracking.runs.store import (
    DEFAULT_FOLDER,
    EVERY_RUN,
    ArtifactInfo,
    Found,
    Metrics,
    NotRecorded,
    RunId,
    StillWritten,
    Store,
    source_name,
    typed_id,
    without_pickle_tag,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import open_file, write_json

# Files of a run that a list reads only if its filter or order needs them.
PARTS = ("config", "info")
# The first bytes tell the type of an image whose name has no suffix.
PICTURES = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
# Modification time and size of a file; None if there is no such file.
State = Optional[tuple[int, int]]
_PLAIN_ID = re.compile(r"[^._/\\\0][^/\\\0]*")
_METRIC_EVENT = f'"e":"{MetricsEvent.KIND}"'.encode()


def _no_folder(folder: str) -> str:
    """Return the message for a missing folder, which is normal before the first run."""
    other = "name a folder with -F DIR, or a database with -m."
    if folder != DEFAULT_FOLDER:
        return f"There is no folder of runs {folder!r}; {other}"
    # A new project has experiments of its own, and nothing says which one to run first.
    known = Path("experiments", "mnist_wgan.py").is_file()
    example = ": python -m experiments.mnist_wgan with digits" if known else ""
    return (
        f"There is no folder of runs {folder!r}: no experiment has run here yet{example}. Else "
        f"{other}"
    )


class FolderStore(Store):
    """A folder of runs.

    Args:
        folder: Path of the folder.

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
            NotRecorded: There is no such run.
        """
        name = str(run_id)
        path = self.folder / name
        # Not Path.is_file, which raises an error for a name that no file system allows.
        if not self._is_own(path) or path.name != name or not os.path.isfile(path / "run.json"):
            raise self.missing(run_id)
        return path

    def _is_own(self, path: Path) -> bool:
        """Tell whether a directory entry can be a run, and is not a link out of the folder."""
        if not _PLAIN_ID.fullmatch(path.name):
            return False  # _sources and the like
        if not os.path.islink(path):
            return True
        return os.path.dirname(os.path.realpath(path)) == os.path.realpath(self.folder)

    def ids(self) -> list[RunId]:
        """Return the ids of the runs; an empty list if the folder was removed."""
        paths = run_directories(self.folder) if self.folder.is_dir() else []
        return [typed_id(path.name) for path in paths if self._is_own(path)]

    def entry(self, run_id: RunId) -> dict[str, Any]:
        """Return a run's document; see ``Store.entry``."""
        return self._read(run_id, PARTS)

    def _read(self, run_id: RunId, parts: Collection[str]) -> dict[str, Any]:
        directory = self.directory(run_id)
        entry = read_json(directory / "run.json", object_hook=without_pickle_tag)
        if isinstance(entry, dict):
            for part in parts:
                path = directory / f"{part}.json"
                entry[part] = read_json(path, {}, object_hook=without_pickle_tag)
        entry = document(entry, str(directory / "run.json"))
        entry["_id"] = typed_id(directory.name)
        left = entry.get("status") == RUNNING and _is_left(directory / JOURNAL_NAME)
        entry["status"] = current_status(entry, left)
        return entry

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of all runs."""
        return self._entries(self.ids(), PARTS)

    def _entries(self, ids: list[RunId], parts: Collection[str]) -> Iterator[dict[str, Any]]:
        for run_id in ids:
            try:
                yield self._read(run_id, parts)
            except NotRecorded:
                continue  # deleted since the ids were listed
            except TrackingError as error:
                yield unreadable(run_id, error)

    def find(
        self,
        query: dict[str, Any] = EVERY_RUN,
        sort_by: str = "_id",
        descending: bool = False,
        start: int = 0,
        limit: int | None = None,
    ) -> Found:
        """Return one page of the runs that a filter lets through; see ``Store.find``."""
        compared = [sort_by, *fields(checked(query))]
        parts = [part for part in PARTS if any(one.split(".")[0] == part for one in compared)]
        ids = self.ids()
        matches = matcher(query)
        found = [entry for entry in self._entries(ids, parts) if matches(entry)]
        found.sort(key=lambda entry: sort_key(entry, sort_by), reverse=descending)
        end = None if limit is None else start + limit
        return Found(found[start:end], len(found), len(ids))

    def metric_names(self, run_id: RunId) -> list[str]:
        """Return the names of the run's metrics, sorted."""
        return sorted(_kept_points(*_metric_files(self.directory(run_id))))

    def metrics(self, run_id: RunId, names: Collection[str] | None = None) -> Metrics:
        """Return every point of these metrics, or of all.

        The points of an ended run come from ``metrics.json``, the file that other programs read,
        unless it lacks points that the journal has (the disk was full at the end).
        """
        # A page asks for one metric after another, so the parsed file is worth keeping; a caller
        # that wants all of them keeps them itself.
        read = _points if names is None else _kept_points
        return {
            name: {
                "steps": list(one["steps"]),
                "values": list(one["values"]),
                "timestamps": list(one["timestamps"]),
            }
            for name, one in read(*_metric_files(self.directory(run_id))).items()
            if names is None or name in names
        }

    def open_output(self, run_id: RunId) -> BinaryIO:
        """Open everything that the run printed."""
        directory = self.directory(run_id)
        try:
            return open_file(directory / "cout.txt", directory)
        except FileNotFoundError:
            return io.BytesIO()
        except OSError as error:
            raise TrackingError(
                f"{directory / 'cout.txt'} cannot be read: {error.strerror or error}."
            ) from error

    def artifacts(self, run_id: RunId) -> dict[str, ArtifactInfo]:
        """Return the artifacts whose files exist."""
        found = {}
        for name in self._listed(run_id):
            path = self._artifact(run_id, name)
            if path is not None:
                kind = mimetypes.guess_type(name)[0] or _picture_type(path)
                found[name] = ArtifactInfo(name, path.stat().st_size, kind, str(path))
        return found

    def _listed(self, run_id: RunId) -> list[str]:
        listed = self._read(run_id, ()).get("artifacts") or []
        return (
            [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        )

    def open_artifact(self, run_id: RunId, name: str) -> BinaryIO:
        """Open an artifact for reading."""
        path = self._artifact(run_id, name) if name in self._listed(run_id) else None
        if path is None:
            raise NotRecorded(f"Run {run_id} in {self.shown} has no artifact {name!r}.")
        try:
            return open_file(path)
        except OSError as error:
            raise TrackingError(f"{path} cannot be read: {error.strerror or error}.") from error

    def _artifact(self, run_id: RunId, name: str) -> Path | None:
        directory = self.directory(run_id)
        return inside(directory, directory / name) if "\0" not in name else None

    def sources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the recorded source files."""
        experiment = self._read(run_id, ())["experiment"]
        found = {}
        for recorded, kept in experiment.get("sources", ()):
            path = inside(self.folder, self.folder / str(kept))
            name = source_name(
                str(recorded), experiment.get("base_dir", "/"), experiment.get("library_dir")
            )
            if path is None or name is None:
                raise TrackingError(
                    f"Source file {recorded!r} of run {run_id} in {self.shown} is not kept there: "
                    f"{kept!r} is missing or leads out of the folder."
                )
            found[name] = _content(path)
        return found

    def resources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the content of the run's resources."""
        found = {}
        for recorded, kept in self._read(run_id, ()).get("resources") or []:
            # The recorded path is relative to the run's working directory, which may not be ours.
            path = inside(self.folder, self.folder / "_resources" / Path(str(kept)).name)
            if path is not None:
                found[str(recorded)] = _content(path)
        return found

    def append_info(self, run_id: RunId, key: str, value: Any) -> None:
        """Append a value to the list ``info[key]`` of an ended run, also in its journal."""
        directory = self.directory(run_id)
        with _writing(directory) as journal:
            info = read_json(directory / "info.json", {})
            present = info.get(key, []) if isinstance(info, dict) else None
            if not isinstance(present, list):
                raise TrackingError(
                    f"{directory / 'info.json'} holds no list {key!r} to add to; restore it from "
                    "a copy."
                )
            # A damaged file of either kind is refused before anything is written.
            deliveries = Deliveries(directory)
            info[key] = [*present, json.loads(json.dumps(value))]
            if journal is not None:
                journal.append(InfoChanged(info))
                journal.sync()
                # The next ``reproducible-ml sync`` delivers the addition.
                for target in deliveries.targets.values():
                    target["complete"] = False
                if deliveries.targets:
                    deliveries.write()
            write_json(directory / "info.json", info)

    def delete(self, run_id: RunId) -> None:
        """Delete a run; it leaves the list at once, however long removing its files takes."""
        directory = self.directory(run_id)
        refuse_running(entry_or_reason(self, run_id))
        grave = directory.with_name(f"_deleted_{os.getpid()}_{directory.name}")
        try:
            with _unless_written(directory / JOURNAL_NAME):
                directory.rename(grave)
                shutil.rmtree(grave)
        except BlockingIOError:
            raise StillWritten(
                f"Run {run_id} is still being written or delivered; stop that, then delete it."
            ) from None
        except OSError as error:
            raise TrackingError(f"Run {run_id} cannot be deleted: {error}.") from error


@contextmanager
def _writing(directory: Path) -> Iterator[Journal | None]:
    """Lock an ended run for writing: its journal, or its folder if it has no journal."""
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


@contextmanager
def _unless_written(journal: Path) -> Iterator[None]:
    """Lock a run's journal as its writer does, so that nobody can write or deliver it meanwhile.

    Raises:
        BlockingIOError: A living process holds the lock.
    """
    if not journal.exists():
        yield
        return
    if held_by(within(journal.parent)):
        raise BlockingIOError
    with open(journal, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_left(journal: Path) -> bool:
    """Tell whether the process that wrote a run's journal is gone."""
    try:
        with open_file(journal, journal.parent.parent) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False  # a run of Sacred's own observer, whose only sign of life is its heartbeat
    except OSError:
        return False
    # Another host's lock is invisible on some network file systems.
    return not held_by(within(journal.parent))


def _metric_files(directory: Path) -> tuple[Path, State, State]:
    """Return a run's directory, and the file states that change whenever its points do."""
    return directory, _state(directory / JOURNAL_NAME), _state(directory / "metrics.json")


def _state(path: Path) -> State:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_size


def _points(directory: Path, journal: State, state: State) -> Metrics:
    """Read every point of a run."""
    del state  # only part of the cache key below
    path = directory / "metrics.json"
    found = metrics(read_json(path, None) or {}, str(path))
    if journal is None:
        return found
    entry = read_json(directory / "run.json")
    ended = isinstance(entry, dict) and entry.get("status") != RUNNING
    points = sum(len(one["values"]) for one in found.values())
    if not ended or points < _count(directory / JOURNAL_NAME, _METRIC_EVENT):
        journaled = metrics(read_metrics(directory), str(directory / JOURNAL_NAME))
        # The journal may be the one that was cut or damaged.
        if sum(len(one["values"]) for one in journaled.values()) >= points:
            found = journaled
    return found


# A page asks for each metric separately, so an unchanged file is parsed once; two entries serve two
# runs shown side by side.
_kept_points = functools.lru_cache(maxsize=2)(_points)


def _content(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read()
    except OSError as error:
        raise TrackingError(f"{path} cannot be read: {error.strerror or error}.") from error


def _picture_type(path: Path) -> str:
    try:
        with open_file(path) as file:
            head = file.read(12)
    except OSError:
        return ""
    return next((kind for start, kind in PICTURES if head.startswith(start)), "")


def _count(path: Path, part: bytes) -> int:
    """Count the lines of a journal that contain these bytes near their start, without parsing."""
    with open_file(path, path.parent.parent) as file:
        return sum(1 for line in file if part in line[:64])


def inside(root: Path, path: Path) -> Path | None:
    """Return the real path of a file below a directory; None if it is missing or elsewhere."""
    try:
        resolved = Path(os.path.realpath(path))
        is_inside = Path(os.path.realpath(root)) in resolved.parents
    except ValueError:  # half a surrogate pair
        return None
    return resolved if is_inside and os.path.isfile(resolved) else None
