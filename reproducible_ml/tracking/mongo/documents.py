"""A run's events as the documents that Sacred's MongoObserver would have written.

Readers of that layout (Sacredboard, Omniboard, notebooks) find everything where they look. What is
added: ``delivery`` in each document of ``runs`` and ``metrics``, and, because a document holds
16 MB at most, a metric of more than ``POINTS_PER_PART`` points goes on in further documents, named
in ``info.metrics`` as ``loss (part 2)`` and so on; their ``metric`` and ``part`` say what they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
from bson import ObjectId

from reproducible_ml.tracking.folder import Event

FORMAT = "MongoObserver-0.7.0"
POINTS_PER_PART = 200_000
# A text value counts as more than one point, so that a part stays under 16 MB.
BYTES_PER_COUNT = 16
SHOWN_OUTPUT_BYTES = 2 << 20
LONGEST_TEXT = 4 << 20
LARGEST_DOCUMENT_BYTES = 14 << 20


def object_id(*words: str | int) -> ObjectId:
    """Return an id that is always the same for the same words: written again, nothing doubles."""
    text = "\0".join(map(str, words)).encode("utf-8", "backslashreplace")
    return ObjectId(hashlib.sha256(text).digest()[:12])


def mongo_value(value: Any, portable: bool = False) -> Any:
    """Return JSON types as MongoDB holds them.

    Keys are changed as Sacred changes them ("." to ",", a leading "$" to "@"), whole numbers of
    more than 64 bits become text.

    Args:
        value: what to store.
        portable: also avoid what servers that are not MongoDB itself may refuse: numbers that are
            not finite become None, lists in lists become text.
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
    """Return the fields of a run, the largest ones left out where 16 MB would not hold them all."""
    sizes = {name: len(bson.encode({name: value})) for name, value in fields.items()}
    fields = dict(fields)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if sum(sizes.values()) <= LARGEST_DOCUMENT_BYTES:
            break
        note = f"{sizes[name]} bytes are more than a document holds; they are in the run's folder"
        fields[name] = {"left_out": note}
        sizes[name] = 0
    return fields


def metric_number(value: Any) -> Any:
    """Return a metric's value or step as MongoDB holds it: huge whole numbers become floats."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 10**300 else math.copysign(math.inf, value)
    return mongo_value(value)


def part_name(metric: str, part: int) -> str:
    """Return the name under which readers list a part of a metric."""
    return metric if part == 1 else f"{metric} (part {part})"


def split_into_parts(values: Iterable[Any], counted: int) -> tuple[list[int], int]:
    """Assign each value to a part, from the order of logging alone.

    Args:
        values: the next values of one metric.
        counted: what the values before them count.

    Returns:
        The part of each value, from 1, and the new count.
    """
    parts = []
    for value in values:
        parts.append(1 + counted // POINTS_PER_PART)
        counted += 1 + (len(value.encode()) // BYTES_PER_COUNT if isinstance(value, str) else 0)
    return parts, counted


def shown_output(path: Path, length: int) -> str:
    """Return the captured output for the run's document: all of it, or its two ends."""
    with open(path, "rb") as file:
        if length <= SHOWN_OUTPUT_BYTES:
            return file.read(length).decode("utf-8", "replace")
        half = SHOWN_OUTPUT_BYTES // 2
        head = file.read(half).decode("utf-8", "replace")
        file.seek(length - half)
        tail = file.read(half).decode("utf-8", "replace")
    note = f"\n[... {length - 2 * half} bytes left out: the artifact cout.txt has them all ...]\n"
    return head + note + tail


class RunDocument:
    """The document in ``runs``, built up by applying the journal's events in order.

    Applying an event again changes nothing, so a batch can be tried again.

    Args:
        start: the first event of the journal.
    """

    def __init__(self, start: dict[str, Any]) -> None:
        self.uid: str = start["uid"]
        self.fields: dict[str, Any] = {
            "experiment": start["experiment"],
            "format": FORMAT,
            "command": start["command"],
            "host": start["host"],
            "start_time": datetime.fromisoformat(start["time"]),
            "config": start["config"],
            "meta": start["meta"],
            "status": start["status"],
            "captured_out": "",
            # Sacredboard cannot list a run without a heartbeat; Sacred itself starts with None.
            "heartbeat": datetime.fromisoformat(start["time"]),
            "result": None,
        }
        self.output_bytes = 0
        self.ended = start["status"] == "QUEUED"
        self.info: dict[str, Any] = {}
        self.metrics: dict[tuple[str, int], ObjectId] = {}
        self._resources: dict[int, list[str]] = {}
        self._artifacts: dict[int, dict[str, Any]] = {}

    def apply(self, event: Event) -> None:
        """Take in one event (of metrics only the parts matter here: see ``metrics``)."""
        data = event.data
        kind = data["e"]
        if kind == "info":
            self.info = data["info"]
        elif kind == "heartbeat":
            self.fields["heartbeat"] = datetime.fromisoformat(data["time"])
            self.fields["result"] = data["result"]
            self.output_bytes = data["output_bytes"]
        elif kind == "resource":
            self._resources[event.sequence] = [data["name"], data["md5"]]
        elif kind == "end":
            self.ended = True
            self.fields["status"] = data["status"]
            self.fields["stop_time"] = datetime.fromisoformat(data["time"])
            for key in ("result", "fail_trace"):
                if key in data:
                    self.fields[key] = data[key]

    def add_artifact(self, sequence: int, name: str, file_id: ObjectId) -> None:
        """List a file that GridFS holds."""
        self._artifacts[sequence] = {"name": name, "file_id": file_id}

    def set_sources(self, sources: list[list[Any]]) -> None:
        """List the source files that GridFS holds: [name, file id]."""
        self.fields["experiment"] = {**self.fields["experiment"], "sources": sources}

    def document(self, portable: bool = False) -> dict[str, Any]:
        """Return all fields but ``_id``, ``delivery`` and the output."""
        listed = [
            {"name": part_name(name, part), "id": str(identity)}
            for (name, part), identity in self.metrics.items()
        ]
        info = {**self.info, "metrics": listed} if listed else self.info
        resources = [self._resources[number] for number in sorted(self._resources)]
        fields = {**self.fields, "info": info, "resources": resources}
        result: dict[str, Any] = mongo_value(fields, portable)
        result["artifacts"] = [self._artifacts[number] for number in sorted(self._artifacts)]
        return result
