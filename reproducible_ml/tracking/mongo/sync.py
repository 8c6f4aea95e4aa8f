"""Deliver what databases have not received: after an outage, after a kill, or for the first time.

A living process holds the lock of its run's journal, and that run is skipped. A killed run is
closed first: it gets the status INTERRUPTED, the time of its last event as its end, and an
explanation in ``fail_trace``. Then it is delivered like any other. Every step can be interrupted
anywhere and repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import (
    DELIVERY_NAME,
    JOURNAL_NAME,
    KILLED_STATUS,
    Ended,
    Journal,
    JournalLocked,
    read_json,
    read_state,
    run_directories,
    write_metrics,
)
from reproducible_ml.tracking.mongo import claims as mongo_claims
from reproducible_ml.tracking.mongo.address import MongoTarget, parse_mongo
from reproducible_ml.tracking.mongo.delivery import Delivery
from reproducible_ml.tracking.mongo.given import with_credentials
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import write_json

MOST_COMPARISONS = 3


@dataclass(frozen=True)
class Outcome:
    """The outcome for one run and one database.

    Attributes:
        directory: the run's folder.
        target: the database; None if no database lacked anything.
        word: "delivered", "complete" (it was already), "running", "failed", "local", or "plain" for
            a run of plain Sacred, which has no journal to deliver from.
        detail: the id there, or the reason.
    """

    directory: Path
    target: MongoTarget | None
    word: str
    detail: str


def known_targets(directory: Path) -> list[MongoTarget]:
    """Return the databases in a run's ``delivery.json`` that don't have all of it."""
    targets = read_json(directory / DELIVERY_NAME, {"targets": {}})["targets"]
    return [parse_mongo(shown) for shown, record in targets.items() if not record["complete"]]


def sync_runs(runs_dir: Path, target: MongoTarget | None = None) -> Iterator[Outcome]:
    """Deliver every run of a directory to one database, or to those that each run was meant for.

    Args:
        runs_dir: directory of all runs.
        target: the database to deliver all runs to; None for those in each run's
            ``delivery.json``, which holds no credentials: a database with a password must be
            given here, or its address be in the variable ``REPRODUCIBLE_ML_MONGO``.

    Yields:
        The outcome for each run.
    """
    clients: dict[MongoTarget, Any] = {}
    try:
        for directory in run_directories(runs_dir, holding=JOURNAL_NAME):
            yield from _sync_run(directory, target, clients)
        for directory in run_directories(runs_dir):
            if not (directory / JOURNAL_NAME).exists():
                yield Outcome(directory, None, "plain", "")
    finally:
        _close(clients)


def sync_run(directory: Path, target: MongoTarget) -> list[Outcome]:
    """Deliver one run to a database; see ``sync_runs``."""
    clients: dict[MongoTarget, Any] = {}
    try:
        return list(_sync_run(directory, target, clients))
    finally:
        _close(clients)


def _sync_run(
    directory: Path, target: MongoTarget | None, clients: dict[MongoTarget, Any]
) -> Iterator[Outcome]:
    record = read_json(directory / DELIVERY_NAME, {"targets": {}})["targets"]
    if target and record.get(target.shown, {}).get("complete"):
        detail = f"run {record[target.shown]['run_id']}"
        yield Outcome(directory, target, "complete", detail)
        return
    try:
        journal = Journal(directory / JOURNAL_NAME)
    except JournalLocked:
        yield Outcome(directory, target, "running", "its process is alive and delivers it itself")
        return
    except TrackingError as error:
        yield Outcome(directory, target, "failed", str(error))
        return
    try:
        close_dead_run(directory, journal)
        targets = [target] if target else list(map(with_credentials, known_targets(directory)))
        if not targets:
            yield Outcome(directory, None, "complete" if record else "local", "")
        for one in targets:
            try:
                database = _open(one, clients)
                run_id = deliver_run(directory, one, database)
                yield Outcome(directory, one, "delivered", f"run {run_id}")
            except TrackingError as error:
                yield Outcome(directory, one, "failed", str(error))
    finally:
        journal.close()


def _close(clients: dict[MongoTarget, Any]) -> None:
    for client in clients.values():
        if not isinstance(client, TrackingError):
            client.close()


def _open(target: MongoTarget, clients: dict[MongoTarget, Any]) -> Any:
    """Return a target's database; one that did not answer once is not tried again.

    Args:
        target: the database.
        clients: open connections, and the errors of those that failed.

    Raises:
        TrackingError: it does not answer, or refuses.
    """
    from pymongo.errors import PyMongoError

    if target not in clients:
        try:
            client = mongo_claims.connect(target)
            clients[target] = client
            client.admin.command("ping")
        except PyMongoError as error:
            client.close()
            clients[target] = TrackingError(
                f"{target} does not answer: {mongo_claims.reason(error)}. Start it, then run "
                "sync again."
            )
        except TrackingError as error:
            clients[target] = error
    if isinstance(clients[target], TrackingError):
        raise clients[target]
    return mongo_claims.open_database(clients[target], target)


def deliver_run(directory: Path, target: MongoTarget, database: Any) -> Any:
    """Deliver one ended run, and return its id in the database.

    Raises:
        TrackingError: the database can't be reached or refuses; what has arrived stays, and the
            next call resumes from there.
    """
    from pymongo.errors import PyMongoError

    delivery = Delivery(directory, target, database)
    try:
        for _ in range(MOST_COMPARISONS):
            while delivery.deliver():
                pass
            if delivery.finish():
                return delivery.run_id
    except PyMongoError as error:
        raise TrackingError(
            f"{target} stopped accepting {directory}: {mongo_claims.reason(error)}. What has "
            "arrived stays there; run sync again to resume."
        ) from error
    raise TrackingError(f"{target} keeps losing what {directory} delivers; look at its log.")


def close_dead_run(directory: Path, journal: Journal) -> bool:
    """Record the end of a killed run in its journal and its files.

    Args:
        directory: the run's folder.
        journal: its journal, locked by the caller.

    Returns:
        Whether the run lacked an end.

    Raises:
        TrackingError: the journal is damaged, or has no start.
    """
    state = read_state(journal.path)
    if state.start is None:
        raise TrackingError(f"{journal.path} holds no start of a run; remove {directory}.")
    if state.ended:
        return False
    sentence = (
        f"The process was killed, or its machine stopped, after {state.last_time} UTC; this record "
        "was rebuilt from the run's journal.\n"
    )
    end = Ended(KILLED_STATUS, state.last_time, fail_trace=[sentence])
    # The files first: once the journal has an end, a later sync takes them to be complete.
    restore_files(directory, journal.path, end)
    journal.append(end)
    journal.sync()
    return True


def restore_files(directory: Path, journal_path: Path, end: Ended) -> None:
    """Write the files of a killed run, which may lag behind its journal."""
    # Read again with points, which only a killed run needs.
    state = read_state(journal_path, keep_points=True)
    state.apply(state.sequence + 1, end)
    assert state.start is not None
    write_json(directory / "config.json", state.start.config)
    write_json(directory / "info.json", state.info)
    (directory / "cout.txt").touch()
    if state.points:
        write_metrics(directory / "metrics.json", state.columns.snapshot())
    write_json(directory / "run.json", state.run_json(directory.parent))
