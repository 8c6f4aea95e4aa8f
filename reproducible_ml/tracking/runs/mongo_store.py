"""Read runs from MongoDB in the layout of Sacred's MongoObserver, ours and Sacred's own."""

from __future__ import annotations

import functools
import io
import json
import mimetypes
from collections.abc import Callable, Collection, Hashable, Iterator
from datetime import datetime
from typing import Any, BinaryIO, TypeVar, cast

from reproducible_ml.tracking.mongo import (
    READ_SECONDS,
    MongoTarget,
    check_address,
    timeouts,
)
from reproducible_ml.tracking.runs.document import document, metrics, read_time
from reproducible_ml.tracking.runs.query import checked, to_mongo
from reproducible_ml.tracking.runs.status import (
    RUNNING,
    current_status,
    refuse_running,
    unreadable,
)
from reproducible_ml.tracking.runs.store import (
    EVERY_RUN,
    ArtifactInfo,
    Found,
    Metrics,
    NotRecorded,
    RunId,
    Store,
    StoreUnavailable,
    sorted_ids,
    source_name,
    typed_id,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.redaction import redact

OUTPUT_ARTIFACT = "cout.txt"
# A server that is connected and silent for so long counts as gone.
ANSWER_SECONDS = 10
# Captured output is up to 2 MB a run, and is read by itself.
WITHOUT_OUTPUT = {"captured_out": 0}
# Documents of runs are some 100 kB each.
ENTRIES_A_QUERY = 50
LIST_FIELDS = [
    *("experiment.name", "command", "status", "start_time", "heartbeat", "host.hostname", "result"),
    "meta.comment",
]

Method = TypeVar("Method", bound=Callable[..., Any])


def _answered(method: Method) -> Method:
    """Make one sentence of the errors of a method that asks the database."""

    @functools.wraps(method)
    def ask(store: MongoStore, *arguments: Any, **named: Any) -> Any:
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            return method(store, *arguments, **named)
        except (PyMongoError, BSONError) as error:
            raise StoreUnavailable(
                f"{store.shown} does not answer as it should: {_reason(error)}. Is it running?"
            ) from error

    return cast(Method, ask)


class MongoStore(Store):
    """The runs of a database.

    Args:
        target: The database.

    Raises:
        TrackingError: It does not answer.
    """

    def __init__(self, target: MongoTarget) -> None:
        import gridfs
        import pymongo
        from pymongo.errors import PyMongoError

        self.target = target
        self.shown = str(target)
        check_address(target)
        try:
            self._client: Any = pymongo.MongoClient(
                target.uri,
                **timeouts(READ_SECONDS, ANSWER_SECONDS),
                appname="reproducible-ml",
                # One value of somebody's that Python can't hold must not hide all runs.
                datetime_conversion="DATETIME_AUTO",
                unicode_decode_error_handler="replace",
            )
            self._client.admin.command("ping")
        except (PyMongoError, ValueError) as error:
            reason = _reason(error)
            raise TrackingError(
                f"MongoDB at {target.shown} did not answer within {READ_SECONDS} s: {reason}. "
                "Start it, or read the local runs with -F runs."
            ) from None
        database = self._client[target.database]
        self._runs: Any = database[target.collection]
        # Sacred's own observer also prefixes the collection of metrics; our delivery does not.
        prefix, prefixed, _ = target.collection.rpartition("_runs")
        names = ["metrics", f"{prefix}_metrics"] if prefixed else ["metrics"]
        self._metrics: list[Any] = [database[name] for name in names]
        self._files: Any = gridfs.GridFS(database)
        self._file_entries: Any = database["fs.files"]
        self._chunks: Any = database["fs.chunks"]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @_answered
    def ids(self) -> list[RunId]:
        """Return the ids of all runs."""
        return sorted_ids(one["_id"] for one in self._runs.find({}, {"_id": 1}))

    @_answered
    def _find(self, run_id: RunId, fields: Any = None) -> dict[str, Any]:
        # A typed "5" may be the number or the text.
        for candidate in _identities(run_id):
            found = self._runs.find_one({"_id": candidate}, fields)
            if found is not None:
                return dict(found)
        raise self.missing(run_id)

    def entry(self, run_id: RunId) -> dict[str, Any]:
        """Return a run's document; see ``Store.entry``."""
        return _tidied(self._find(run_id, WITHOUT_OUTPUT), self.shown)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of all runs; a query asks for many, since each takes a way there."""
        ids = self.ids()
        for start in range(0, len(ids), ENTRIES_A_QUERY):
            batch = ids[start : start + ENTRIES_A_QUERY]
            found = self._many(batch)
            # Runs that were deleted since the ids were listed are in none.
            yield from (found[key] for key in map(_identity, batch) if key in found)

    @_answered
    def _many(self, run_ids: list[RunId]) -> dict[tuple[str, str], dict[str, Any]]:
        cursor = self._runs.find({"_id": {"$in": run_ids}}, WITHOUT_OUTPUT)
        return {_identity(one["_id"]): self._readable(dict(one)) for one in cursor}

    @_answered
    def find(
        self,
        query: dict[str, Any] = EVERY_RUN,
        sort_by: str = "_id",
        descending: bool = False,
        start: int = 0,
        limit: int | None = None,
    ) -> Found:
        """Return one page of the runs that match a filter; see ``Store.find``."""
        asked = to_mongo(checked(query))
        direction = -1 if descending else 1
        # Without the id, runs with equal values could change places from page to page.
        order = [(sort_by, direction)] if sort_by != "_id" else []
        cursor = self._runs.find(asked, LIST_FIELDS).sort([*order, ("_id", direction)])
        page = cursor.skip(start).limit(limit or 0)
        return Found(
            [self._readable(dict(one)) for one in page],
            self._runs.count_documents(asked),
            self._runs.count_documents({}),
        )

    def _readable(self, found: dict[str, Any]) -> dict[str, Any]:
        try:
            return _tidied(found, self.shown)
        except TrackingError as error:
            return unreadable(found["_id"], error)

    def metric_names(self, run_id: RunId) -> list[str]:
        """Return the names of the run's metrics, sorted."""
        return sorted(
            {_metric_of(one) for one in self._metric_parts(run_id, {}, ["name", "metric"])}
        )

    def metrics(self, run_id: RunId, names: Collection[str] | None = None) -> Metrics:
        """Return every point; a long metric is joined from its parts."""
        wanted = {"$in": list(names or ())}
        query = {} if names is None else {"$or": [{"name": wanted}, {"metric": wanted}]}
        found: Metrics = {}
        parts = self._metric_parts(run_id, query)
        for one in sorted(parts, key=_part_number):
            name = _metric_of(one)
            if names is not None and name not in names:
                continue  # another metric's part, which is named like this metric
            columns = found.setdefault(name, {"steps": [], "values": [], "timestamps": []})
            checked_part = {column: one.get(column) or [] for column in columns}
            what = f"A metric of run {run_id} in {self.shown}"
            for column, items in metrics({name: checked_part}, what)[name].items():
                columns[column] += items
        return found

    @_answered
    def _metric_parts(
        self, run_id: RunId, query: dict[str, Any], fields: Any = None
    ) -> list[dict[str, Any]]:
        run = _metrics_of(self._find(run_id, ["delivery.uid"]))
        return [
            dict(part)
            for one in self._metrics
            for part in one.find({**run, **query}, fields).sort("_id", 1)
        ]

    @_answered
    def open_output(self, run_id: RunId) -> BinaryIO:
        """Open everything that the run printed, from GridFS if it exceeds the run's document."""
        file_id = self._artifact_ids(run_id).get(OUTPUT_ARTIFACT)
        if file_id is not None and self._files.exists(file_id):
            return self._open(file_id, f"The output of run {run_id}")
        text = self._find(run_id, ["captured_out"]).get("captured_out")
        return io.BytesIO(str(text or "").encode("utf-8", "replace"))

    def _artifact_ids(self, run_id: RunId) -> dict[str, Any]:
        # The last artifact of a name counts, as in a folder.
        listed = self._find(run_id, ["artifacts"]).get("artifacts")
        return {str(one["name"]): one["file_id"] for one in _artifacts_in(listed)}

    @_answered
    def artifacts(self, run_id: RunId) -> dict[str, ArtifactInfo]:
        """Return the artifacts that GridFS holds."""
        listed = self._artifact_ids(run_id)
        wanted = {"_id": {"$in": list(listed.values())}}
        stored = {one["_id"]: one for one in self._file_entries.find(wanted)} if listed else {}
        found = {}
        for name, file_id in listed.items():
            if file_id in stored:
                file = stored[file_id]
                kind = str(file.get("contentType") or mimetypes.guess_type(name)[0] or "")
                place = f"{self.shown} fs.files {file_id}"
                length = file.get("length")
                size = int(length) if isinstance(length, int) and length >= 0 else 0
                found[name] = ArtifactInfo(name, size, kind, place)
        return found

    @_answered
    def open_artifact(self, run_id: RunId, name: str) -> BinaryIO:
        """Open an artifact for reading."""
        file_id = self._artifact_ids(run_id).get(name)
        if file_id is None:
            raise NotRecorded(f"Run {run_id} in {self.shown} has no artifact {name!r}.")
        return self._open(file_id, f"Artifact {name!r} of run {run_id}")

    def _open(self, file_id: Any, what: str) -> BinaryIO:
        import gridfs

        try:
            return cast(BinaryIO, self._files.get(file_id))
        except gridfs.NoFile:
            raise NotRecorded(f"{what} is listed in {self.shown}, but GridFS lacks it.") from None

    @_answered
    def sources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the recorded source files."""
        experiment = document(self._find(run_id, ["experiment"]), self._of(run_id))["experiment"]
        names: dict[str, Any] = {}
        for recorded, file_id in experiment.get("sources", ()):
            name = source_name(
                str(recorded), experiment.get("base_dir", "/"), experiment.get("library_dir")
            )
            if name is None or not isinstance(file_id, Hashable):
                raise TrackingError(
                    f"Source file {recorded!r} of run {run_id} in {self.shown} leads out of its "
                    "folder, or names no file of GridFS."
                )
            names[name] = file_id
        content = self._whole_files(set(names.values()))
        for name, file_id in names.items():
            if file_id not in content:
                raise TrackingError(
                    f"Source file {name!r} of run {run_id} is missing from {self.shown}, or "
                    "incomplete."
                )
        return {name: content[file_id] for name, file_id in names.items()}

    def _of(self, run_id: RunId) -> str:
        return f"Run {run_id} in {self.shown}"

    def _whole_files(self, file_ids: set[Any]) -> dict[Any, bytes]:
        """Read many small files in two queries; GridFS would need two for each."""
        wanted = list(file_ids)
        pieces: dict[Any, list[tuple[int, bytes]]] = {one: [] for one in wanted}
        for chunk in self._chunks.find({"files_id": {"$in": wanted}}):
            if isinstance(chunk.get("n"), int) and isinstance(chunk.get("data"), bytes):
                pieces[chunk["files_id"]].append((chunk["n"], chunk["data"]))
        joined = {one: b"".join(data for _, data in sorted(parts)) for one, parts in pieces.items()}
        return {
            one["_id"]: joined[one["_id"]]
            for one in self._file_entries.find({"_id": {"$in": wanted}}, {"length": 1})
            if one.get("length") == len(joined[one["_id"]])
        }

    @_answered
    def resources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the content of the run's resources, as far as GridFS holds it."""
        found = {}
        listed = document(self._find(run_id, ["resources"]), self._of(run_id)).get("resources")
        for recorded, digest in listed or []:
            stored = self._files.find_one({"filename": recorded, "md5": digest})
            if stored is not None:
                found[str(recorded)] = stored.read()
        return found

    @_answered
    def append_info(self, run_id: RunId, key: str, value: Any) -> None:
        """Append a value to the list ``info[key]`` of an ended run, in one update."""
        found = self._find(run_id, ["status"])
        if found.get("status") == RUNNING:
            raise TrackingError(f"Run {found['_id']} in {self.shown} is still being written.")
        from reproducible_ml.tracking.mongo import mongo_value

        plain = mongo_value(json.loads(json.dumps(value)))
        self._runs.update_one({"_id": found["_id"]}, {"$push": {f"info.{key}": plain}})

    @_answered
    def delete(self, run_id: RunId) -> None:
        """Delete a run, its own document last, so that an interrupted deletion can be repeated."""
        found = self._find(run_id, WITHOUT_OUTPUT)
        # One that can't be read can be deleted all the same.
        refuse_running(self._readable(dict(found)))
        for collection in self._metrics:
            collection.delete_many(_metrics_of(found))
        # Sacred stores equal source files once for all runs.
        others = self._runs.find({"_id": {"$ne": found["_id"]}}, ["experiment.sources"])
        shared = {source for other in others for source in _source_ids(other)}
        listed = {one["file_id"] for one in _artifacts_in(found.get("artifacts"))}
        # Sacred lists a file after storing it, so a kill in between leaves a file without an owner.
        prefix = f"artifact://{self.target.collection}/{found['_id']}/"
        stored = {"filename": {"$gte": prefix, "$lt": prefix + "\uffff"}}
        owned = {one["_id"] for one in self._file_entries.find(stored, {"_id": 1})}
        for file_id in listed | owned | (_source_ids(found) - shared):
            self._files.delete(file_id)
        self._runs.delete_one({"_id": found["_id"]})


def _identity(run_id: RunId) -> tuple[str, str]:
    """Return what tells ids apart: a database's may be of any type, and True is no 1 there."""
    return type(run_id).__name__, repr(run_id)


def _identities(run_id: Any) -> list[Any]:
    """Return the ids that a typed one may mean: a number, an ObjectId or a name."""
    from bson import ObjectId

    if not isinstance(run_id, (int, str)):
        return [run_id]
    # Half a surrogate pair, which a terminal gives for bytes that are no UTF-8, is in no id.
    text = str(run_id).encode("utf-8", "replace").decode("utf-8")
    typed = typed_id(text)
    # True and -5 are no numbers of runs, but may be ids.
    fits = isinstance(run_id, int) and -(2**63) <= run_id < 2**63
    candidates: list[Any] = [run_id] if fits else []
    if isinstance(typed, int) and -(2**63) <= typed < 2**63:
        candidates.append(typed)
    if ObjectId.is_valid(text):
        candidates.append(ObjectId(text))
    return [*candidates, text]


def _metrics_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the query for a run's metrics.

    Run 5 of another collection has the same ``run_id``; ``delivery.uid`` distinguishes them.
    """
    delivery = entry.get("delivery")
    uid = delivery.get("uid") if isinstance(delivery, dict) else None
    return {"run_id": entry["_id"], "delivery.uid": uid}


def _metric_of(part: dict[str, Any]) -> str:
    return str(part.get("metric", part.get("name")))


def _part_number(part: dict[str, Any]) -> int:
    number = part.get("part", 1)
    return number if isinstance(number, int) else 1


def _source_ids(entry: dict[str, Any]) -> set[Any]:
    from bson import ObjectId

    experiment = entry.get("experiment")
    listed = experiment.get("sources") if isinstance(experiment, dict) else None
    pairs = listed if isinstance(listed, list) else []
    return {
        one[1]
        for one in pairs
        if isinstance(one, list) and len(one) == 2 and isinstance(one[1], ObjectId)
    }


def _artifacts_in(listed: Any) -> Iterator[dict[str, Any]]:
    """Yield the artifacts in a document, without what is damaged of the list."""
    for one in listed if isinstance(listed, list) else []:
        file_id = one.get("file_id") if isinstance(one, dict) else None
        if file_id is not None and isinstance(file_id, Hashable) and "name" in one:
            yield one


def _tidied(entry: dict[str, Any], where: str) -> dict[str, Any]:
    identity = entry["_id"]
    found = document(entry, f"Run {identity} in {where}")
    for part in ("config", "info", "result", "host", "meta"):
        if part in found:
            found[part] = _json_types(found[part])
    # The experiment did not write this key: it tells Sacredboard where the metrics are.
    found["info"] = {name: item for name, item in found["info"].items() if name != "metrics"}
    found["status"] = current_status(found)
    return found


def _json_types(value: Any) -> Any:
    """Return a value with types of BSON that JSON lacks as strings, apart from times."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _json_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_types(item) for item in value]
    if isinstance(value, datetime):
        return read_time(value) or str(value)
    return value if isinstance(value, bytes) else str(value)


def _reason(error: Exception) -> str:
    """Return pymongo's reason without its description of the topology."""
    text = redact(str(error)).split(" (configured timeouts")[0].split(", Timeout: ")[0]
    return text.splitlines()[0][:200].rstrip(". ") if text else "no answer"
