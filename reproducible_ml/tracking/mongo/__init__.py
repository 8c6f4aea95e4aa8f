"""MongoDB: addresses, run ids, documents, files, and exactly-once delivery of every event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.mongo.address import (
        CHECK_SECONDS,
        DEFAULT_DATABASE,
        READ_SECONDS,
        MongoTarget,
        parse_mongo,
        timeouts,
    )
    from reproducible_ml.tracking.mongo.claims import check_address
    from reproducible_ml.tracking.mongo.documents import mongo_value
    from reproducible_ml.tracking.mongo.given import (
        MONGO_FROM,
        MONGO_VARIABLE,
        GivenAddress,
        environment_for,
        given_address,
    )
    from reproducible_ml.tracking.mongo.mirror import Mirror
    from reproducible_ml.tracking.mongo.sync import sync_run, sync_runs
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "CHECK_SECONDS",
    "DEFAULT_DATABASE",
    "MONGO_FROM",
    "MONGO_VARIABLE",
    "READ_SECONDS",
    "GivenAddress",
    "Mirror",
    "MongoTarget",
    "check_address",
    "environment_for",
    "given_address",
    "mongo_value",
    "parse_mongo",
    "sync_run",
    "sync_runs",
    "timeouts",
]
