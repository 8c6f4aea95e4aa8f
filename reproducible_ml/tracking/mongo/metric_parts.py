"""Documents in ``metrics``, which hold each point of a run exactly once.

A document holds at most 16 MB, so a metric of more than ``POINTS_PER_PART`` points is split into
several documents, listed in ``info.metrics`` as ``loss (part 2)`` and so on, with the fields
``metric`` and ``part``. The part of a point follows from the order of logging alone. Each document
carries the number of the last event in it (``delivery.sequence``), and updates are conditional on
the previous number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from reproducible_ml.tracking.folder import Entry, Metrics, from_microseconds
from reproducible_ml.tracking.mongo.documents import Place, mongo_value, object_id, part_name

POINTS_PER_PART = 200_000
# A string value counts as more than one point, so that a part stays below 16 MB.
BYTES_PER_COUNT = 16

PartKey = tuple[str, int]


class Mismatch(Exception):
    """A database that doesn't hold what it confirmed, so that its numbers must be read again."""


@dataclass
class Piece:
    """New points of one part of a metric; empty if the database has them all."""

    sequence: int = 0
    steps: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    timestamps: list[Any] = field(default_factory=list)


class MetricParts:
    """Delivers the points of one run into its documents in ``metrics``.

    Args:
        collection: pymongo's collection.
        place: the run's place in the database.

    Attributes:
        known: part -> number of the last event in it that the database confirmed.
    """

    def __init__(self, collection: Any, place: Place) -> None:
        self.collection = collection
        self.place = place
        self.known: dict[PartKey, int] = {}
        self.rewind()

    def rewind(self) -> None:
        """Start over: the next batch is the first one."""
        self._counted: dict[str, int] = {}
        self._counted_after: dict[str, int] = {}

    def identity(self, key: PartKey) -> ObjectId:
        """Return the id of a part's document."""
        return object_id(self.place.uid, "metric", *key)

    def read_numbers(self) -> None:
        """Read how far the database is.

        Raises:
            Mismatch: it lost what it had confirmed.
        """
        found = {
            (part["metric"], part["part"]): part["delivery"]["sequence"]
            for part in self.collection.find(
                {"run_id": self.place.run_id, "delivery.uid": self.place.uid},
                {"metric": 1, "part": 1, "delivery": 1},
            )
        }
        behind = any(found.get(key, 0) < sequence for key, sequence in self.known.items())
        self.known = found
        if behind:
            raise Mismatch

    def collect(self, batch: list[Entry]) -> dict[PartKey, Piece]:
        """Return the parts that a batch contributes to, with the points that the database lacks.

        Call ``advance`` after delivering the batch; until then it can be collected again.
        """
        pieces: dict[PartKey, Piece] = {}
        counted = self._counted_after = dict(self._counted)
        for sequence, event in batch:
            if not isinstance(event, Metrics):
                continue
            parts, counted[event.name] = split_into_parts(event.values, counted.get(event.name, 0))
            for part, step, value, count in zip(parts, event.steps, event.values, event.times):
                key = (event.name, part)
                piece = pieces.setdefault(key, Piece())
                # Points of one event can be in two parts, so each part has a number of its own.
                if sequence <= self.known.get(key, 0):
                    continue
                piece.sequence = sequence
                piece.steps.append(metric_number(step))
                piece.values.append(metric_number(value))
                piece.timestamps.append(from_microseconds(count))
        return pieces

    def advance(self) -> None:
        """Move on to the batch after the one collected last."""
        self._counted = self._counted_after

    def send(self, key: PartKey, piece: Piece) -> None:
        """Write the new points of a part.

        Raises:
            Mismatch: the document is not the one that the database confirmed.
        """
        if self.known.get(key, 0) == 0:
            self._insert(key, piece)
        else:
            self._extend(key, piece)
        self.known[key] = piece.sequence

    def _insert(self, key: PartKey, piece: Piece) -> None:
        from pymongo.errors import DuplicateKeyError

        name, part = key
        document = {
            "_id": self.identity(key),
            "run_id": self.place.run_id,
            "name": part_name(name, part),
            "metric": name,
            "part": part,
            **self._columns(piece, 0),
            "delivery": {
                "uid": self.place.uid,
                "sequence": piece.sequence,
                "points": len(piece.steps),
            },
        }
        try:
            self.collection.insert_one(document)
        except DuplicateKeyError:
            raise Mismatch from None

    def _extend(self, key: PartKey, piece: Piece) -> None:
        identity = self.identity(key)
        before = {"delivery.sequence": self.known[key]}
        first = 0
        if self.place.portable:
            # ``not_finite`` holds positions in the whole part, not in this piece.
            found = self.collection.find_one({"_id": identity}, {"delivery": 1})
            first = found["delivery"]["points"] if found else 0
        columns = self._columns(piece, first)
        done = self.collection.update_one(
            {"_id": identity, "run_id": self.place.run_id, **before},
            {
                "$push": {name: {"$each": items} for name, items in columns.items() if items},
                "$set": {"delivery.sequence": piece.sequence},
                "$inc": {"delivery.points": len(piece.steps)},
            },
        )
        if not done.matched_count:
            raise Mismatch

    def _columns(self, piece: Piece, first: int) -> dict[str, list[Any]]:
        columns = {"steps": piece.steps, "values": piece.values, "timestamps": piece.timestamps}
        if self.place.portable:
            plain = [mongo_value(value, portable=True) for value in piece.values]
            columns["not_finite"] = [
                {"index": first + index, "value": str(value)}
                for index, (value, kept) in enumerate(zip(piece.values, plain))
                if kept is None and value is not None
            ]
            columns["values"] = plain
        return columns

    def points(self) -> dict[str, int]:
        """Return the number of points of each metric in the database."""
        found = self.collection.find({"delivery.uid": self.place.uid}, {"delivery": 1, "metric": 1})
        points: dict[str, int] = {}
        for part in found:
            points[part["metric"]] = points.get(part["metric"], 0) + part["delivery"]["points"]
        return points

    def delete(self) -> None:
        """Delete every part."""
        self.collection.delete_many({"delivery.uid": self.place.uid})


def metric_number(value: Any) -> Any:
    """Convert a metric's value or step to one that MongoDB stores; huge integers become floats."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 10**300 else math.copysign(math.inf, value)
    return mongo_value(value)


def split_into_parts(values: Iterable[Any], counted: int) -> tuple[list[int], int]:
    """Assign each value to a part, from the order of logging alone.

    Args:
        values: the next values of one metric.
        counted: count of the values before them, in which long strings count more than once.

    Returns:
        The part of each value, from 1, and the new count.
    """
    parts = []
    for value in values:
        parts.append(1 + counted // POINTS_PER_PART)
        counted += 1 + (len(value.encode()) // BYTES_PER_COUNT if isinstance(value, str) else 0)
    return parts, counted
