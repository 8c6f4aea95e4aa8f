"""The connection to a database, and run ids that no two processes share.

A process claims the ``_id`` of a run by inserting its document: the database refuses the second of
two equal ids. The document carries the run's ``uid``, so after an insert of unknown outcome a query
for the ``uid`` tells whether it took place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from reproducible_ml.tracking.mongo.address import (
    DEFAULT_COLLECTION,
    START_SECONDS,
    WRITE_SECONDS,
    MongoTarget,
    timeouts,
)
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.redaction import redact

SHOWN_REASON = 160


# Options that only a mongodb+srv:// address takes.
_SRV_OPTIONS = re.compile(r"(?<=[?&])(?:srvServiceName|srvMaxHosts)=[^&]*&?", re.IGNORECASE)


def check_address(target: MongoTarget) -> None:
    """Check what can be checked of an address without a network.

    Raises:
        ConfigError: Its hosts, credentials or options are malformed or unknown, so it can never be
            reached. Whatever else the driver raises may pass: it is an outage.
    """
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    scheme, _, rest = target.uri.partition("://")
    hosts = re.split(r"[/?]", rest.rpartition("@")[2], maxsplit=1)[0]
    if scheme == "mongodb+srv":
        if "," in hosts or ":" in hosts:
            raise ConfigError(
                f"{target} names {hosts}; mongodb+srv:// takes one host without a port, whose DNS "
                "entry lists the servers. Write mongodb:// for servers of your own."
            )
        if find_spec("dns") is None:
            raise ConfigError(
                f"{target} needs the package dnspython: python -m pip install dnspython"
            )
        rest = _SRV_OPTIONS.sub("", rest)
    try:
        # Without warnings: it raises for an unknown option, which it would pass over otherwise.
        parse_uri(f"mongodb://{rest}", warn=False)
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        said = reason(error).partition(" or maybe")[0].rstrip(".")
        raise ConfigError(f"{target} is not a usable address: {said}.") from None


def connect(target: MongoTarget) -> Any:
    """Return a ``pymongo.MongoClient``, which connects at its first use.

    Raises:
        ConfigError: The address can never be used.
        TrackingError: It can't be used now, for example since DNS does not answer.
    """
    import pymongo

    check_address(target)
    try:
        # No retries by the driver: the delivery decides on them, as it knows what has arrived.
        return pymongo.MongoClient(
            target.uri,
            **timeouts(START_SECONDS, WRITE_SECONDS),
            retryWrites=False,
            retryReads=False,
            appname="reproducible-ml",
        )
    except (pymongo.errors.PyMongoError, ValueError) as error:
        raise TrackingError(f"{target} cannot be used now: {reason(error)}") from None


def open_database(client: Any, target: MongoTarget) -> Any:
    """Return the database with a write concern under which confirmed writes survive a kill."""
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
    """Return the run's ``uid`` in this collection; two collections may hold the same run."""
    return uid if target.collection == DEFAULT_COLLECTION else f"{uid}@{target.collection}"


def first_delivery(target: MongoTarget, uid: str) -> dict[str, Any]:
    """Return the ``delivery`` field of a document that holds only the start of a run."""
    return {"uid": claim_name(target, uid), "sequence": 0, "complete": False}


def find_claim(runs: Any, uid: str) -> Any:
    """Return the ``_id`` of a run in the collection; None if it is not there."""
    found = runs.find_one({"delivery.uid": uid}, {"_id": 1})
    return found["_id"] if found else None


def highest_claim(runs: Any) -> int:
    """Return the greatest number among the ids; 0 if there is none."""
    # "$gt: 0" excludes string ids, which sort above all numbers.
    newest = list(runs.find({"_id": {"$gt": 0}}, {"_id": 1}).sort("_id", -1).limit(1))
    return int(newest[0]["_id"]) if newest else 0


def claim(
    runs: Any,
    document: dict[str, Any],
    first_choice: Any,
    take: Callable[[Any], bool] = lambda run_id: True,
) -> Any:
    """Insert the document under a free id, and return the id.

    Args:
        runs: pymongo's collection.
        document: the run without ``_id``; ``document["delivery"]["uid"]`` identifies it.
        first_choice: the id to try first; None for the next free number.
        take: called before each insert with the id; False skips to the next id.
    """
    from pymongo.errors import DuplicateKeyError

    # An earlier call may have claimed an id and lost the confirmation.
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
