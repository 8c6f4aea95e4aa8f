"""Opening a store of runs: a folder, or a database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reproducible_ml.tracking.runs.store import DEFAULT_FOLDER, Store


def database_address(typed: str | None, file: str | Path | None) -> str | None:
    """Return the database that ``-m``, ``--mongo-from`` or ``REPRODUCIBLE_ML_MONGO`` names.

    Args:
        typed: The argument of ``-m``.
        file: The argument of ``--mongo-from``.

    Raises:
        ConfigError: See ``mongo.given_address``.
    """
    from reproducible_ml.tracking.mongo import given_address

    given = given_address(typed, file)
    return given.address if given else None


def open_store(
    folder: str | Path | None = None,
    mongo: str | None = None,
    database: str | None = None,
    collection: str | None = None,
) -> Store:
    """Open the runs that ``-F`` or ``-m`` names.

    Args:
        folder: A folder of runs; ``runs`` if neither is given.
        mongo: A MongoDB database in any form that ``-m`` takes.
        database: A database that replaces the one in ``mongo``.
        collection: A collection that replaces the one in ``mongo``.

    Raises:
        TrackingError: There is no such folder, or the database does not answer.
        ConfigError: Both are given, or the address is invalid.
    """
    if mongo is not None:
        from reproducible_ml.tracking.mongo import parse_mongo
        from reproducible_ml.tracking.runs.mongo_store import MongoStore
        from reproducible_ml.utils.errors import ConfigError

        if folder is not None:
            raise ConfigError("Runs are read from one place: give -F or -m, not both.")
        target = parse_mongo(mongo)
        named = {"database": database, "collection": collection}
        return MongoStore(replace(target, **{name: one for name, one in named.items() if one}))
    from reproducible_ml.tracking.runs.folder_store import FolderStore

    return FolderStore(folder if folder is not None else DEFAULT_FOLDER)
