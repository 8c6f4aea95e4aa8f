"""The events of a run: one class a kind, and their JSON objects in the journal.

``"e"`` is the kind. All values are JSON types; times are ISO texts in UTC, those of metrics
microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

COMPLETED = "COMPLETED"


@dataclass(frozen=True)
class Event:
    """Anything that happens to a run; in the journal ``KIND`` says what."""

    KIND: ClassVar[str]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of the event's line in a journal, its keys in the order there."""
        return {"e": self.KIND, **vars(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """Make the event of a JSON object; keys that no field has are left out.

        Raises:
            KeyError: a field is missing.
        """
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Started(Event):
    """The first event of every run.

    Attributes:
        uid: names the run in every database, whatever its id there.
        status: "RUNNING", or "QUEUED" for a run that another process is to execute.
        command: the command of the experiment.
        time: when.
        experiment: its name, sources and dependencies.
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
    """A sign of life.

    Attributes:
        time: when.
        output_bytes: length of ``cout.txt`` by then.
        result: the result so far.
    """

    KIND: ClassVar[str] = "heartbeat"

    time: str
    output_bytes: int
    result: Any


@dataclass(frozen=True)
class Metrics(Event):
    """Points of one metric, in the order of logging; the lists have one length.

    Attributes:
        name: the metric.
        steps: a number each.
        values: a number, truth value, short text or None each.
        times: microseconds since 1970, UTC.
    """

    KIND: ClassVar[str] = "metrics"

    name: str
    steps: list[Any]
    values: list[Any]
    times: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object, one letter a key: a journal may hold a million of them."""
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
    """The experiment's ``info``, whole, each time that it differs."""

    KIND: ClassVar[str] = "info"

    info: Any


@dataclass(frozen=True)
class ResourceAdded(Event):
    """A file that the run reads; the copy is named by both (see ``layout.resource_copy``)."""

    KIND: ClassVar[str] = "resource"

    name: str
    md5: str


@dataclass(frozen=True)
class ArtifactAdded(Event):
    """A file that the run made; a later one of the same name replaces it.

    Attributes:
        name: where it lies in the run's folder.
        bytes: its size.
        metadata: what the experiment says of it.
        content_type: its MIME type, None where that is unknown.
    """

    KIND: ClassVar[str] = "artifact"

    name: str
    bytes: int
    metadata: Any
    content_type: str | None


@dataclass(frozen=True)
class Ended(Event):
    """How the run ended.

    Attributes:
        status: "COMPLETED", "FAILED", or why it was stopped.
        time: when.
        result: what it returned. Only a completed run has one, None included; any other keeps that
            of its last beat.
        fail_trace: lines that say what went wrong.
    """

    KIND: ClassVar[str] = "end"

    status: str
    time: str
    result: Any = None
    fail_trace: list[Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object; a result and a trace are in it only where there are such."""
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
class Unknown(Event):
    """An event of a kind that this version does not know; only its time counts."""

    data: dict[str, Any]

    @property
    def time(self) -> str:
        """When it happened; "" where it does not say."""
        return str(self.data.get("time", ""))

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that was read."""
        return self.data


_KINDS: dict[str, type[Event]] = {
    kind.KIND: kind
    for kind in (Started, Beat, Metrics, InfoChanged, ResourceAdded, ArtifactAdded, Ended)
}


def event_of(data: dict[str, Any]) -> Event:
    """Return the event of a line's JSON object.

    Raises:
        KeyError: a field is missing.
    """
    kind = _KINDS.get(data["e"])
    return Unknown(data) if kind is None else kind.from_json(data)
