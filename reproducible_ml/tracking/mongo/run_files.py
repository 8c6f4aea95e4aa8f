"""Delivery of a run's files to GridFS: source files, resources, artifacts and output.

Every upload can be repeated: ids follow from the run and the file, and existing files stay.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bson import ObjectId

from reproducible_ml.tracking.folder import (
    PENDING_NAME,
    ArtifactAdded,
    ResourceAdded,
    Started,
    now,
    resource_copy,
)
from reproducible_ml.tracking.mongo.documents import Place, mongo_value, object_id
from reproducible_ml.tracking.mongo.gridfs import CHUNK_BYTES, upload, upload_small
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import open_file

logger = logging.getLogger(__name__)


class RunFiles:
    """Delivers a run's files to a database.

    Args:
        directory: the run's folder.
        database: pymongo's database.
        collection: name of the collection of runs, which is part of the artifacts' names.
        place: the run's place in the database.
        confirmed: called after each write that the server confirmed.
    """

    def __init__(
        self,
        directory: Path,
        database: Any,
        collection: str,
        place: Place,
        confirmed: Callable[[], None],
    ) -> None:
        self.directory = directory
        self.database = database
        self.collection = collection
        self.place = place
        self._confirmed = confirmed

    def send_sources(self, start: Started, kept: Iterable[Sequence[str]]) -> list[list[Any]]:
        """Upload source files.

        Args:
            start: the first event of the run.
            kept: name, and path of the copy in the folder of runs.

        Returns:
            [name, file id] of each.
        """
        sources: list[list[Any]] = []
        small = []
        for name, stored in kept:
            file_id = object_id(self.place.uid, "source", name)
            path = self._within(self.directory.parent, stored)
            filename = os.path.join(start.experiment.get("base_dir") or "", name)
            sources.append([name, file_id])
            with open_file(path, self.directory.parent) as file:
                if os.fstat(file.fileno()).st_size <= CHUNK_BYTES:
                    small.append((file_id, filename, file.read()))
                else:
                    self._upload(file, file_id, {"filename": filename})
        upload_small(self.database, small, now(), self._confirmed)
        return sources

    def send_resource(self, resource: ResourceAdded) -> None:
        """Upload a resource; if its copy is gone, log a warning."""
        path = resource_copy(self.directory.parent, resource.name, resource.md5)
        try:
            with open_file(path, self.directory.parent) as file:
                # The id names no run, so equal resources of all runs are stored once, as in the
                # folder.
                file_id = object_id("resource", resource.name, resource.md5)
                self._upload(file, file_id, {"filename": resource.name})
        except FileNotFoundError:
            logger.warning("%s is gone; the database gets its name and digest only.", path)

    def send_artifact(self, sequence: int, artifact: ArtifactAdded) -> ObjectId | None:
        """Upload an artifact as it was when it was logged.

        Args:
            sequence: number of its event.
            artifact: the event.

        Returns:
            Its id; None, with a line in the log, if the file is gone.
        """
        file_id = object_id(self.place.uid, "artifact", sequence)
        entry = {
            "filename": self._artifact_name(artifact.name),
            "contentType": artifact.content_type,
            "metadata": mongo_value(artifact.metadata, self.place.portable),
        }
        try:
            with self._open_artifact(sequence, artifact.name) as file:
                size = os.fstat(file.fileno()).st_size
                if size != artifact.bytes:
                    logger.warning(
                        "The artifact %s of run %s had %d bytes when it was logged and has %d now; "
                        "it is delivered as it is.",
                        *(artifact.name, self.directory, artifact.bytes, size),
                    )
                self._upload(file, file_id, entry)
        except FileNotFoundError:
            logger.warning(
                "The artifact %s is gone from %s and cannot be delivered.",
                *(artifact.name, self.directory),
            )
            return None
        return file_id

    def _open_artifact(self, sequence: int, name: str) -> BinaryIO:
        """Open the artifact that was logged, even if one of the same name has replaced it."""
        kept = self.directory / PENDING_NAME / f"{sequence}_{Path(name).name}"
        # The artifact first: if it is replaced after that, the check below finds the kept file.
        try:
            file = open_file(self._within(self.directory, name), self.directory)
        except FileNotFoundError:
            return open_file(kept, self.directory)
        if kept.exists():
            file.close()
            return open_file(kept, self.directory)
        return file

    @staticmethod
    def _within(folder: Path, name: str) -> Path:
        """Return the path of a recorded name, which a forged journal may lead elsewhere.

        Raises:
            TrackingError: it leads out of the folder.
        """
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise TrackingError(
                f"The journal names the file {name!r}, which leads out of {folder}; it is damaged "
                "or forged, and nothing is delivered."
            )
        return folder / name

    def send_output(self) -> ObjectId:
        """Upload all of the captured output as an artifact, and return its id."""
        file_id = object_id(self.place.uid, "output")
        entry = {"filename": self._artifact_name("cout.txt"), "contentType": "text/plain"}
        with open_file(self.directory / "cout.txt", self.directory) as file:
            self._upload(file, file_id, entry)
        return file_id

    def _artifact_name(self, name: str) -> str:
        return f"artifact://{self.collection}/{self.place.run_id}/{name}"

    def _upload(self, file: BinaryIO, file_id: ObjectId, entry: dict[str, Any]) -> None:
        upload(self.database, file, file_id, entry, now(), self._confirmed)
