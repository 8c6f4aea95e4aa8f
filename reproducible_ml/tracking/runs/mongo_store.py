"""Read runs from MongoDB in the layout of Sacred's MongoObserver, ours and Sacred's own."""

from __future__ import annotations

import io
import json
import mimetypes
from collections.abc import Iterator
from typing import Any, BinaryIO

from reproducible_ml.tracking.mongo import READ_SECONDS, MongoTarget, redact, timeouts
from reproducible_ml.tracking.runs.folder_store import TIMES
from reproducible_ml.tracking.runs.store import (
    ArtifactInfo,
    Metrics,
    RunId,
    Store,
    read_time,
    sorted_ids,
    source_name,
    typed_id,
)
from reproducible_ml.utils.errors import ConfigError, TrackingError

OUTPUT_ARTIFACT = "cout.txt"


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
        try:
            self._client: Any = pymongo.MongoClient(
                target.uri,
                **timeouts(READ_SECONDS),
                appname="reproducible-ml",
            )
            self._client.admin.command("ping")
        except ValueError as error:
            # pymongo takes hosts and options apart only now.
            raise ConfigError(f"{target.shown} is no address: {redact(str(error))}") from None
        except PyMongoError as error:
            reason = _reason(error)
            raise TrackingError(
                f"MongoDB at {target.shown} did not answer within {READ_SECONDS} s: {reason}. "
                "Start it, or read the local runs with -F runs."
            ) from None
        database = self._client[target.database]
        self._runs: Any = database[target.collection]
        prefix, prefixed, _ = target.collection.rpartition("_runs")
        self._metrics: Any = database[f"{prefix}_metrics" if prefixed else "metrics"]
        self._files: Any = gridfs.GridFS(database)
        self._file_entries: Any = database["fs.files"]
        self._chunks: Any = database["fs.chunks"]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ids(self) -> list[RunId]:
        """Return the ids of all runs."""
        return sorted_ids(one["_id"] for one in self._runs.find({}, {"_id": 1}))

    def _find(self, run_id: RunId, fields: list[str] | None = None) -> dict[str, Any]:
        for candidate in {run_id: 0, typed_id(run_id): 0, str(run_id): 0}:
            found = self._runs.find_one({"_id": candidate}, fields)
            if found is not None:
                return dict(found)
        raise self.missing(run_id)

    def entry(self, run_id: RunId) -> dict[str, Any]:
        """Return a run's document; see ``Store.entry``."""
        return _tidied(self._find(run_id))

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of all runs."""
        for run_id in self.ids():
            found = self._runs.find_one({"_id": run_id}, {"captured_out": 0})
            if found is not None:  # deleted in the meantime
                yield _tidied(dict(found))

    def metrics(self, run_id: RunId) -> Metrics:
        """Return every point; a long metric is put together from its parts."""
        identity = self._find(run_id, ["_id"])["_id"]
        pieces: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for one in self._metrics.find({"run_id": identity}).sort("_id", 1):
            name, part = str(one.get("metric", one["name"])), int(one.get("part", 1))
            pieces.setdefault(name, []).append((part, one))
        found: Metrics = {}
        for name, parts in pieces.items():
            columns: dict[str, list[Any]] = {"steps": [], "values": [], "timestamps": []}
            for _, one in sorted(parts, key=lambda pair: pair[0]):
                for column, items in columns.items():
                    items += one.get(column, [])
            found[name] = columns
        return found

    def output(self, run_id: RunId) -> str:
        """Return what the run printed; all of it, where it was too long for the run's document."""
        if OUTPUT_ARTIFACT in self._artifact_ids(run_id):
            with self.open_artifact(run_id, OUTPUT_ARTIFACT) as file:
                return file.read().decode("utf-8", "replace")
        return str(self._find(run_id, ["captured_out"]).get("captured_out") or "")

    def _artifact_ids(self, run_id: RunId) -> dict[str, Any]:
        # Of several of one name the last one counts, as in a folder.
        listed = self._find(run_id, ["artifacts"]).get("artifacts") or []
        return {str(one["name"]): one["file_id"] for one in listed}

    def artifacts(self, run_id: RunId) -> dict[str, ArtifactInfo]:
        """Return the artifacts that GridFS holds."""
        found = {}
        for name, file_id in self._artifact_ids(run_id).items():
            stored = self._file_entries.find_one({"_id": file_id})
            if stored is None:
                continue
            kind = stored.get("contentType") or mimetypes.guess_type(name)[0] or ""
            found[name] = ArtifactInfo(
                name, int(stored["length"]), kind, f"{self.shown} fs.files {file_id}"
            )
        return found

    def open_artifact(self, run_id: RunId, name: str) -> BinaryIO:
        """Open an artifact for reading."""
        file_id = self._artifact_ids(run_id).get(name)
        if file_id is None:
            raise TrackingError(f"Run {run_id} in {self.shown} has no artifact {name!r}.")
        return self._open(file_id, f"Artifact {name!r} of run {run_id}")

    def _open(self, file_id: Any, what: str) -> BinaryIO:
        import gridfs

        try:
            return io.BytesIO(self._files.get(file_id).read())
        except gridfs.NoFile:
            raise TrackingError(f"{what} is listed in {self.shown}, but GridFS lacks it.") from None

    def sources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the recorded source files."""
        experiment = self._find(run_id, ["experiment"]).get("experiment", {})
        names: dict[str, Any] = {}
        for recorded, file_id in experiment.get("sources", ()):
            name = source_name(
                str(recorded), experiment.get("base_dir", "/"), experiment.get("library_dir")
            )
            if name is None:
                raise TrackingError(
                    f"Source {recorded!r} of run {run_id} in {self.shown} leads out of its folder."
                )
            names[name] = file_id
        content = self._whole_files(set(names.values()))
        for name, file_id in names.items():
            if file_id not in content:
                raise TrackingError(
                    f"Source {name!r} of run {run_id} is missing from {self.shown}, or not whole."
                )
        return {name: content[file_id] for name, file_id in names.items()}

    def _whole_files(self, file_ids: set[Any]) -> dict[Any, bytes]:
        """Read many small files in two queries, where GridFS would ask twice for each."""
        wanted = list(file_ids)
        pieces: dict[Any, list[tuple[int, bytes]]] = {one: [] for one in wanted}
        for chunk in self._chunks.find({"files_id": {"$in": wanted}}):
            pieces[chunk["files_id"]].append((chunk["n"], bytes(chunk["data"])))
        joined = {one: b"".join(data for _, data in sorted(parts)) for one, parts in pieces.items()}
        return {
            one["_id"]: joined[one["_id"]]
            for one in self._file_entries.find({"_id": {"$in": wanted}}, {"length": 1})
            if one["length"] == len(joined[one["_id"]])
        }

    def resources(self, run_id: RunId) -> dict[str, bytes]:
        """Return the content of the run's resources, where GridFS holds it."""
        found = {}
        for recorded, digest in self._find(run_id, ["resources"]).get("resources") or []:
            stored = self._files.find_one({"filename": recorded, "md5": digest})
            if stored is not None:
                found[str(recorded)] = stored.read()
        return found

    def append_info(self, run_id: RunId, key: str, value: Any) -> None:
        """Append a value to the list ``info[key]`` of an ended run, in one update."""
        found = self._find(run_id, ["status"])
        if found.get("status") == "RUNNING":
            raise TrackingError(f"Run {found['_id']} in {self.shown} is still being written.")
        from reproducible_ml.tracking.mongo import mongo_value

        plain = mongo_value(json.loads(json.dumps(value)))
        self._runs.update_one({"_id": found["_id"]}, {"$push": {f"info.{key}": plain}})


def _tidied(entry: dict[str, Any]) -> dict[str, Any]:
    entry.pop("captured_out", None)
    for part in ("config", "info", "experiment"):
        entry[part] = entry.get(part) or {}
    # Where Sacredboard finds the metrics; no word of the experiment's own.
    entry["info"] = {name: item for name, item in entry["info"].items() if name != "metrics"}
    for name in TIMES:
        entry[name] = read_time(entry.get(name))
    return entry


def _reason(error: Exception) -> str:
    """Return pymongo's reason without its description of the topology."""
    text = redact(str(error)).split(" (configured timeouts")[0].split(", Timeout: ")[0]
    return text.splitlines()[0][:200].rstrip(". ") if text else "no answer"
