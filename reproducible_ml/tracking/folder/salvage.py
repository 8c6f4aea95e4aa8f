"""Merges a run's journal with its files, which may hold what a damaged or cut journal lacks.

Both are written by one process, the journal first. So whatever a file that is whole holds beyond
the journal was in the journal once: points, artifacts, resources, source files, ``info``, the
result and the end. It is added to the journal again, points in their places if their line is
missing between others. Nothing is removed from either.
"""

from __future__ import annotations

import mimetypes
import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder.events import (
    ArtifactAdded,
    Beat,
    Ended,
    Event,
    InfoChanged,
    Metrics,
    ResourceAdded,
    SourcesAdded,
    Started,
    event_of,
)
from reproducible_ml.tracking.folder.journal import Entry, Journal, JournalReader
from reproducible_ml.tracking.folder.layout import Deliveries, artifact_path, read_json
from reproducible_ml.tracking.folder.names import to_microseconds
from reproducible_ml.tracking.folder.state import QUEUED, RunState
from reproducible_ml.utils.errors import TrackingError

_RUNNING = "RUNNING"
_STORED_MD5 = re.compile(r"_([0-9a-f]{32})(\.[^/]*)?$")
# Step, value and microseconds; the value as text, since NaN is not equal to itself.
_Point = tuple[Any, str, int]
_NO_END = 2**62


def add_what_files_hold(directory: Path, journal: Journal) -> int:
    """Add to a run's journal what its files hold beyond it.

    Args:
        directory: the run's folder.
        journal: its journal, locked by the caller.

    Returns:
        Number of the events that were added; 0 if the journal holds everything.

    Raises:
        TrackingError: an event lacks a field.
    """
    reader = JournalReader(journal.path)
    entries = list(reader.read_all())
    delivered = _delivered(directory)
    # A database that has received events behind a gap would never receive those in it.
    gaps = [] if delivered else reader.missing
    free = [number for first, last in gaps for number in range(first, min(last, first + 10**6) + 1)]
    added, tail = _Merge(directory, entries, free, bool(delivered)).lacking()
    if added:
        journal.replace_lines(sorted([*entries, *added], key=lambda one: one.sequence))
    for event in tail:
        journal.append(event)
    if added or tail:
        journal.sync()
    return len(added) + len(tail)


def _delivered(directory: Path) -> dict[str, Any]:
    try:
        targets = Deliveries(directory).targets
        return {name: one for name, one in targets.items() if one.get("run_id") is not None}
    except TrackingError:
        return {}


class _Merge:
    def __init__(
        self, directory: Path, entries: list[Entry], free: list[int], delivered: bool
    ) -> None:
        self._directory = directory
        self._entries = entries
        self._free = free
        self._delivered = delivered
        self._run = _whole(directory / "run.json")
        self._state = RunState()
        for entry in entries:
            self._state.apply(*entry)
        self._added: list[Entry] = []
        self._tail: list[Event] = []

    def lacking(self) -> tuple[list[Entry], list[Event]]:
        """Return the events that fill gaps of the journal, and those that go to its end."""
        if self._state.start is None and not self._restart():
            return [], []
        self._add_points()
        if self._run:
            self._add_files()
            self._add_end()
        return self._added, self._tail

    def _restart(self) -> bool:
        """Add the first event again."""
        run, config = self._run, _whole(self._directory / "config.json")
        # Its uid, which is nowhere else, identifies the run in a database.
        if self._delivered or not run or not isinstance(run.get("start_time"), str):
            return False
        start = Started(
            uid=uuid.uuid4().hex,
            status=QUEUED if run.get("status") == QUEUED else _RUNNING,
            command=str(run.get("command", "")),
            time=run["start_time"],
            experiment=_mapping(run.get("experiment")),
            host=_mapping(run.get("host")),
            config=_mapping(config),
            meta=_mapping(run.get("meta")),
        )
        self._state.start = start
        self._place(start, 0, 2)
        return True

    def _place(self, event: Event, after: int, before: int) -> None:
        """Give an event a number that is missing between two others, or add it at the end."""
        if not _readable(event):
            return
        number = next((one for one in self._free if after < one < before), None)
        if number is None:
            self._tail.append(event)
        else:
            self._free.remove(number)
            self._added.append(Entry(number, event))

    def _add_points(self) -> None:
        kept: dict[str, list[tuple[_Point, int]]] = {}
        for sequence, event in self._entries:
            if isinstance(event, Metrics):
                for step, value, time in zip(event.steps, event.values, event.times):
                    point = (step, repr(value), time)
                    kept.setdefault(event.name, []).append((point, sequence))
        for name, columns in _metrics(self._directory / "metrics.json"):
            known = kept.get(name, [])
            at, after = 0, 1
            lost: list[tuple[Any, Any, int]] = []
            for step, value, time in zip(*columns):
                if at < len(known) and known[at][0] == (step, repr(value), time):
                    self._place_points(name, lost, after, known[at][1])
                    lost, after, at = [], known[at][1], at + 1
                else:
                    lost.append((step, value, time))
            # If the journal has further points, the file is the older of the two.
            before = known[at][1] if at < len(known) else _NO_END
            self._place_points(name, lost, after, before)

    def _place_points(
        self, name: str, lost: list[tuple[Any, Any, int]], after: int, before: int
    ) -> None:
        if lost:
            steps, values, times = zip(*lost)
            self._place(Metrics(name, list(steps), list(values), list(times)), after, before)

    def _add_files(self) -> None:
        run, state = self._run, self._state
        experiment = state.experiment()
        listed = {name for name, _ in _pairs(experiment.get("sources"))}
        found = _mapping(run.get("experiment"))
        late = [[name, copy] for name, copy in _pairs(found.get("sources")) if name not in listed]
        known = _strings(experiment.get("changed_sources"))
        changed = [one for one in _strings(found.get("changed_sources")) if one not in known]
        if late or changed:
            self._append(SourcesAdded(late, changed))
        stored = {(one.name, one.md5) for one in state.resources}
        for name, copy in _pairs(run.get("resources")):
            md5 = _STORED_MD5.search(copy)
            if md5 is not None and (name, md5.group(1)) not in stored:
                self._append(ResourceAdded(name, md5.group(1)))
        for name in _strings(run.get("artifacts")):
            path = self._artifact(name)
            if name not in state.artifacts and path is not None:
                kind = mimetypes.guess_type(name)[0]
                self._append(ArtifactAdded(name, path.stat().st_size, None, kind))

    def _append(self, event: Event) -> None:
        if _readable(event):
            self._tail.append(event)

    def _artifact(self, name: str) -> Path | None:
        try:
            path = artifact_path(self._directory, name)
        except TrackingError:
            return None
        return path if path.is_file() else None

    def _add_end(self) -> None:
        run, state = self._run, self._state
        status, beat = run.get("status"), str(run.get("heartbeat") or "")
        ended = state.end is None and status not in (None, _RUNNING, QUEUED)
        # The files are written after the journal: what it lacks is newer.
        if not (ended or beat > state.heartbeat):
            return
        info = _whole(self._directory / "info.json")
        if isinstance(info, dict) and info != state.info:
            self._append(InfoChanged(info))
        output = self._directory / "cout.txt"
        size = output.stat().st_size if output.is_file() else 0
        beat = beat if _is_time(beat) else state.last_time
        self._append(Beat(beat, size, run.get("result")))
        if ended:
            # The end itself is what matters; its time and its reason may be damaged.
            stop, trace = str(run.get("stop_time")), run.get("fail_trace")
            stop = stop if _is_time(stop) else beat
            trace = trace if isinstance(trace, list) else None
            self._append(Ended(str(status), stop, run.get("result"), trace))


def _readable(event: Event) -> bool:
    """Say whether a reader of the journal takes this event; a file may hold anything."""
    try:
        event_of(event.as_json())
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _strings(value: Any) -> list[str]:
    """Return the strings of a list; of anything else, none."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _pairs(value: Any) -> list[tuple[str, str]]:
    """Return the pairs of strings that a list of rows begins with; of anything else, none."""
    rows = [_strings(one) for one in value] if isinstance(value, list) else []
    return [(row[0], row[1]) for row in rows if len(row) >= 2]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if the file is missing or damaged."""
    try:
        return _mapping(read_json(path, {}))
    except (TrackingError, OSError, RecursionError):
        return {}


def _metrics(path: Path) -> Iterator[tuple[str, tuple[list[Any], list[Any], list[int]]]]:
    """Yield name and columns of each metric in a file, as far as they are whole."""
    for name, one in _whole(path).items():
        try:
            times = [to_microseconds(datetime.fromisoformat(text)) for text in one["timestamps"]]
            if len(one["steps"]) == len(one["values"]) == len(times):
                yield name, (one["steps"], one["values"], times)
        except (KeyError, TypeError, ValueError):
            continue
