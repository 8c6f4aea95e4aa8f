"""The interface of a store of runs, the same for a folder and for MongoDB.

``folder_store.py`` and ``mongo_store.py`` implement it; ``run.py`` presents a single run.
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
from reproducible_ml.utils.text import cut

RunId = Union[int, str]
# Name -> {"steps": [...], "values": [...], "timestamps": [datetime, ...]}
Metrics = dict[str, dict[str, list[Any]]]
DEFAULT_FOLDER = "runs"
# Sacred's names of these options, which are also their keys in a run's ``meta``.
FOLDER_OPTION, MONGO_OPTION = "--file_storage", "--mongo_db"
LIBRARY_NAME = __name__.partition(".")[0]
# Folder of restored source files that lay outside the experiment's.
OUTSIDE = "_outside"
MOST_IDS_SHOWN = 8
MOST_DIGITS = 19
# Longer ids are cut in messages.
LONGEST_ID = 60
EVERY_RUN: dict[str, Any] = {"type": "and", "filters": []}


class NotRecorded(TrackingError):
    """A missing run, or a missing artifact of a run."""


class StillWritten(TrackingError):
    """A run that a living process still writes."""


class StoreUnavailable(TrackingError):
    """A database that does not answer, or refuses to."""


@dataclass(frozen=True)
class ArtifactInfo:
    """A file that a run made.

    Attributes:
        name: Its name in the run.
        bytes: Its size.
        content_type: For example "image/png"; empty if unknown.
        place: Where it is stored: a path, or the database and the id in GridFS.
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
        matching: Number of runs that match the filter.
        total: Number of all runs.
    """

    entries: list[dict[str, Any]]
    matching: int
    total: int


class Store(ABC):
    """Recorded runs."""

    shown: str
    """The store's place for messages, without credentials."""

    @abstractmethod
    def ids(self) -> list[RunId]:
        """Return the ids of all runs, numbers first and in order."""

    @abstractmethod
    def entry(self, run_id: RunId) -> dict[str, Any]:
        """Return a run's document in the layout of Sacred's MongoObserver.

        It has ``_id``, ``experiment``, ``command``, ``status``, ``start_time``, ``heartbeat`` and
        ``stop_time`` (datetimes in UTC, or None), ``host``, ``meta``, ``config``, ``info``,
        ``result`` and ``fail_trace``, but neither output nor metrics. ``status`` is the present
        one, see ``current_status``.

        Raises:
            NotRecorded: There is no such run.
            TrackingError: The run can't be read.
        """

    @abstractmethod
    def entries(self) -> Iterable[dict[str, Any]]:
        """Yield the documents of all runs; one that can't be read has the status UNREADABLE."""

    @abstractmethod
    def find(
        self,
        query: dict[str, Any] = EVERY_RUN,
        sort_by: str = "_id",
        descending: bool = False,
        start: int = 0,
        limit: int | None = None,
    ) -> Found:
        """Return one page of the runs that match a filter.

        The documents hold at least what a list shows: ``_id``, ``status``, ``experiment.name``,
        ``command``, ``start_time``, ``heartbeat``, ``host.hostname`` and ``result``.

        Args:
            query: The filter; see ``query.py``.
            sort_by: The field to sort by; runs with equal values are sorted by id.
            descending: Whether the greatest value comes first.
            start: Number of runs to skip.
            limit: Greatest number of runs to return; None for all.

        Raises:
            QueryError: The filter is invalid.
        """

    @abstractmethod
    def metric_names(self, run_id: RunId) -> list[str]:
        """Return the names of the run's metrics, sorted."""

    @abstractmethod
    def metrics(self, run_id: RunId, names: Collection[str] | None = None) -> Metrics:
        """Return every point of these metrics, or of all, in the order of logging."""

    @abstractmethod
    def open_output(self, run_id: RunId) -> BinaryIO:
        """Open everything that the run printed, as UTF-8 bytes."""

    def output(self, run_id: RunId) -> str:
        """Return everything that the run printed."""
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
        """Return the recorded source files by relative path; see ``source_name``."""

    @abstractmethod
    def resources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the content of the run's resources by recorded path, if the store kept it."""

    @abstractmethod
    def append_info(self, run_id: RunId, key: str, value: Any) -> None:
        """Append a value to the list ``info[key]`` of an ended run, atomically.

        Raises:
            TrackingError: There is no such run, or a process still writes it.
        """

    @abstractmethod
    def delete(self, run_id: RunId) -> None:
        """Delete a run with its metrics and artifacts, but not the files that it shares.

        Raises:
            NotRecorded: There is no such run.
            StillWritten: A living process writes it.
            TrackingError: It can't be deleted.
        """

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Close the connection, if there is one."""

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def missing(self, run_id: Any) -> NotRecorded:
        """Return the error for a missing run, which lists the runs that exist."""
        ids = self.ids()
        there = f"there are {shown_ids(ids)}" if ids else "it holds no runs"
        near = nearest_ids(run_id, ids)
        if near:
            there += f", the nearest {shown_ids(near)}"
        named = cut(str(run_id), LONGEST_ID)
        return NotRecorded(f"There is no run {named} in {self.shown}; {there}.")


def typed_id(text: Any) -> RunId:
    """Return 12 for "12", as Sacred numbers runs; other ids stay strings."""
    if isinstance(text, int):
        return text
    text = str(text)
    # No store numbers runs with more digits, and Python refuses to convert very long ones.
    is_number = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return int(text) if is_number and str(int(text)) == text else text


def sorted_ids(ids: Iterable[RunId]) -> list[RunId]:
    """Return ids in order: numbers by value, then strings."""
    return sorted(
        ids, key=lambda one: (isinstance(one, str), one if isinstance(one, int) else 0, str(one))
    )


def nearest_ids(run_id: Any, ids: list[RunId]) -> list[RunId]:
    """Return the ids that may have been meant: a number's neighbours, or similar strings."""
    wanted = typed_id(run_id)
    if isinstance(wanted, int):
        numbers = [one for one in ids if isinstance(one, int)]
        below = [one for one in numbers if one < wanted][-1:]
        return [*below, *[one for one in numbers if one > wanted][:1]]
    texts = {str(one)[:LONGEST_ID]: one for one in ids}
    near = difflib.get_close_matches(wanted[:LONGEST_ID], list(texts), n=2)
    return [texts[one] for one in near]


def shown_ids(ids: list[RunId]) -> str:
    """Return ids for a sentence, with ranges of numbers: "1-4, 7 and mine"."""
    groups: list[str] = []
    first = last = None
    for one in [*ids, None]:
        if isinstance(one, int) and isinstance(last, int) and one == last + 1:
            last = one
            continue
        if last is not None:
            groups.append(cut(str(first), LONGEST_ID) if first == last else f"{first}-{last}")
        first = last = one
    if len(groups) > MOST_IDS_SHOWN:
        groups = [*groups[:2], "…", *groups[-2:]]
    return groups[0] if len(groups) == 1 else ", ".join(groups[:-1]) + " and " + groups[-1]


def source_name(recorded: str, base_dir: str, library_dir: str | None) -> str | None:
    """Return the relative path under which a source file can be restored into any directory.

    Source files are recorded relative to the experiment's ``base_dir``. Those of this library lie
    elsewhere if it is installed ("../../lib/reproducible_ml/x.py", or ".venv/lib/..." of an
    environment in the project), and become "reproducible_ml/x.py". Other files outside, such as
    those of a folder on PYTHONPATH, become "_outside/home/me/lib/x.py".

    Args:
        recorded: The recorded path.
        base_dir: The experiment's base directory on the machine of the run.
        library_dir: The directory that held the library there; None for a run of plain Sacred.

    Returns:
        The path; None if it would leave the directory, which no run of ours records.
    """
    if library_dir:
        # Compared as strings, since neither directory need exist on this machine.
        absolute = _normal(PurePosixPath(base_dir) / recorded)
        root = PurePosixPath(library_dir)
        if root in absolute.parents and absolute.relative_to(root).parts[0] == LIBRARY_NAME:
            recorded = str(absolute.relative_to(root))
        elif ".." in PurePosixPath(recorded).parts:
            recorded = str(PurePosixPath(OUTSIDE, *absolute.parts[1:]))
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
    """Return a metric's value; None stands for NaN in databases that refuse NaN."""
    return math.nan if value is None else value


def without_pickle_tag(value: dict[str, Any]) -> Any:
    """Return a JSON object, or a list for a tuple of Sacred's observers; unpickle nothing."""
    return value["py/tuple"] if set(value) == {"py/tuple"} else value
