"""Deliver what databases have not received: after an outage, after a kill, or for the first time.

A living process holds the lock of its run's journal, and that run is skipped. What the run's files
hold beyond a damaged or cut journal is added to it first (``folder/salvage.py``). A killed run is
then closed: it gets the status INTERRUPTED, the time of its last event as its end, and an
explanation in ``fail_trace``. Then it is delivered like any other. Every step can be interrupted
anywhere and repeated, and nothing is replaced by what holds less.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import (
    JOURNAL_NAME,
    KILLED_STATUS,
    Deliveries,
    Ended,
    Journal,
    JournalLocked,
    RunState,
    add_what_files_hold,
    read_json,
    read_state,
    run_directories,
    write_metrics,
)
from reproducible_ml.tracking.mongo import claims as mongo_claims
from reproducible_ml.tracking.mongo.address import MongoTarget, parse_mongo
from reproducible_ml.tracking.mongo.delivery import Delivery
from reproducible_ml.tracking.mongo.given import with_credentials
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.files import write_json

MOST_COMPARISONS = 3
_RUNNING = "RUNNING"


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
    """Return the databases in a run's ``delivery.json`` that don't have all of it.

    Raises:
        TrackingError: the file is damaged.
    """
    found = Deliveries(directory)
    lacking = [shown for shown, record in found.targets.items() if not record.get("complete")]
    try:
        return list(map(parse_mongo, lacking))
    except ConfigError as error:
        raise TrackingError(f"{found.path} names no database: {error}") from None


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
    try:
        # Before anything is written: what databases have decides on how a journal is mended.
        record = Deliveries(directory).targets
        targets = [target] if target else list(map(with_credentials, known_targets(directory)))
    except TrackingError as error:
        yield Outcome(directory, target, "failed", str(error))
        return
    if target and record.get(target.shown, {}).get("complete"):
        detail = f"run {record[target.shown].get('run_id')}"
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
        try:
            close_dead_run(directory, journal)
        except (TrackingError, OSError) as error:
            yield Outcome(directory, target, "failed", str(error))
            return
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
        state = read_state(directory / JOURNAL_NAME)
        _refuse_less(state, target, delivery)
        for number in range(MOST_COMPARISONS):
            while delivery.deliver():
                pass
            if delivery.finish():
                return delivery.run_id
            if number and _holds_more(state.points, delivery.parts.points()):
                # The journal was mended since a part of it arrived, and its events are others.
                delivery.parts.delete()
    except PyMongoError as error:
        raise TrackingError(
            f"{target} stopped accepting {directory}: {mongo_claims.reason(error)}. What has "
            "arrived stays there; run sync again to resume."
        ) from error
    raise TrackingError(f"{target} keeps losing what {directory} delivers; look at its log.")


def _holds_more(points: Mapping[str, int], others: Mapping[str, int]) -> bool:
    return points != others and all(points.get(name, 0) >= others[name] for name in others)


def _refuse_less(state: RunState, target: MongoTarget, delivery: Delivery) -> None:
    """Refuse to replace what a database holds by less, such as a run of a cut journal.

    Raises:
        TrackingError: the database holds more points, or the end that the journal has lost.
    """
    if state.start is None:
        return
    uid = mongo_claims.claim_name(target, state.start.uid)
    found = delivery.runs.find_one({"delivery.uid": uid}, {"status": 1})
    if found is None:
        return
    delivery.place.uid = uid
    there = delivery.parts.points()
    more = sorted(name for name in there if there[name] > state.points.get(name, 0))
    told = f"{there[more[0]]} points of {more[0]!r}" if more else ""
    if state.status == KILLED_STATUS and found.get("status") not in (_RUNNING, KILLED_STATUS):
        told = f"the run as {found.get('status')}"
    if told:
        raise TrackingError(
            f"{target} holds more of {delivery.directory} than its journal: {told}. Nothing is "
            "overwritten there; restore the journal from a backup."
        )


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
    add_what_files_hold(directory, journal)
    state = read_state(journal.path, keep_points=True)
    if state.start is None:
        raise TrackingError(
            f"{journal.path} holds no start of a run, and {directory / 'run.json'} does not "
            "replace it: restore either from a backup; the other files are as they were."
        )
    if state.ended:
        restore_files(directory, state)
        return False
    sentence = (
        f"The process was killed, or its machine stopped, after {state.last_time} UTC; this record "
        "was rebuilt from the run's journal.\n"
    )
    end = Ended(KILLED_STATUS, state.last_time, fail_trace=[sentence])
    state.apply(state.sequence + 1, end)
    # The files first: once the journal has an end, a later sync takes them to be complete.
    restore_files(directory, state)
    journal.append(end)
    journal.sync()
    return True


def restore_files(directory: Path, state: RunState) -> None:
    """Write those files of an ended run that lag behind its journal or are damaged."""
    assert state.start is not None
    wanted = {
        "config.json": state.start.config,
        "info.json": state.info,
        "run.json": state.run_json(directory.parent),
    }
    points = sum(state.points.values())
    # run.json last: it says that the run has ended.
    if points > _points_in(directory / "metrics.json"):
        write_metrics(directory / "metrics.json", state.columns.snapshot())
    (directory / "cout.txt").touch()
    for name, value in wanted.items():
        # Compared as JSON gives it back.
        if _whole(directory / name) != json.loads(json.dumps(value)):
            write_json(directory / name, value)


def _whole(path: Path) -> Any:
    """Return the content of a JSON file; None if it is missing or damaged."""
    try:
        return read_json(path)
    except TrackingError:
        return None


def _points_in(path: Path) -> int:
    found = _whole(path)
    try:
        return sum(len(one["values"]) for one in found.values())
    except (AttributeError, KeyError, TypeError):
        return 0
