"""Documents of a run in the layout of Sacred's MongoObserver.

Readers of that layout (Sacredboard, Omniboard, notebooks) find everything where they expect it. Two
things are added: ``delivery`` in each document of ``runs`` and ``metrics``, and the parts of long
metrics (see ``metric_parts.py``).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
from bson import ObjectId

from reproducible_ml.tracking.folder import RunState, Started
from reproducible_ml.utils.files import open_file

FORMAT = "MongoObserver-0.7.0"
SHOWN_OUTPUT_BYTES = 2 << 20
LONGEST_TEXT = 4 << 20
LARGEST_DOCUMENT_BYTES = 14 << 20


@dataclass
class Place:
    """The place of a run in a database.

    Attributes:
        uid: the run's ``uid`` there; "" until the journal has been opened.
        run_id: its ``_id``; None until it is known.
        portable: whether the server refuses values that MongoDB takes (see ``mongo_value``).
    """

    uid: str = ""
    run_id: Any = None
    portable: bool = False


def object_id(*words: str | int) -> ObjectId:
    """Return an id that depends only on the words, so that repeated writes create no duplicates."""
    text = "\0".join(map(str, words)).encode("utf-8", "backslashreplace")
    return ObjectId(hashlib.sha256(text).digest()[:12])


def mongo_value(value: Any, portable: bool = False) -> Any:
    """Convert JSON types to those that MongoDB stores.

    Keys are changed as Sacred does ("." to ",", a leading "$" to "@"), and integers of more than 64
    bits become strings.

    Args:
        value: the value to store.
        portable: also avoid values that other servers than MongoDB itself may refuse: non-finite
            numbers become None, and nested lists become strings.
    """
    if isinstance(value, dict):
        return _mongo_dict(value, portable)
    if isinstance(value, list):
        items = [mongo_value(item, portable) for item in value]
        return [str(i) if portable and isinstance(i, list) else i for i in items]
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode("utf-8")
        if len(text) > LONGEST_TEXT:
            text = text[:LONGEST_TEXT] + f" [... {len(text) - LONGEST_TEXT} characters left out]"
        return text
    if isinstance(value, float) and portable and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _mongo_dict(value: dict[str, Any], portable: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        safe = mongo_value(key).replace(".", ",").replace("\0", "")
        if safe.startswith("$"):
            safe = "@" + safe[1:]
        while safe in result:  # "a.b" beside "a,b"
            safe += "_"
        result[safe] = mongo_value(item, portable)
    return result


def fit_document(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a run, without the largest ones if they exceed a document's 16 MB."""
    sizes = {name: len(bson.encode({name: value})) for name, value in fields.items()}
    fields = dict(fields)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if sum(sizes.values()) <= LARGEST_DOCUMENT_BYTES:
            break
        note = f"{sizes[name]} bytes are more than a document holds; they are in the run's folder"
        fields[name] = {"left_out": note}
        sizes[name] = 0
    return fields


def part_name(metric: str, part: int) -> str:
    """Return the name under which readers list a part of a metric."""
    return metric if part == 1 else f"{metric} (part {part})"


def shown_output(path: Path, length: int) -> str:
    """Return the captured output for the run's document: all of it, or its beginning and end."""
    with open_file(path, path.parent) as file:
        if length <= SHOWN_OUTPUT_BYTES:
            return file.read(length).decode("utf-8", "replace")
        half = SHOWN_OUTPUT_BYTES // 2
        head = file.read(half).decode("utf-8", "replace")
        file.seek(length - half)
        tail = file.read(half).decode("utf-8", "replace")
    note = f"\n[... {length - 2 * half} bytes left out: the artifact cout.txt has them all ...]\n"
    return head + note + tail


class RunDocument:
    """The document in ``runs``: the state of the run, and ids of its delivered files and metrics.

    Args:
        start: the first event of the journal.

    Attributes:
        state: the state after the events that the document includes.
        metrics: name and part -> id of the metric documents to list.
    """

    def __init__(self, start: Started) -> None:
        self.start = start
        self.state = RunState()
        self.state.apply(1, start)
        self.metrics: dict[tuple[str, int], ObjectId] = {}
        self._sources: dict[str, Any] = {}
        self._artifacts: dict[int, dict[str, Any]] = {}

    def add_artifact(self, sequence: int, name: str, file_id: ObjectId) -> None:
        """List a file that GridFS holds."""
        self._artifacts[sequence] = {"name": name, "file_id": file_id}

    def add_sources(self, sources: list[list[Any]]) -> None:
        """List source files that GridFS holds: [name, file id]."""
        # By name, since a batch is sent again after an outage.
        self._sources.update((name, file_id) for name, file_id in sources)

    def _experiment(self) -> dict[str, Any]:
        experiment = self.state.experiment()
        # Before their delivery: the names and paths of the start, which hold no file ids.
        listed = [[name, file_id] for name, file_id in self._sources.items()]
        return {**experiment, "sources": listed} if listed else experiment

    def document(self, portable: bool = False) -> dict[str, Any]:
        """Return all fields except ``_id``, ``delivery`` and the output."""
        start, state = self.start, self.state
        fields: dict[str, Any] = {
            "experiment": self._experiment(),
            "format": FORMAT,
            "command": start.command,
            "host": start.host,
            "start_time": datetime.fromisoformat(start.time),
            "config": start.config,
            "meta": start.meta,
            "status": state.status,
            "captured_out": "",
            "heartbeat": datetime.fromisoformat(state.heartbeat),
            "result": state.result,
        }
        if state.resumed:
            # Explicitly, since the document may hold those of an earlier process.
            fields.update(resumed=state.resumed, stop_time=None, fail_trace=None)
        if state.end:
            fields["stop_time"] = datetime.fromisoformat(state.end.time)
            if state.end.fail_trace is not None:
                fields["fail_trace"] = state.end.fail_trace
        listed = [
            {"name": part_name(name, part), "id": str(identity)}
            for (name, part), identity in self.metrics.items()
        ]
        fields["info"] = {**state.info, "metrics": listed} if listed else state.info
        fields["resources"] = [[one.name, one.md5] for one in state.resources]
        result: dict[str, Any] = mongo_value(fields, portable)
        result["artifacts"] = [self._artifacts[number] for number in sorted(self._artifacts)]
        return result
