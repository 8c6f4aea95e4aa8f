"""Sacredboard's access to MongoDB, subclassed; every override says which defect it mends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import bson
import gridfs
import pymongo

from reproducible_ml.tracking.board import artifacts
from reproducible_ml.tracking.board.artifacts import Artifact
from reproducible_ml.tracking.board.data import ANY, LIST_FIELDS, joined
from reproducible_ml.tracking.board.folder import OUTPUT_BYTES
from reproducible_ml.tracking.board.present import metric_id
from reproducible_ml.tracking.board.query import to_mongo, utc_now
from reproducible_ml.tracking.board.upstream import (
    GenericDAO,
    MongoDbCursor,
    MongoMetricsDAO,
    MongoRunDAO,
    NotFoundError,
    PyMongoDataAccess,
)
from reproducible_ml.tracking.mongo import READ_SECONDS, timeouts


class CountedCursor(MongoDbCursor):
    """Mends: ``Cursor.count`` is gone from pymongo 4. Also tells how many runs there are in all."""

    def __init__(self, cursor: Any, count: int, total: int) -> None:
        """Keep what was counted when the query was made."""
        super().__init__(cursor)
        self._count, self.total = count, total

    def count(self) -> int:
        """Return how many runs the filter lets through."""
        return self._count


class BoardGenericDAO(GenericDAO):
    """Mends: ``Collection.remove`` and ``Cursor.count`` are gone; whole documents were listed."""

    def delete_record(self, collection_name: str, query: dict[str, Any]) -> Any:
        """Delete every record that matches."""
        return self._get_collection(collection_name).delete_many(query)

    def find_runs(
        self, collection_name: str, query: dict[str, Any], sort: list[Any], start: int, limit: int
    ) -> CountedCursor:
        """Return one page of the list, without what only the details show."""
        collection = self._get_collection(collection_name)
        cursor = collection.find(query, LIST_FIELDS).sort(sort).skip(start).limit(limit)
        return CountedCursor(
            cursor, collection.count_documents(query), collection.count_documents({})
        )

    def collection(self, name: str) -> Any:
        """Return a collection."""
        return self._get_collection(name)

    def files(self) -> gridfs.GridFS:
        """Return the file system that Sacred keeps sources and artifacts in."""
        return gridfs.GridFS(self._database)


class BoardMongoRunDAO(MongoRunDAO):
    """Runs in MongoDB."""

    def get_runs(
        self,
        sort_by: str | None = None,
        sort_direction: str | None = None,
        start: int = 0,
        limit: int | None = None,
        query: dict[str, Any] = ANY,
    ) -> CountedCursor:
        """Return one page.

        Mends: ``$where`` and ``$not`` in the status filter; runs with equal values changed places
        from page to page, as nothing told them apart.
        """
        direction = pymongo.DESCENDING if sort_direction == "desc" else pymongo.ASCENDING
        sort = [(sort_by, direction)] if sort_by and sort_by != "_id" else []
        mongo_query = to_mongo(query, utc_now())
        sort.append(("_id", direction))
        dao: BoardGenericDAO = self.generic_dao
        return dao.find_runs(self.collection_name, mongo_query, sort, start, limit or 0)

    def get(self, run_id: Any) -> dict[str, Any]:
        """Return a run. Mends: an id that is no number and no ObjectId was a 500."""
        for candidate in _identities(run_id):
            run = self.generic_dao.find_record(self.collection_name, {"_id": candidate})
            if run is not None:
                found: dict[str, Any] = run
                return found
        raise NotFoundError(f"There is no run {run_id} in this database.")

    def delete(self, run_id: Any) -> None:
        """Delete a run. Mends: its artifacts and sources stayed in GridFS for ever."""
        run = self.get(run_id)
        shared = self._sources_of_others(run["_id"])
        artifacts.remove_stored(self.generic_dao.files(), self.collection_name, run, shared)
        self.generic_dao.delete_record(self.collection_name, {"_id": run["_id"]})

    def _sources_of_others(self, run_id: Any) -> set[Any]:
        """Return the source files that other runs share: Sacred stores equal files once."""
        runs = self.generic_dao.collection(self.collection_name)
        others = runs.find({"_id": {"$ne": run_id}}, ["experiment.sources"])
        return {source for other in others for source in artifacts.sources(other)}


class BoardMongoMetricsDAO(MongoMetricsDAO):
    """Metrics in MongoDB.

    Mends: metrics of prefixed collections (``x_runs``, ``x_metrics``) were never found, and run "5"
    and run 5 were one to it. So every method takes the run itself: a run that this project
    delivered is told from another of the same id in another collection by its ``delivery.uid``.
    """

    def __init__(self, generic_dao: BoardGenericDAO, collection_names: list[str]) -> None:
        """Name the collections to look in: Sacred prefixes, this project's delivery does not."""
        super().__init__(generic_dao)
        self.collections = [generic_dao.collection(name) for name in collection_names]

    def names(self, run: dict[str, Any]) -> list[dict[str, str]]:
        """Return names and ids. Mends: ``info["metrics"]`` lacks those of a killed run."""
        found = self._documents(run, {}, ["name", "metric"])
        names = {str(part.get("metric", part["name"])) for part in found}
        return [{"name": name, "id": metric_id(name)} for name in sorted(names)]

    def get(self, run: dict[str, Any], metric: str) -> dict[str, Any]:
        """Return a metric; a long one is in several documents, of which each says its part."""
        for one in self.names(run):
            if one["id"] == metric:
                either = {"$or": [{"name": one["name"]}, {"metric": one["name"]}]}
                parts = self._documents(run, either)
                return joined(one["name"], sorted(parts, key=lambda part: part.get("part", 1)))
        raise NotFoundError(f"Run {run['_id']} has no such metric.")

    def delete(self, run: dict[str, Any]) -> None:
        """Delete all metrics of a run."""
        for collection in self.collections:
            collection.delete_many(_metrics_of(run))

    def _documents(
        self, run: dict[str, Any], more: dict[str, Any], fields: list[str] | None = None
    ) -> list[dict[str, Any]]:
        query = {**_metrics_of(run), **more}
        return [part for one in self.collections for part in one.find(query, fields)]


class BoardMongoStorage(PyMongoDataAccess):
    """A database that Sacred wrote."""

    def connect(self) -> None:
        """Connect. Mends: 30 s of silence when nobody answers; names that are no attributes."""
        self._client: Any = pymongo.MongoClient(
            self._uri, **timeouts(READ_SECONDS), appname="sacredboard"
        )
        self._generic_dao = BoardGenericDAO(self._client, self._db_name)
        self._client.admin.command("ping")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get_run_dao(self) -> BoardMongoRunDAO:
        """Return the access to runs."""
        return BoardMongoRunDAO(self._generic_dao, self._collection_name)

    def get_metrics_dao(self) -> BoardMongoMetricsDAO:
        """Return the access to metrics."""
        prefix, separator, _ = self._collection_name.rpartition("_runs")
        names = ["metrics", f"{prefix}_metrics"] if separator else ["metrics"]
        return BoardMongoMetricsDAO(self._generic_dao, names)

    def metric_names(self, run: dict[str, Any]) -> list[dict[str, str]]:
        """Return names and ids of a run's metrics."""
        return self.get_metrics_dao().names(run)

    def output(self, run: dict[str, Any]) -> str:
        """Return the end of what the run printed."""
        return str(run.get("captured_out") or "")[-OUTPUT_BYTES:]

    def whole_output(self, run: dict[str, Any]) -> Iterator[bytes]:
        """Yield everything that the run printed."""
        yield str(run.get("captured_out") or "").encode("utf-8", "replace")

    def artifacts(self, run: dict[str, Any]) -> list[Artifact]:
        """Return the artifacts. Mends: Sacredboard shows none."""
        return artifacts.in_database(self._generic_dao.collection("fs.files"), run)

    def read(self, artifact: Artifact) -> Iterable[bytes]:
        """Return the bytes of an artifact, in pieces."""
        try:
            return artifacts.read_stored(self._generic_dao.files(), artifact)
        except gridfs.NoFile as error:
            raise NotFoundError(f"The file of {artifact.name} is gone.") from error


def _identities(run_id: Any) -> Iterator[Any]:
    """Yield what an id in a URL may stand for: a number, an ObjectId, a name."""
    if not isinstance(run_id, str):
        yield run_id
        return
    if run_id.isdecimal() and len(run_id) < 19:
        yield int(run_id)
    if bson.ObjectId.is_valid(run_id):
        yield bson.ObjectId(run_id)
    yield run_id


def _metrics_of(run: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": run["_id"], "delivery.uid": (run.get("delivery") or {}).get("uid")}
