"""The files that runs keep: which there are, of what type, their bytes, and their deletion."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridfs import GridFS

from reproducible_ml.tracking.board.folder import RunFolder

CHUNK_BYTES = 1 << 18
UNKNOWN = "application/octet-stream"
# First bytes of a picture whose name has no suffix.
PICTURES = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


@dataclass(frozen=True)
class Artifact:
    """A file that a run keeps; ``file`` is what the storage finds it by: a path, or a GridFS id."""

    name: str
    content_type: str
    size_bytes: int
    file: Any


def in_folder(folder: RunFolder, run: dict[str, Any]) -> list[Artifact]:
    """Return the artifacts that are there; one that was logged twice is one file."""
    found = []
    for name in dict.fromkeys(map(str, run.get("artifacts") or [])):
        path = folder.artifact(str(run["_id"]), name)
        if path is not None:
            kind = mimetypes.guess_type(name)[0] or _sniffed(path)
            found.append(Artifact(name, kind, path.stat().st_size, path))
    return found


def in_database(files: Any, run: dict[str, Any]) -> list[Artifact]:
    """Return the artifacts that the collection ``fs.files`` has, with the type that was logged."""
    entries = run.get("artifacts") or []
    ids = [entry["file_id"] for entry in entries]
    stored = {one["_id"]: one for one in files.find({"_id": {"$in": ids}})} if ids else {}
    found = []
    for entry in entries:
        file = stored.get(entry["file_id"], {})
        kind = file.get("contentType") or mimetypes.guess_type(entry["name"])[0] or UNKNOWN
        found.append(Artifact(entry["name"], kind, file.get("length", 0), entry["file_id"]))
    return found


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file."""
    with open(path, "rb") as stream:
        yield from iter(lambda: stream.read(CHUNK_BYTES), b"")


def read_stored(files: GridFS, artifact: Artifact) -> Iterable[bytes]:
    """Return the bytes of a file in GridFS, in pieces.

    Raises:
        gridfs.NoFile: if it is gone.
    """
    stored = files.get(artifact.file)
    return iter(lambda: stored.read(CHUNK_BYTES), b"")


def remove_stored(files: GridFS, collection: str, run: dict[str, Any], shared: set[Any]) -> None:
    """Delete the artifacts of a run, listed or not, and the sources that no other run shares."""
    for entry in run.get("artifacts") or []:
        files.delete(entry["file_id"])
    # Sacred lists a file after it is stored: a kill between the two leaves it without an owner.
    prefix = f"artifact://{collection}/{run['_id']}/"
    for stored in list(files.find({"filename": {"$gte": prefix, "$lt": prefix + "\uffff"}})):
        files.delete(stored._id)
    for source in sources(run) - shared:
        files.delete(source)


def sources(run: dict[str, Any]) -> set[Any]:
    """Return the ids of a run's source files."""
    return {file for _, file in (run.get("experiment") or {}).get("sources") or []}


def _sniffed(path: Path) -> str:
    with open(path, "rb") as stream:
        head = stream.read(12)
    return next((kind for start, kind in PICTURES if head.startswith(start)), UNKNOWN)
