"""One shard read again: its bytes, its records, and how they lie.

Uncompressed shards are mapped into memory. Compressed ones are decompressed piece by piece, so that
memory does not grow with the shard.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import crc32c
import numpy as np

from reproducible_ml.datasets.serialize.tfrecord import (
    FOOTER_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    FrameError,
    header,
    scan,
)

_WINDOW_BITS = {"GZIP": 31, "ZLIB": 15}
_PIECE_BYTES = 1 << 22
_MASK_DELTA = 0xA282EAD8


class Table(NamedTuple):
    """Records of one length that lie one behind the other.

    Attributes:
        payloads: uint8 [n, length].
        crcs: uint32 [n], the CRC-32C that stands behind each, unmasked.
    """

    payloads: np.ndarray[Any, Any]
    crcs: np.ndarray[Any, Any]


class Record(NamedTuple):
    """One record.

    Attributes:
        offset: Where its header begins in the uncompressed shard.
        payload: Its payload.
        crc: The CRC-32C that stands behind it, unmasked.
    """

    offset: int
    payload: bytes
    crc: int


class StreamError(ValueError):
    """A compressed shard that is no whole stream."""


def mapped(path: str | Path) -> memoryview:
    """Map a file of at least one byte into memory."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data.madvise(mmap.MADV_SEQUENTIAL)
    return memoryview(data)


def checksum(data: Any) -> str:
    """Give the CRC-32C of some bytes as 8 hexadecimal digits."""
    return f"{crc32c.crc32c(data):08x}"


def as_table(view: memoryview, records: int) -> Table | None:
    """See an uncompressed shard as a table; None where its records differ in length."""
    if not records or len(view) % records:
        return None
    step = len(view) // records
    if step < FRAME_BYTES:
        return None
    frames = np.frombuffer(view, np.uint8).reshape(records, step)
    if frames[0, :HEADER_BYTES].tobytes() != header(step - FRAME_BYTES):
        return None
    if not same_bytes(frames, slice(0, HEADER_BYTES)).all():
        return None
    masked = frames[:, -FOOTER_BYTES:].view("<u4")[:, 0]
    rotated = masked - np.uint32(_MASK_DELTA)
    crcs = (rotated >> np.uint32(17)) | (rotated << np.uint32(15))
    return Table(frames[:, HEADER_BYTES:-FOOTER_BYTES], crcs)


def same_bytes(rows: np.ndarray[Any, Any], part: slice) -> np.ndarray[Any, Any]:
    """Tell which rows have the bytes of the first one.

    Args:
        rows: uint8 [n, bytes].
        part: Which bytes are compared.

    Returns:
        bool [n].
    """
    same = np.ones(len(rows), bool)
    start = part.start
    # Words in place of bytes: a loop over eight bytes a row costs as much as one over one word.
    for size in (8, 4, 2, 1):
        while start + size <= part.stop:
            words = rows[:, start : start + size].view(f"u{size}")[:, 0]
            same &= words == words[0]
            start += size
    return same


def records_of(view: memoryview, compression: str) -> Iterator[Record]:
    """Walk over the records of a shard; payload CRCs are returned, not checked.

    Raises:
        FrameError: A header is damaged, or the shard ends inside a record.
        StreamError: The compressed stream is damaged, too short, or something follows it.
    """
    pieces = iter((view,)) if not compression else _decompressed(view, compression)
    rest: Any = b""
    offset = number = 0
    for piece in pieces:
        data = rest + piece if rest else piece
        read = 0
        try:
            for frame in scan(data):
                yield Record(offset + frame.offset, bytes(data[frame.payload]), frame.crc)
                read = frame.payload.stop + FOOTER_BYTES
                number += 1
        except FrameError as error:
            # The next piece may hold what is missing here.
            if not (compression and error.cut):
                raise FrameError(number, offset + error.offset, error.found, error.cut) from None
        rest = bytes(data[read:])
        offset += read
    if rest:
        for _ in scan(rest):
            pass


def _decompressed(view: memoryview, compression: str) -> Iterator[bytes]:
    from isal import isal_zlib

    stream = isal_zlib.decompressobj(_WINDOW_BITS[compression])
    damaged: Any = (isal_zlib.error, zlib.error)
    waiting: Any = b""
    read = 0
    try:
        while not stream.eof:
            if not waiting:
                waiting = view[read : read + _PIECE_BYTES]
                read += len(waiting)
            ended = not len(waiting)
            piece = stream.decompress(waiting, _PIECE_BYTES)
            waiting = stream.unconsumed_tail
            if piece:
                yield piece
            elif ended:
                break
    except damaged as error:
        raise StreamError(f"the {compression} stream is damaged: {error}") from error
    if not stream.eof:
        raise StreamError(f"the {compression} stream ends too early: its end or trailer is missing")
    left = len(stream.unused_data) + len(view) - read
    if left:
        raise StreamError(f"{left} bytes follow the end of the {compression} stream")
