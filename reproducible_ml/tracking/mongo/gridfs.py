"""Uploads to GridFS that can be interrupted and resumed, and that change nothing when repeated.

Chunks are written first, each under an id that follows from the file's id. The entry in
``fs.files``, which readers look for, is written last, after all chunks have arrived.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import IO, Any

from bson import ObjectId
from bson.binary import Binary

from reproducible_ml.tracking.mongo.documents import object_id
from reproducible_ml.utils.errors import TrackingError

CHUNK_BYTES = 255 * 1024
CHUNKS_AT_ONCE = 16
# Source files have a few kilobytes each, at most the 255 of one chunk.
SMALL_AT_ONCE = 64
DUPLICATE_KEY = 11000

logger = logging.getLogger(__name__)


def upload(
    database: Any,
    file: IO[bytes],
    file_id: ObjectId,
    entry: dict[str, Any],
    upload_time: datetime,
    progress: Callable[[], None],
) -> None:
    """Upload a file to GridFS under this id, unless it is there.

    Args:
        database: pymongo's database.
        file: the file, opened at its start.
        file_id: the id, the same for each attempt of this upload.
        entry: ``filename`` and, if known, ``contentType`` and ``metadata``.
        upload_time: value of ``uploadDate``.
        progress: called after each write that the server confirmed.

    Raises:
        TrackingError: the file changed while it was read.
    """
    files, chunks = database["fs.files"], database["fs.chunks"]
    if files.find_one({"_id": file_id}, {"_id": 1}) is not None:
        return
    there: set[int] = set()
    # Asked for by its id, which takes no search: most files have never been begun.
    if chunks.find_one({"_id": object_id(str(file_id), 0)}, {"n": 1}) is not None:
        # Brought by an interrupted attempt; the file is still read whole for its digest.
        there = {chunk["n"] for chunk in chunks.find({"files_id": file_id}, {"n": 1})}
    digest = hashlib.md5(usedforsecurity=False)
    length = count = 0
    waiting: list[dict[str, Any]] = []
    while block := file.read(CHUNK_BYTES):
        digest.update(block)
        if count not in there:
            chunk = {"_id": object_id(str(file_id), count), "files_id": file_id, "n": count}
            waiting.append({**chunk, "data": Binary(block)})
        length += len(block)
        count += 1
        if len(waiting) == CHUNKS_AT_ONCE:
            _insert(chunks, waiting)
            waiting = []
            progress()
    if waiting:
        _insert(chunks, waiting)
        progress()
    # All others are confirmed; one more is of an attempt that found the file longer.
    if chunks.find_one({"_id": object_id(str(file_id), count)}, {"n": 1}) is not None:
        raise TrackingError(f"{entry['filename']} changed while it was delivered")
    facts = {"length": length, "chunkSize": CHUNK_BYTES, "uploadDate": upload_time}
    _insert(files, [{"_id": file_id, **entry, **facts, "md5": digest.hexdigest()}])
    progress()


def upload_small(
    database: Any,
    files: Sequence[tuple[ObjectId, str, bytes]],
    upload_time: datetime,
    progress: Callable[[], None],
) -> None:
    """Upload many files of one chunk each to GridFS in few requests.

    Args:
        database: pymongo's database.
        files: id, ``filename`` and content of each file, the same for each attempt.
        upload_time: value of ``uploadDate``.
        progress: called after each write that the server confirmed.
    """
    known = {"_id": {"$in": [file_id for file_id, _, _ in files]}}
    there = {found["_id"] for found in database["fs.files"].find(known, {"_id": 1})}
    missing = [one for one in files if one[0] not in there]
    for first in range(0, len(missing), SMALL_AT_ONCE):
        part = missing[first : first + SMALL_AT_ONCE]
        chunks = [
            {
                "_id": object_id(str(file_id), 0),
                "files_id": file_id,
                "n": 0,
                "data": Binary(content),
            }
            for file_id, _, content in part
            if content
        ]
        entries = [
            {
                "_id": file_id,
                "filename": filename,
                "length": len(content),
                "chunkSize": CHUNK_BYTES,
                "uploadDate": upload_time,
                "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            }
            for file_id, filename, content in part
        ]
        if chunks:
            _insert(database["fs.chunks"], chunks)
            progress()
        _insert(database["fs.files"], entries)
        progress()


def _insert(collection: Any, documents: list[dict[str, Any]]) -> None:
    """Insert documents, except those that an earlier attempt has inserted."""
    from pymongo.errors import BulkWriteError

    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        codes = {one.get("code") for one in (error.details or {}).get("writeErrors", ())}
        if codes != {DUPLICATE_KEY}:
            raise


def make_indexes(database: Any, runs: str) -> None:
    """Make the indexes that GridFS readers and the delivery need."""
    from pymongo.errors import AutoReconnect, OperationFailure

    wanted: list[tuple[str, list[tuple[str, int]], bool]] = [
        ("fs.files", [("filename", 1), ("uploadDate", 1)], False),
        ("fs.chunks", [("files_id", 1), ("n", 1)], True),
        ("metrics", [("run_id", 1), ("name", 1)], False),
        (runs, [("delivery.uid", 1)], False),
    ]
    for collection, keys, unique in wanted:
        try:
            database[collection].create_index(keys, unique=unique)
        except AutoReconnect:
            raise
        except OperationFailure as error:
            # Indexes only save time, so a server that refuses one still gets the run.
            logger.debug("No index on %s: %s", collection, error)
