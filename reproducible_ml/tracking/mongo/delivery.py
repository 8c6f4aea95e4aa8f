"""From one journal into one database, in order, everything once.

The database says itself how far it is: each document of ``metrics`` and ``runs`` carries the number
of the last event in it (``delivery.sequence``), written by the very update that brings the event.
An update is conditional on the number that was there before, so one whose confirmation was lost
cannot be applied a second time. After any error the numbers are read again, and what is already
there is left out. Ids of metrics and files follow from the run's ``uid``. A batch is written in the
order files, metrics, run: what the run's document lists exists.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bson.errors import InvalidDocument

from reproducible_ml.tracking.folder import (
    DELIVERY_NAME,
    JOURNAL_NAME,
    ArtifactAdded,
    Entry,
    JournalReader,
    ResourceAdded,
    Started,
    read_json,
)
from reproducible_ml.tracking.mongo import claims as mongo_claims
from reproducible_ml.tracking.mongo.address import MongoTarget
from reproducible_ml.tracking.mongo.documents import (
    SHOWN_OUTPUT_BYTES,
    Place,
    RunDocument,
    fit_document,
    mongo_value,
    shown_output,
)
from reproducible_ml.tracking.mongo.gridfs import make_indexes
from reproducible_ml.tracking.mongo.metric_parts import MetricParts, Mismatch
from reproducible_ml.tracking.mongo.run_files import RunFiles
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import write_json

BATCH_BYTES = 4 << 20
# A write that ends the connection this often, while the server answers, is refused by it.
BREAKS_THAT_REFUSE = 5
MOST_MISMATCHES = 20
# Codes of a server that cannot hold this very document; any other error may pass by itself.
REFUSAL_CODES = frozenset({2, 9, 14, 16, 17, 52, 55, 56, 57, 121, 10334, 17280, 17419})

logger = logging.getLogger(__name__)


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
        self.place = Place()
        self.parts = MetricParts(database["metrics"], self.place)
        self.files = RunFiles(directory, database, target.collection, self.place, self._confirm)
        self.confirmed_at = time.monotonic()
        self.sequence = 0
        self.complete = False
        self._breaks = self._mismatches = 0
        self._rewind()

    def _rewind(self) -> None:
        """Forget what was read; the next batch begins with the first event."""
        self._reader = JournalReader(self.directory / JOURNAL_NAME)
        self._document: RunDocument | None = None
        self._batch: list[Entry] = []
        self._sent: dict[str, Any] = {}
        self._reread = True
        self.parts.rewind()

    @property
    def run_id(self) -> Any:
        """The run's ``_id`` in the database; None until it is known."""
        return self.place.run_id

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
        if self._breaks == BREAKS_THAT_REFUSE and not self.place.portable:
            self._go_portable("the server hangs up on them")

    def _go_portable(self, why: str) -> None:
        self.place.portable = True
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
            self._document = RunDocument(self._start())
            self.place.uid = mongo_claims.claim_name(self.target, self._document.start.uid)
            make_indexes(self.database, self.target.collection)
        run_id = mongo_claims.find_claim(self.runs, self.place.uid)
        if run_id is None:
            if self.place.run_id is not None and self.parts.known:
                self.parts.known = {}
                raise Mismatch  # someone deleted the run: it is delivered again from the start
            run_id = self._claim(self._document)
        self.place.run_id = run_id
        self.note()
        self._sent = {}
        self.parts.read_numbers()
        self._reread = False

    def _start(self) -> Started:
        first = self._batch[0].event
        if not isinstance(first, Started):
            raise TrackingError(
                f"{self.directory / JOURNAL_NAME} begins with {first.as_json()['e']!r} instead of "
                f"{Started.KIND!r}: it is not the journal of a run. Remove {self.directory}."
            )
        return first

    def _claim(self, run: RunDocument) -> Any:
        # Of a run that is not there nothing may be left: someone deleted it half.
        self.parts.delete()
        name = self.directory.name
        claimed = []

        def insert() -> None:
            document = {**run.document(self.place.portable), "captured_out": ""}
            delivery = mongo_claims.first_delivery(self.target, run.start.uid)
            document = {**fit_document(document), "delivery": delivery}
            first_choice = int(name) if name.isdigit() else name
            claimed.append(mongo_claims.claim(self.runs, document, first_choice))

        self._write(insert)
        return claimed[-1]

    def _send(self, batch: list[Entry]) -> None:
        document = self._document
        assert document is not None
        for sequence, event in batch:
            if isinstance(event, Started):
                document.set_sources(self.files.send_sources(event))
            elif isinstance(event, ResourceAdded):
                self.files.send_resource(event)
            elif isinstance(event, ArtifactAdded):
                file_id = self.files.send_artifact(sequence, event)
                if file_id is not None:
                    document.add_artifact(sequence, event.name, file_id)
            document.state.apply(sequence, event)
        for key, piece in self.parts.collect(batch).items():
            if piece.steps:
                self._write(functools.partial(self.parts.send, key, piece))
                self._confirm()
            document.metrics[key] = self.parts.identity(key)
        state = document.state
        if state.ended and state.output_bytes > SHOWN_OUTPUT_BYTES:
            document.add_artifact(0, "cout.txt", self.files.send_output())
        self._send_document(batch[-1].sequence, document)
        self.parts.advance()

    def _send_document(self, sequence: int, document: RunDocument) -> None:
        def update() -> None:
            fields = document.document(self.place.portable)
            fields["captured_out"] = mongo_value(
                shown_output(self.directory / "cout.txt", document.state.output_bytes)
            )
            new = {k: v for k, v in fields.items() if k not in self._sent or self._sent[k] != v}
            progress = {"delivery.sequence": sequence, "delivery.local_id": self.directory.name}
            done = self.runs.update_one(
                {"_id": self.place.run_id, "delivery.uid": self.place.uid},
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
            if self.place.portable or error.code not in REFUSAL_CODES:
                raise
            self._go_portable(mongo_claims.reason(error))
            write()

    def finish(self) -> bool:
        """Mark a run complete whose end is delivered, after comparing all numbers once more.

        Returns:
            Whether it is complete: False where events came after the last batch or are amiss.
        """
        document = self._document
        if document is None or not document.state.ended:
            return False
        if self.parts.points() != document.state.points:
            self.parts.known = {}
            self._rewind()
            return False
        condition = {"_id": self.place.run_id, "delivery.uid": self.place.uid}
        done = self.runs.update_one(condition, {"$set": {"delivery.complete": True}})
        if not done.matched_count:
            self._rewind()
            return False
        self.complete = True
        self.note()
        return True

    def note(self) -> None:
        """Write into ``delivery.json`` which id the run has there and how far it is."""
        note_target(self.directory, self.target, self.place.run_id, self.sequence, self.complete)


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
