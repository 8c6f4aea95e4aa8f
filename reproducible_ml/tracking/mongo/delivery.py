"""From one journal into one database, in order, everything once.

The database says itself how far it is: each document of ``metrics`` and ``runs`` carries the number
of the last event in it (``delivery.sequence``), written by the very update that brings the event.
An update is conditional on the number that was there before, so one whose confirmation was lost
cannot be applied a second time. After any error the numbers are read again, and what is already
there is left out. Ids of metrics and files follow from the run's ``uid``. A batch is written in the
order files, metrics, run: what the run's document lists exists.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bson import ObjectId
from bson.errors import InvalidDocument

from reproducible_ml.tracking.folder import (
    DELIVERY_NAME,
    JOURNAL_NAME,
    PENDING_NAME,
    Event,
    JournalReader,
    from_microseconds,
    now,
    read_json,
    resource_copy,
)
from reproducible_ml.tracking.mongo import claims as mongo_claims
from reproducible_ml.tracking.mongo.address import MongoTarget
from reproducible_ml.tracking.mongo.documents import (
    SHOWN_OUTPUT_BYTES,
    RunDocument,
    fit_document,
    metric_number,
    mongo_value,
    object_id,
    part_name,
    shown_output,
    split_into_parts,
)
from reproducible_ml.tracking.mongo.gridfs import CHUNK_BYTES, make_indexes, upload, upload_small
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import write_json

BATCH_BYTES = 4 << 20
# A write that ends the connection this often, while the server answers, is refused by it.
BREAKS_THAT_REFUSE = 5
MOST_MISMATCHES = 20
# Codes of a server that cannot hold this very document; any other error may pass by itself.
REFUSAL_CODES = frozenset({2, 9, 14, 16, 17, 52, 55, 56, 57, 121, 10334, 17280, 17419})

logger = logging.getLogger(__name__)

PartKey = tuple[str, int]


class Mismatch(Exception):
    """The database holds something else than it confirmed; its numbers must be read again."""


@dataclass
class _Piece:
    """New points of one part of a metric."""

    sequence: int = 0
    steps: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    timestamps: list[Any] = field(default_factory=list)


class Delivery:
    """Brings one run's journal into one database; call ``deliver`` until it returns False.

    Args:
        directory: the run's folder.
        target: where to; for the records.
        database: pymongo's database.
    """

    def __init__(self, directory: Path, target: MongoTarget, database: Any) -> None:
        self.directory = directory
        self.target = target
        self.database = database
        self.runs = database[target.collection]
        self.metrics = database["metrics"]
        self.run_id: Any = None
        self.confirmed_at = time.monotonic()
        self.sequence = 0
        self.complete = False
        self.portable = False
        self.uid = ""
        self._breaks = self._mismatches = 0
        self._known: dict[PartKey, int] = {}
        self._rewind()

    def _rewind(self) -> None:
        """Forget what was read; the next batch begins with the first event."""
        self._reader = JournalReader(self.directory / JOURNAL_NAME)
        self._document: RunDocument | None = None
        self._counted: dict[str, int] = {}
        self._points: dict[str, int] = {}
        self._batch: list[Event] = []
        self._sent: dict[str, Any] = {}
        self._reread = True

    def _confirm(self) -> None:
        self.confirmed_at = time.monotonic()

    def deliver(self) -> bool:
        """Deliver the next batch of events.

        Returns:
            Whether there was one.

        Raises:
            pymongo.errors.PyMongoError: the database did not take it; call again later.
            TrackingError: the journal is damaged.
        """
        if not self._batch:
            self._batch = self._reader.read(BATCH_BYTES)
            if not self._batch:
                return False
        try:
            if self._reread:
                self._read_numbers()
            self._send(self._batch)
        except Mismatch:
            self._rewind()
            self._mismatches += 1
            if self._mismatches > MOST_MISMATCHES:
                raise TrackingError(
                    f"{self.target} keeps changing under the delivery of {self.directory}: does "
                    "another process deliver a copy of this run? End it, then use sync."
                ) from None
            return True
        except Exception:
            self._reread = True
            self._count_break()
            raise
        self.sequence = self._batch[-1].sequence
        self._batch = []
        self._breaks = self._mismatches = 0
        return True

    def _count_break(self) -> None:
        from pymongo.errors import PyMongoError

        try:
            self.database.client.admin.command("ping")
        except PyMongoError:
            self._breaks = 0
            return
        self._breaks += 1
        if self._breaks == BREAKS_THAT_REFUSE and not self.portable:
            self._go_portable("the server hangs up on them")

    def _go_portable(self, why: str) -> None:
        self.portable = True
        self._sent = {}
        logger.warning(
            "%s refuses values that MongoDB takes (%s); numbers that are not finite are delivered "
            "as null, their kinds in 'not_finite', and lists in lists as text.",
            self.target,
            why,
        )

    def _read_numbers(self) -> None:
        """Read how far the database is; begin anew where it is behind what it confirmed."""
        if self._document is None:
            self._document = RunDocument(self._batch[0].data)
            self.uid = mongo_claims.claim_name(self.target, self._document.uid)
            make_indexes(self.database, self.target.collection)
        run_id = mongo_claims.find_claim(self.runs, self.uid)
        if run_id is None:
            if self.run_id is not None and self._known:
                self._known = {}
                raise Mismatch  # someone deleted the run: it is delivered again from the start
            run_id = self._claim(self._document)
        self.run_id = run_id
        self.note()
        found = {
            (part["metric"], part["part"]): part["delivery"]["sequence"]
            for part in self.metrics.find(
                {"run_id": run_id, "delivery.uid": self.uid},
                {"metric": 1, "part": 1, "delivery": 1},
            )
        }
        behind = any(found.get(key, 0) < sequence for key, sequence in self._known.items())
        self._known = found
        self._sent = {}
        if behind:
            raise Mismatch
        self._reread = False

    def _claim(self, run: RunDocument) -> Any:
        # Of a run that is not there nothing may be left: someone deleted it half.
        self.metrics.delete_many({"delivery.uid": self.uid})
        name = self.directory.name
        claimed = []

        def insert() -> None:
            document = {**run.document(self.portable), "captured_out": ""}
            delivery = mongo_claims.first_delivery(self.target, run.uid)
            document = {**fit_document(document), "delivery": delivery}
            first_choice = int(name) if name.isdigit() else name
            claimed.append(mongo_claims.claim(self.runs, document, first_choice))

        self._write(insert)
        return claimed[-1]

    def _send(self, batch: list[Event]) -> None:
        document = self._document
        assert document is not None
        pieces: dict[PartKey, _Piece] = {}
        counted, points = dict(self._counted), dict(self._points)
        for event in batch:
            kind = event.data["e"]
            if kind == "metrics":
                self._collect(event, pieces, counted, document)
                name = event.data["n"]
                points[name] = points.get(name, 0) + len(event.data["v"])
            elif kind == "start":
                self._send_sources(event.data, document)
            elif kind == "artifact":
                self._send_artifact(event, document)
            else:
                if kind == "resource":
                    self._send_resource(event.data)
                document.apply(event)
        for key, piece in pieces.items():
            self._send_piece(key, piece)
        if document.ended and document.output_bytes > SHOWN_OUTPUT_BYTES:
            self._send_whole_output(batch[-1].sequence, document)
        self._send_document(batch[-1].sequence, document)
        self._counted, self._points = counted, points

    def _id_of(self, *words: str | int) -> ObjectId:
        return object_id(self.uid, *words)

    def _collect(
        self,
        event: Event,
        pieces: dict[PartKey, _Piece],
        counted: dict[str, int],
        document: RunDocument,
    ) -> None:
        data = event.data
        name = data["n"]
        parts, counted[name] = split_into_parts(data["v"], counted.get(name, 0))
        for part, step, value, count in zip(parts, data["s"], data["v"], data["t"]):
            key = (name, part)
            if key not in document.metrics:
                document.metrics[key] = self._id_of("metric", name, part)
            if event.sequence <= self._known.get(key, 0):
                continue
            piece = pieces.setdefault(key, _Piece())
            piece.sequence = event.sequence
            piece.steps.append(metric_number(step))
            piece.values.append(metric_number(value))
            piece.timestamps.append(from_microseconds(count))

    def _send_piece(self, key: PartKey, piece: _Piece) -> None:
        assert self._document is not None
        identity = self._document.metrics[key]
        before = self._known.get(key, 0)
        if before == 0:
            self._write(lambda: self._insert_part(key, identity, piece))
        else:
            self._write(lambda: self._extend_part(identity, before, piece))
        self._known[key] = piece.sequence
        self._confirm()

    def _columns(self, piece: _Piece, first: int) -> dict[str, list[Any]]:
        columns = {"steps": piece.steps, "values": piece.values, "timestamps": piece.timestamps}
        if self.portable:
            plain = [mongo_value(value, portable=True) for value in piece.values]
            columns["not_finite"] = [
                {"index": first + index, "value": str(value)}
                for index, (value, kept) in enumerate(zip(piece.values, plain))
                if kept is None and value is not None
            ]
            columns["values"] = plain
        return columns

    def _insert_part(self, key: PartKey, identity: ObjectId, piece: _Piece) -> None:
        from pymongo.errors import DuplicateKeyError

        name, part = key
        numbers = {"sequence": piece.sequence, "points": len(piece.steps)}
        facts = {"run_id": self.run_id, "name": part_name(name, part), "metric": name, "part": part}
        delivery = {"uid": self.uid, **numbers}
        columns = self._columns(piece, 0)
        try:
            self.metrics.insert_one({"_id": identity, **facts, **columns, "delivery": delivery})
        except DuplicateKeyError:
            raise Mismatch from None

    def _extend_part(self, identity: ObjectId, before: int, piece: _Piece) -> None:
        condition = {"_id": identity, "run_id": self.run_id, "delivery.sequence": before}
        first = 0
        if self.portable:
            found = self.metrics.find_one({"_id": identity}, {"delivery": 1})
            first = found["delivery"]["points"] if found else 0
        columns = self._columns(piece, first)
        done = self.metrics.update_one(
            condition,
            {
                "$push": {name: {"$each": items} for name, items in columns.items() if items},
                "$set": {"delivery.sequence": piece.sequence},
                "$inc": {"delivery.points": len(piece.steps)},
            },
        )
        if not done.matched_count:
            raise Mismatch

    def _send_document(self, sequence: int, document: RunDocument) -> None:
        def update() -> None:
            fields = document.document(self.portable)
            fields["captured_out"] = mongo_value(
                shown_output(self.directory / "cout.txt", document.output_bytes)
            )
            new = {k: v for k, v in fields.items() if k not in self._sent or self._sent[k] != v}
            progress = {"delivery.sequence": sequence, "delivery.local_id": self.directory.name}
            done = self.runs.update_one(
                {"_id": self.run_id, "delivery.uid": self.uid},
                {"$set": {**fit_document(new), **progress}},
            )
            if not done.matched_count:
                raise Mismatch
            self._sent.update(new)

        self._write(update)
        self._confirm()

    def _write(self, write: Callable[[], None]) -> None:
        """Write; where the server refuses the values, write them in a form any server takes."""
        from pymongo.errors import DuplicateKeyError, OperationFailure

        try:
            write()
        except (InvalidDocument, OverflowError) as error:
            self._go_portable(mongo_claims.reason(error))
            write()
        except DuplicateKeyError:
            raise
        except OperationFailure as error:
            if self.portable or error.code not in REFUSAL_CODES:
                raise
            self._go_portable(mongo_claims.reason(error))
            write()

    def _send_sources(self, start: dict[str, Any], document: RunDocument) -> None:
        sources = []
        small = []
        for name, stored in start["experiment"].get("sources", ()):
            file_id = self._id_of("source", name)
            path = self.directory.parent / stored
            filename = os.path.join(start["experiment"].get("base_dir") or "", name)
            sources.append([name, file_id])
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size <= CHUNK_BYTES:
                    small.append((file_id, filename, file.read()))
                else:
                    self._upload(file, file_id, {"filename": filename})
        upload_small(self.database, small, now(), self._confirm)
        document.set_sources(sources)

    def _send_resource(self, data: dict[str, Any]) -> None:
        path = resource_copy(self.directory.parent, data["name"], data["md5"])
        try:
            with open(path, "rb") as file:
                # Once for all runs, as in the folder and as Sacred's own observer has it.
                file_id = object_id("resource", data["name"], data["md5"])
                self._upload(file, file_id, {"filename": data["name"]})
        except FileNotFoundError:
            logger.warning("%s is gone; the database gets its name and digest only.", path)

    def _send_artifact(self, event: Event, document: RunDocument) -> None:
        data = event.data
        file_id = self._id_of("artifact", event.sequence)
        entry = {
            "filename": f"artifact://{self.target.collection}/{self.run_id}/{data['name']}",
            "contentType": data["content_type"],
            "metadata": mongo_value(data["metadata"], self.portable),
        }
        try:
            with self._open_artifact(event) as file:
                size = os.fstat(file.fileno()).st_size
                if size != data["bytes"]:
                    logger.warning(
                        "The artifact %s of run %s had %d bytes when it was logged and has %d now; "
                        "it is delivered as it is.",
                        *(data["name"], self.directory, data["bytes"], size),
                    )
                self._upload(file, file_id, entry)
        except FileNotFoundError:
            logger.warning(
                "The artifact %s is gone from %s and cannot be delivered.",
                *(data["name"], self.directory),
            )
            return
        document.add_artifact(event.sequence, data["name"], file_id)

    def _open_artifact(self, event: Event) -> BinaryIO:
        """Open the artifact as it was logged, also where one of the same name replaced it."""
        name = event.data["name"]
        kept = self.directory / PENDING_NAME / f"{event.sequence}_{Path(name).name}"
        # In this order: a replacement in between has put the old file into its other place.
        try:
            file = open(self.directory / name, "rb")  # noqa: SIM115 -- the caller closes it
        except FileNotFoundError:
            return open(kept, "rb")
        if kept.exists():
            file.close()
            return open(kept, "rb")
        return file

    def _send_whole_output(self, sequence: int, document: RunDocument) -> None:
        file_id = self._id_of("output")
        filename = f"artifact://{self.target.collection}/{self.run_id}/cout.txt"
        with open(self.directory / "cout.txt", "rb") as file:
            self._upload(file, file_id, {"filename": filename, "contentType": "text/plain"})
        document.add_artifact(0, "cout.txt", file_id)

    def _upload(self, file: BinaryIO, file_id: ObjectId, entry: dict[str, Any]) -> None:
        upload(self.database, file, file_id, entry, now(), self._confirm)

    def finish(self) -> bool:
        """Mark a run complete whose end is delivered, after comparing all numbers once more.

        Returns:
            Whether it is complete: False where events came after the last batch or are amiss.
        """
        document = self._document
        if document is None or not document.ended:
            return False
        found = self.metrics.find({"delivery.uid": self.uid}, {"delivery": 1, "metric": 1})
        points: dict[str, int] = {}
        for part in found:
            points[part["metric"]] = points.get(part["metric"], 0) + part["delivery"]["points"]
        if points != self._points:
            self._known = {}
            self._rewind()
            return False
        condition = {"_id": self.run_id, "delivery.uid": self.uid}
        done = self.runs.update_one(condition, {"$set": {"delivery.complete": True}})
        if not done.matched_count:
            self._rewind()
            return False
        self.complete = True
        self.note()
        return True

    def note(self) -> None:
        """Write into ``delivery.json`` which id the run has there and how far it is."""
        note_target(self.directory, self.target, self.run_id, self.sequence, self.complete)


def note_target(
    directory: Path,
    target: MongoTarget,
    run_id: Any = None,
    sequence: int = 0,
    complete: bool = False,
) -> None:
    """Write into a run's ``delivery.json`` what a database has of it, None and 0 for nothing."""
    path = directory / DELIVERY_NAME
    record = read_json(path, {"targets": {}})
    facts = {"run_id": run_id, "sequence": sequence, "complete": complete}
    record["targets"][target.shown] = facts
    write_json(path, record)
