"""The background thread that feeds a living run's journal into a database.

The run waits for it only twice, and each time with a limit: at the start for an id
(``START_SECONDS``), and at the end as long as the database keeps confirming writes (until
``SILENT_SECONDS`` after the last one).
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import JOURNAL_NAME, Started, highest_id
from reproducible_ml.tracking.mongo import claims as mongo_claims
from reproducible_ml.tracking.mongo.address import START_SECONDS, MongoTarget
from reproducible_ml.tracking.mongo.delivery import Delivery, note_target
from reproducible_ml.tracking.mongo.documents import RunDocument, fit_document
from reproducible_ml.utils.errors import TrackingError

SILENT_SECONDS = 6.0
# A database that was gone before the end gets only one more attempt.
GONE_SECONDS = 3.0
BEAT_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Mirror:
    """Feeds one run into one database.

    Args:
        target: the database.
        runs_dir: directory of all runs, in which the id must be free too.
        start: the first event of the journal.
    """

    def __init__(self, target: MongoTarget, runs_dir: Path, start: Started) -> None:
        self.target = target
        self.runs_dir = runs_dir
        self.run_id: Any = None
        mongo_claims.check_address(target)
        self._connecting = threading.Lock()
        self._client: Any = None
        self._start = start
        self._directory: Path | None = None
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._abandoned = False
        self._refusal: TrackingError | None = None
        self._reason = "no answer"
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._down = False
        self._delivery: Delivery | None = None
        self._thread = threading.Thread(target=self._feed, name="mongo-mirror", daemon=True)

    def reserve(self, wanted_id: Any) -> Any:
        """Claim an id in the database and make the run's folder under the same name.

        Args:
            wanted_id: the id that the user chose; None for the next one.

        Returns:
            The id; None, without a folder, if the database does not answer in time.

        Raises:
            TrackingError: the id that the user chose is taken.
        """
        claiming = threading.Thread(
            target=self._claim, args=(wanted_id,), name="mongo-claim", daemon=True
        )
        claiming.start()
        self._answered.wait(START_SECONDS)
        with self._lock:
            if self._refusal:
                self._close()
                raise self._refusal
            # From now on the claiming thread must not make a folder: the run starts without it.
            self._abandoned = self.run_id is None
            return self.run_id

    def _claim(self, wanted_id: Any) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._abandoned:
            try:
                self._claim_once(wanted_id)
                return
            except _Taken as error:
                self._refusal = TrackingError(str(error))
                self._answered.set()
                return
            except Exception as error:  # the run must start, whatever the driver raises
                self._reason = mongo_claims.reason(error)
                time.sleep(pause)

    def _claim_once(self, wanted_id: Any) -> None:
        made: list[Path] = []

        def take(run_id: Any) -> bool:
            """Make the folder before the claim, since an id must be free in both places."""
            _remove(made)
            if wanted_id is not None and run_id != wanted_id:
                raise _Taken(
                    f"The run id {wanted_id!r} is taken in {self.target}; use another one, or "
                    "leave it out."
                )
            with self._lock:
                if self._abandoned:
                    raise _Abandoned
                path = self.runs_dir / str(run_id)
                try:
                    path.mkdir()
                except FileExistsError:
                    if wanted_id is None:
                        return False
                    raise _Taken(
                        f"The run id {wanted_id!r} is taken in {self.runs_dir}; use another one."
                    ) from None
                made.append(path)
                return True

        runs = self._database()[self.target.collection]
        delivery = mongo_claims.first_delivery(self.target, self._start.uid)
        document = {**fit_document(RunDocument(self._start).document()), "delivery": delivery}
        first = wanted_id
        if first is None:
            first = max(mongo_claims.highest_claim(runs), highest_id(self.runs_dir)) + 1
        try:
            run_id = mongo_claims.claim(runs, document, first, take)
        except _Abandoned:
            return
        except BaseException:
            _remove(made)
            raise
        with self._lock:
            # An earlier insert, whose confirmation was lost, claimed the id but its folder was
            # removed.
            if not made and not (self.runs_dir / str(run_id)).exists():
                (self.runs_dir / str(run_id)).mkdir()
                made.append(self.runs_dir / str(run_id))
            if self._abandoned or not made:
                _remove(made)  # the run started under another id; the feed will find this claim
            else:
                self.run_id = run_id
            self._answered.set()

    def _database(self) -> Any:
        """Return the database, to which a later call connects if this one can't."""
        with self._connecting:
            if self._client is None:
                # Not before the run starts: an address of the form mongodb+srv:// asks DNS here.
                self._client = mongo_claims.connect(self.target)
            if self._stopped.is_set():
                self._client.close()
            return mongo_claims.open_database(self._client, self.target)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()

    def start(self, directory: Path, resumed: bool = False) -> None:
        """Start feeding the journal of this folder.

        Args:
            directory: the run's folder.
            resumed: whether the run was started by an earlier process, so that the journal tells
                under which id the database may have it.
        """
        self._directory = directory
        note_target(directory, self.target, self.run_id)
        if self.run_id is None and not resumed:
            self._down = True
            logger.warning(
                "MongoDB at %s does not answer (%s). The run is recorded in %s and delivered as "
                "soon as it does.",
                *(self.target, self._reason, directory),
            )
        self._thread.start()

    def wake(self) -> None:
        """Make the thread look for new events now; return at once."""
        self._wake.set()

    def _feed(self) -> None:
        assert self._directory is not None
        pause = FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            # Read before the journal, so that all events are in the journal if this is set.
            closing = self._closing.is_set()
            self._wake.clear()
            try:
                if self._delivery is None:
                    self._delivery = Delivery(self._directory, self.target, self._database())
                delivery = self._delivery
                if delivery.deliver():
                    self._note_answer(delivery)
                    pause = FIRST_PAUSE_SECONDS
                    continue
                if closing and delivery.finish():
                    self._done.set()
                    return
            except Exception as error:  # an error must not end the thread, and with it the delivery
                self._note_outage(error)
                self._stopped.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            self._wake.wait(FIRST_PAUSE_SECONDS if closing else BEAT_SECONDS)

    def _note_answer(self, delivery: Delivery) -> None:
        assert self._directory is not None
        if self._down:
            logger.info("MongoDB at %s answers; delivering %s.", self.target, self._directory)
            self._down = False
        if delivery.run_id != self.run_id and str(delivery.run_id) != self._directory.name:
            logger.info(
                "The run in %s is run %s in %s.", self._directory, delivery.run_id, self.target
            )
        self.run_id = delivery.run_id

    def _note_outage(self, error: Exception) -> None:
        assert self._directory is not None
        if not self._down:
            logger.warning(
                "MongoDB at %s accepts nothing (%s). The run continues; its events wait in %s.",
                *(self.target, mongo_claims.reason(error), self._directory / JOURNAL_NAME),
            )
            self._down = True

    def finish(self) -> bool:
        """Wait for the rest to be delivered, as long as the database keeps confirming writes.

        Returns:
            Whether the run is complete there; if not, a line in the log says what to do.
        """
        began = time.monotonic()
        self._closing.set()
        self._wake.set()
        patience = GONE_SECONDS if self._down else SILENT_SECONDS
        try:
            while not self._done.wait(0.05):
                confirmed = self._delivery.confirmed_at if self._delivery else began
                if confirmed > began:
                    patience = SILENT_SECONDS
                if time.monotonic() > max(began, confirmed) + patience:
                    break
        except KeyboardInterrupt:
            logger.warning("Delivery to %s interrupted.", self.target)
        self._stopped.set()
        self._wake.set()
        if not self._done.is_set():
            assert self._directory is not None
            logger.warning(
                "The run is incomplete in %s. Its journal is %s; deliver it with: "
                "reproducible-ml sync -m %s %s",
                *(self.target, self._directory / JOURNAL_NAME, self.target, self.runs_dir),
            )
        self._close()
        return self._done.is_set()


class _Taken(Exception):
    """The run id that the user chose is taken, so the run must not start."""


class _Abandoned(Exception):
    """A claim that comes too late, because the run has started without the database."""


def _remove(made: list[Path]) -> None:
    while made:
        made.pop().rmdir()
