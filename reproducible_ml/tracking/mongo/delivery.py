"""Delivery of a run's journal into a database: every event in order and exactly once.

The database itself records how far it is. Each document of ``metrics`` and ``runs`` carries the
number of the last event in it (``delivery.sequence``), written by the same update as the event.
Updates are conditional on the previous number, so one whose confirmation was lost can't be applied
twice. After any error the numbers are read again, and events that have arrived are skipped. Ids of
metrics and files follow from the run's ``uid``. A batch is written in the order files, metrics,
run, so everything that the run's document lists exists.
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
    JOURNAL_NAME,
    ArtifactAdded,
    Deliveries,
    Entry,
    JournalReader,
    ResourceAdded,
    SourcesAdded,
    Started,
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

BATCH_BYTES = 4 << 20
# If a write breaks the connection this often while the server answers, the server refuses it.
BREAKS_THAT_REFUSE = 5
MOST_MISMATCHES = 20
# Error codes of a server that can't store this very document; any other error may be temporary.
REFUSAL_CODES = frozenset({2, 9, 14, 16, 17, 52, 55, 56, 57, 121, 10334, 17280, 17419})

logger = logging.getLogger(__name__)


class Delivery:
    """Delivers one run's journal into one database; call ``deliver`` until it returns False.

    Args:
        directory: the run's folder.
        target: the database's address, for ``delivery.json`` and messages.
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
        """Start over: the next batch begins with the first event."""
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
            Whether there was a batch.

        Raises:
            pymongo.errors.PyMongoError: the database did not accept it; call again later.
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
                    f"{self.target} keeps changing during the delivery of {self.directory}: does "
                    "another process deliver a copy of this run? End it, then run sync."
                ) from None
            return True
        except Exception:
            # Whether the failed write arrived is unknown until the numbers are read again.
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
            # An outage also breaks connections, but then the server doesn't answer at all.
            self.database.client.admin.command("ping")
        except PyMongoError:
            self._breaks = 0
            return
        self._breaks += 1
        if self._breaks == BREAKS_THAT_REFUSE and not self.place.portable:
            self._go_portable("the server closes the connection")

    def _go_portable(self, why: str) -> None:
        self.place.portable = True
        self._sent = {}
        logger.warning(
            "%s refuses values that MongoDB takes (%s); non-finite numbers are delivered as null "
            "and listed in 'not_finite', and nested lists are delivered as text.",
            self.target,
            why,
        )

    def _read_numbers(self) -> None:
        """Read how far the database is; start over if it lost what it had confirmed."""
        if self._document is None:
            self._document = RunDocument(self._start())
            self.place.uid = mongo_claims.claim_name(self.target, self._document.start.uid)
            make_indexes(self.database, self.target.collection)
        run_id = mongo_claims.find_claim(self.runs, self.place.uid)
        if run_id is None:
            if self.place.run_id is not None and self.parts.known:
                self.parts.known = {}
                raise Mismatch  # someone deleted the run, so it is delivered again from the start
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
                f"{Started.KIND!r}: it is not the journal of a run. Restore it from a backup."
            )
        return first

    def _claim(self, run: RunDocument) -> Any:
        # A half-deleted run may have left parts of metrics, which would be taken for delivered.
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
                document.add_sources(
                    self.files.send_sources(document.start, event.experiment.get("sources", ()))
                )
            elif isinstance(event, SourcesAdded):
                document.add_sources(self.files.send_sources(document.start, event.sources))
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
            if not document.state.ended:
                progress["delivery.complete"] = False  # it is resumed
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
        """Write; if the server refuses the values, write them in a form that any server takes."""
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
        """Compare all numbers once more, and mark the run complete if its end was delivered.

        Returns:
            Whether it is complete; False if it has not ended, or the database has other points.
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
        """Record the run's id and progress in ``delivery.json``."""
        note_target(self.directory, self.target, self.place.run_id, self.sequence, self.complete)


def note_target(
    directory: Path,
    target: MongoTarget,
    run_id: Any = None,
    sequence: int = 0,
    complete: bool = False,
) -> None:
    """Record in a run's ``delivery.json`` how much of it a database has."""
    found = Deliveries(directory)
    found.targets[target.shown] = {"run_id": run_id, "sequence": sequence, "complete": complete}
    found.write()
