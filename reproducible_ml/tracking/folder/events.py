"""The events of a run: one class for each kind, and their JSON objects in the journal.

``"e"`` names the kind. All values are JSON types. Times are ISO strings in UTC, except those of
metric points, which are microseconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

COMPLETED = "COMPLETED"


@dataclass(frozen=True)
class Event:
    """Something that happens to a run; ``KIND`` names it in the journal."""

    KIND: ClassVar[str]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of the event's line in a journal, with keys in that order."""
        return {"e": self.KIND, **vars(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """Make an event from a JSON object; unknown keys are ignored.

        Raises:
            KeyError: a field is missing.
        """
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Started(Event):
    """The first event of every run.

    Attributes:
        uid: identifies the run in every database, whatever its id there.
        status: "RUNNING", or "QUEUED" for a run that another process will execute.
        command: the experiment's command.
        time: when it started.
        experiment: its name, source files and dependencies.
        host: the machine.
        config: the configuration.
        meta: the command line's options and the comment.
    """

    KIND: ClassVar[str] = "start"

    uid: str
    status: str
    command: str
    time: str
    experiment: dict[str, Any]
    host: dict[str, Any]
    config: dict[str, Any]
    meta: dict[str, Any]


@dataclass(frozen=True)
class Beat(Event):
    """A heartbeat.

    Attributes:
        time: when it came.
        output_bytes: length of ``cout.txt`` at that time.
        result: the result so far.
    """

    KIND: ClassVar[str] = "heartbeat"

    time: str
    output_bytes: int
    result: Any


@dataclass(frozen=True)
class Metrics(Event):
    """Points of one metric in the order of logging, as lists of equal length.

    Attributes:
        name: the metric's name.
        steps: numbers.
        values: numbers, booleans, short strings or None.
        times: microseconds since 1970, UTC.
    """

    KIND: ClassVar[str] = "metrics"

    name: str
    steps: list[Any]
    values: list[Any]
    times: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object with one-letter keys: a journal may hold a million of them."""
        return {"e": self.KIND, "n": self.name, "s": self.steps, "v": self.values, "t": self.times}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metrics:
        """Make the event of a JSON object.

        Raises:
            KeyError: a column or the name is missing.
        """
        return cls(data["n"], data["s"], data["v"], data["t"])


@dataclass(frozen=True)
class InfoChanged(Event):
    """A change of the experiment's ``info``, which is recorded whole."""

    KIND: ClassVar[str] = "info"

    info: Any


@dataclass(frozen=True)
class ResourceAdded(Event):
    """A file that the run reads; name and MD5 give the copy's path (``layout.resource_copy``)."""

    KIND: ClassVar[str] = "resource"

    name: str
    md5: str


@dataclass(frozen=True)
class ArtifactAdded(Event):
    """A file that the run made; a later one of the same name replaces it.

    Attributes:
        name: its path in the run's folder.
        bytes: its size.
        metadata: the experiment's description of it.
        content_type: its MIME type; None if unknown.
    """

    KIND: ClassVar[str] = "artifact"

    name: str
    bytes: int
    metadata: Any
    content_type: str | None


@dataclass(frozen=True)
class SourcesAdded(Event):
    """Source files that the run came to depend on after its start, by late imports.

    Attributes:
        sources: name and path of the copy of each, as in the experiment of ``Started``.
        changed: names of files whose content changed during the run; their copies hold what they
            were at the start, or what a file imported late was at the end.
    """

    KIND: ClassVar[str] = "sources"

    sources: list[list[str]]
    changed: list[str]


@dataclass(frozen=True)
class Ended(Event):
    """The end of the run.

    Attributes:
        status: "COMPLETED", "FAILED", or why it was stopped.
        time: when it ended.
        result: its return value, which may be None. Only a completed run returns one; any other
            keeps the result of its last heartbeat.
        fail_trace: the lines of a traceback, or of another reason.
    """

    KIND: ClassVar[str] = "end"

    status: str
    time: str
    result: Any = None
    fail_trace: list[Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object, which omits the result and the trace if there are none."""
        data = super().as_json()
        if self.status != COMPLETED:
            del data["result"]
        if self.fail_trace is None:
            del data["fail_trace"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ended:
        """Make the event of a JSON object.

        Raises:
            KeyError: the status or the time is missing.
        """
        return cls(data["status"], data["time"], data.get("result"), data.get("fail_trace"))


@dataclass(frozen=True)
class Resumed(Event):
    """A further process goes on with a run that was stopped or killed.

    Attributes:
        time: when it started.
        host: the machine.
    """

    KIND: ClassVar[str] = "resume"

    time: str
    host: dict[str, Any]


@dataclass(frozen=True)
class Unknown(Event):
    """An event of a kind that this version does not know; only its time is used."""

    data: dict[str, Any]

    @property
    def time(self) -> str:
        """When it happened; "" if it doesn't say."""
        try:
            datetime.fromisoformat(self.data["time"])
            return str(self.data["time"])
        except (KeyError, TypeError, ValueError):
            return ""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that was read."""
        return self.data


_KINDS: dict[str, type[Event]] = {
    kind.KIND: kind
    for kind in (
        *(Started, Beat, Metrics, InfoChanged),
        *(ResourceAdded, ArtifactAdded, SourcesAdded, Ended, Resumed),
    )
}


_NONE = type(None)
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("uid", "status", "time", "name", "md5"), str),
    **dict.fromkeys(("experiment", "host", "config", "meta"), dict),
    **dict.fromkeys(("steps", "values", "times", "sources", "changed"), list),
    **dict.fromkeys(("bytes", "output_bytes"), int),
    **dict.fromkeys(("command", "content_type"), (str, _NONE)),
    "fail_trace": (list, _NONE),
}
# Microseconds since 1970 of the first and the last time that a datetime holds.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
_MD5 = re.compile(r"[0-9a-f]{32}")


def event_of(data: dict[str, Any]) -> Event:
    """Return the event that a line's JSON object holds.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has another type.
        ValueError: a field has an impossible value.
    """
    kind = _KINDS.get(data["e"])
    if kind is None:
        return Unknown(data)
    event = kind.from_json(data)
    for name, value in vars(event).items():
        if name in _TYPES and not isinstance(value, _TYPES[name]):
            raise TypeError(f"{name} is a {type(value).__name__}")
    if isinstance(event, Metrics):
        _check_points(event)
    elif isinstance(event, (Started, Beat, Ended, Resumed)):
        datetime.fromisoformat(event.time)
        if isinstance(event, Started):
            _check_sources(event.experiment.get("sources", []))
    elif isinstance(event, SourcesAdded):
        _check_sources(event.sources)
    elif isinstance(event, ResourceAdded) and not _MD5.fullmatch(event.md5):
        raise ValueError(f"md5 is {event.md5[:40]!r}")
    return event


def _check_sources(sources: list[Any]) -> None:
    for one in sources:
        if not isinstance(one, list) or len(one) < 2 or not all(isinstance(x, str) for x in one):
            raise TypeError("a source file is not a name and the path of a copy")


def _check_points(event: Metrics) -> None:
    if not len(event.steps) == len(event.values) == len(event.times) > 0:
        raise ValueError("the columns have different lengths")
    if set(map(type, event.times)) != {int}:
        raise TypeError("a time is not an integer")
    if min(event.times) < _FIRST or max(event.times) > _LAST:
        raise ValueError("a time is no time")
    for step in event.steps:
        if type(step) not in (int, float):
            raise TypeError("a step is not a number")
    for value in event.values:
        if value is not None and not isinstance(value, (int, float, str)):
            raise TypeError("a value is not a number")
