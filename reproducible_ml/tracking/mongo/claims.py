"""The connection to a database, and run ids that no two processes share.

``_id`` of a run is claimed by inserting its document: the database refuses the second of two equal
ones. The document carries the run's ``uid``; after an insert of unknown outcome a look for the
``uid`` tells whether it took place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reproducible_ml.tracking.mongo.address import (
    DEFAULT_COLLECTION,
    START_SECONDS,
    WRITE_SECONDS,
    MongoTarget,
    timeouts,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.redaction import redact

SHOWN_REASON = 160


def connect(target: MongoTarget) -> Any:
    """Return a ``pymongo.MongoClient``; what it cannot reach it tells at the first use.

    Raises:
        TrackingError: the URI is wrong in a way that only pymongo knows.
    """
    import pymongo

    try:
        # Every retry is decided here, where it is known what has arrived: none by the driver.
        return pymongo.MongoClient(
            target.uri,
            **timeouts(START_SECONDS, WRITE_SECONDS),
            retryWrites=False,
            retryReads=False,
            appname="reproducible-ml",
        )
    except (pymongo.errors.PyMongoError, ValueError) as error:
        raise TrackingError(f"{target} cannot be used: {reason(error)}") from None


def open_database(client: Any, target: MongoTarget) -> Any:
    """Return the database, so that a confirmed write survives a kill of the server."""
    from pymongo import ReadPreference, WriteConcern

    return client.get_database(
        target.database,
        write_concern=WriteConcern(w="majority", j=True),
        read_preference=ReadPreference.PRIMARY,
    )


def reason(error: BaseException) -> str:
    """Return the first sentence of a driver's error, without credentials."""
    text = redact(str(error)).split(" (configured")[0].split(", Timeout:")[0]
    return text.split(", full error:")[0][:SHOWN_REASON] or type(error).__name__


def claim_name(target: MongoTarget, uid: str) -> str:
    """Return the run's ``uid`` as this collection holds it; a database may hold a run twice."""
    return uid if target.collection == DEFAULT_COLLECTION else f"{uid}@{target.collection}"


def first_delivery(target: MongoTarget, uid: str) -> dict[str, Any]:
    """Return the ``delivery`` of a document of which nothing but the start has arrived."""
    return {"uid": claim_name(target, uid), "sequence": 0, "complete": False}


def find_claim(runs: Any, uid: str) -> Any:
    """Return the ``_id`` under which a run is in the collection, or None."""
    found = runs.find_one({"delivery.uid": uid}, {"_id": 1})
    return found["_id"] if found else None


def highest_claim(runs: Any) -> int:
    """Return the greatest number among the ids, 0 where there is none."""
    # "$gt: 0" leaves out ids that are text, which sort above all numbers.
    newest = list(runs.find({"_id": {"$gt": 0}}, {"_id": 1}).sort("_id", -1).limit(1))
    return int(newest[0]["_id"]) if newest else 0


def claim(
    runs: Any,
    document: dict[str, Any],
    first_choice: Any,
    take: Callable[[Any], bool] = lambda run_id: True,
) -> Any:
    """Insert the document under an id that is free, and return the id.

    Args:
        runs: pymongo's collection.
        document: the run without ``_id``; ``document["delivery"]["uid"]`` names it.
        first_choice: the id to try first; None for the next free number.
        take: asked before each insert whether the id may be used; False goes on to the next.
    """
    from pymongo.errors import DuplicateKeyError

    there = find_claim(runs, document["delivery"]["uid"])
    if there is not None:
        return there
    run_id = highest_claim(runs) + 1 if first_choice is None else first_choice
    while True:
        if take(run_id):
            try:
                runs.insert_one({"_id": run_id, **document})
                return run_id
            except DuplicateKeyError:
                there = find_claim(runs, document["delivery"]["uid"])
                if there is not None:
                    return there
        next_id = highest_claim(runs) + 1
        run_id = max(next_id, run_id + 1) if isinstance(run_id, int) else next_id
