"""Where recorded runs are read from: one interface for a folder of runs and for MongoDB.

``folder_store.py`` and ``mongo_store.py`` implement it; ``run.py`` puts a run's face on it.
"""

from __future__ import annotations

import difflib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Union

from reproducible_ml.utils.errors import TrackingError

RunId = Union[int, str]
# Name -> {"steps": [...], "values": [...], "timestamps": [datetime, ...]}
Metrics = dict[str, dict[str, list[Any]]]
DEFAULT_FOLDER = "runs"
# As Sacred names its options; a record has them under these names.
FOLDER_OPTION, MONGO_OPTION = "--file_storage", "--mongo_db"
MOST_IDS_SHOWN = 8
EVERY_RUN: dict[str, Any] = {"type": "and", "filters": []}


class NotRecorded(TrackingError):
    """There is no such run, or the run has no such artifact."""


class StillWritten(TrackingError):
    """A living process writes the run."""


class StoreUnavailable(TrackingError):
    """The database does not answer, or refuses."""


@dataclass(frozen=True)
class ArtifactInfo:
    """A file that a run made.

    Attributes:
        name: Its name in the run.
        bytes: Its size.
        content_type: Such as "image/png"; empty when unknown.
        place: Where it lies: a path, or the database and the id in GridFS.
    """

    name: str
    bytes: int
    content_type: str
    place: str


@dataclass(frozen=True)
class Found:
    """One page of a list of runs.

    Attributes:
        entries: Their documents; see ``Store.find``.
        matching: How many runs the filter lets through.
        total: How many runs there are.
    """

    entries: list[dict[str, Any]]
    matching: int
    total: int


class Store(ABC):
    """Recorded runs."""

    shown: str
    """Where the runs are, for people; holds no credentials."""

    @abstractmethod
    def ids(self) -> list[RunId]:
        """Return the ids of all runs, numbers first and in order."""

    @abstractmethod
    def entry(self, run_id: RunId) -> dict[str, Any]:
        """Return a run's document in the layout of Sacred's MongoObserver.

        ``_id``, ``experiment``, ``command``, ``status``, ``start_time``, ``heartbeat`` and
        ``stop_time`` (datetimes in UTC, or None), ``host``, ``meta``, ``config``, ``info``,
        ``result``, ``fail_trace``; without output and metrics. ``status`` is what it is now,
        see ``current_status``.

        Raises:
            NotRecorded: There is no such run.
            TrackingError: It cannot be read.
        """

    @abstractmethod
    def entries(self) -> Iterable[dict[str, Any]]:
        """Yield the documents of all runs; one that cannot be read has the status UNREADABLE."""

    @abstractmethod
    def find(
        self,
        query: dict[str, Any] = EVERY_RUN,
        sort_by: str = "_id",
        descending: bool = False,
        start: int = 0,
        limit: int | None = None,
    ) -> Found:
        """Return one page of the runs that a filter lets through.

        The documents hold what a list shows, and need not hold more: ``_id``, ``status``,
        ``experiment.name``, ``command``, ``start_time``, ``heartbeat``, ``host.hostname``,
        ``result``.

        Args:
            query: The filter; see ``query.py``.
            sort_by: The field to sort by; runs that are equal there are sorted by id.
            descending: Whether the greatest comes first.
            start: How many runs to leave out.
            limit: How many runs to return at most.

        Raises:
            QueryError: The filter means nothing.
        """

    @abstractmethod
    def metric_names(self, run_id: RunId) -> list[str]:
        """Return the names of the run's metrics, sorted."""

    @abstractmethod
    def metrics(self, run_id: RunId, names: Collection[str] | None = None) -> Metrics:
        """Return every point, of these metrics or of all, in the order of logging."""

    @abstractmethod
    def open_output(self, run_id: RunId) -> BinaryIO:
        """Open all that the run printed for reading; UTF-8."""

    def output(self, run_id: RunId) -> str:
        """Return all that the run printed."""
        with self.open_output(run_id) as file:
            return file.read().decode("utf-8", "replace")

    def output_end(self, run_id: RunId, most_bytes: int) -> str:
        """Return the end of what the run printed."""
        with self.open_output(run_id) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            return file.read().decode("utf-8", "replace")

    @abstractmethod
    def artifacts(self, run_id: RunId) -> dict[str, ArtifactInfo]:
        """Return the run's artifacts by name."""

    @abstractmethod
    def open_artifact(self, run_id: RunId, name: str) -> BinaryIO:
        """Open an artifact for reading.

        Raises:
            NotRecorded: The run has no such artifact.
        """

    @abstractmethod
    def sources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the recorded source files by relative path, see ``source_name``."""

    @abstractmethod
    def resources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the content of the run's resources by recorded path, as far as it is kept."""

    @abstractmethod
    def append_info(self, run_id: RunId, key: str, value: Any) -> None:
        """Append a value to the list ``info[key]`` of an ended run, atomically.

        Raises:
            TrackingError: There is no such run, or it is still being written.
        """

    @abstractmethod
    def delete(self, run_id: RunId) -> None:
        """Delete a run with its metrics and artifacts; what other runs share stays.

        Raises:
            NotRecorded: There is no such run.
            StillWritten: A living process writes it.
            TrackingError: It cannot be deleted.
        """

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Let go of a connection, if there is one."""

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def missing(self, run_id: Any) -> NotRecorded:
        """Return the error for a run that is not there, which says what there is."""
        ids = self.ids()
        there = f"there are {shown_ids(ids)}" if ids else "it holds no runs"
        near = nearest_ids(run_id, ids)
        if near:
            there += f", the nearest {shown_ids(near)}"
        return NotRecorded(f"There is no run {run_id} in {self.shown}; {there}.")


def typed_id(text: Any) -> RunId:
    """Return 12 for "12", as Sacred numbers runs; other ids stay texts."""
    if isinstance(text, int):
        return text
    text = str(text)
    return int(text) if text.isdecimal() and str(int(text)) == text else text


def sorted_ids(ids: Iterable[RunId]) -> list[RunId]:
    """Return ids in order: numbers by value, then texts."""
    return sorted(
        ids, key=lambda one: (isinstance(one, str), one if isinstance(one, int) else 0, str(one))
    )


def nearest_ids(run_id: Any, ids: list[RunId]) -> list[RunId]:
    """Return the ids that may have been meant: the neighbours of a number, texts much alike."""
    wanted = typed_id(run_id)
    if isinstance(wanted, int):
        numbers = [one for one in ids if isinstance(one, int)]
        below = [one for one in numbers if one < wanted][-1:]
        return [*below, *[one for one in numbers if one > wanted][:1]]
    texts = {str(one): one for one in ids}
    return [texts[near] for near in difflib.get_close_matches(wanted, list(texts), n=2)]


def shown_ids(ids: list[RunId]) -> str:
    """Return ids for a sentence, ranges of numbers drawn together: "1-4, 7 and mine"."""
    groups: list[str] = []
    first = last = None
    for one in [*ids, None]:
        if isinstance(one, int) and isinstance(last, int) and one == last + 1:
            last = one
            continue
        if last is not None:
            groups.append(str(first) if first == last else f"{first}-{last}")
        first = last = one
    if len(groups) > MOST_IDS_SHOWN:
        groups = [*groups[:2], "…", *groups[-2:]]
    return groups[0] if len(groups) == 1 else ", ".join(groups[:-1]) + " and " + groups[-1]


def source_name(recorded: str, base_dir: str, library_dir: str | None) -> str | None:
    """Return the relative path under which a recorded source can be put into any directory.

    Sources are recorded relative to the experiment's ``base_dir``. Those of this library lie
    elsewhere when it is installed ("../../lib/reproducible_ml/x.py"), and become
    "reproducible_ml/x.py".

    Args:
        recorded: The path in the record.
        base_dir: The experiment's base directory on the machine of the run.
        library_dir: The directory that held the library there; None in records of plain Sacred.

    Returns:
        The path; None for one that would leave the directory, which no record of ours holds.
    """
    if library_dir and ".." in PurePosixPath(recorded).parts:
        # Only compared as text: neither directory need exist on this machine.
        absolute = _normal(PurePosixPath(base_dir) / recorded)
        root = PurePosixPath(library_dir)
        if root in absolute.parents:
            recorded = str(absolute.relative_to(root))
    path = PurePosixPath(recorded)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in recorded:
        return None
    return str(path)


def _normal(path: PurePosixPath) -> PurePosixPath:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return PurePosixPath(*parts)


def read_number(value: Any) -> Any:
    """Return a metric's value; a database that takes no NaN has None in its place."""
    return math.nan if value is None else value


def without_pickle_tag(value: dict[str, Any]) -> Any:
    """Return a JSON object; a list for a tuple of Sacred's own observers. Nothing is unpickled."""
    return value["py/tuple"] if set(value) == {"py/tuple"} else value
