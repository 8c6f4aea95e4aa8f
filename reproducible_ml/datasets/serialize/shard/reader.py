"""One shard read again: its bytes, its records, and how they lie.

Uncompressed shards are mapped into memory. Compressed ones are decompressed piece by piece, so that
memory does not grow with the shard.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import crc32c
import numpy as np

from reproducible_ml.datasets.serialize.wire import (
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
# What is looked at together: NumPy's calls cost little for so many records, and little memory.
_BATCH_BYTES = 1 << 22


class Table(NamedTuple):
    """Records of one length that lie one behind the other.

    Attributes:
        payloads: uint8 [n, length].
        crcs: uint32 [n], the CRC-32C that stands behind each, unmasked.
    """

    payloads: np.ndarray[Any, Any]
    crcs: np.ndarray[Any, Any]


class Batch(NamedTuple):
    """Some records that lie one behind the other, of any length.

    Attributes:
        data: uint8, the buffer that they lie in.
        starts: int64 [n], where each payload begins in it.
        lengths: int64 [n], bytes of each payload.
        crcs: uint32 [n], the CRC-32C that stands behind each, unmasked.
        offset: Where the buffer begins in the uncompressed shard.
    """

    data: np.ndarray[Any, Any]
    starts: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]
    crcs: np.ndarray[Any, Any]
    offset: int

    def payload(self, number: int) -> memoryview:
        """Give the payload of one of them."""
        start = int(self.starts[number])
        return self.data.data[start : start + int(self.lengths[number])]


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
    crcs = _unmasked(frames[:, -FOOTER_BYTES:].view("<u4")[:, 0])
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


def batches_of(view: memoryview, compression: str) -> Iterator[Batch]:
    """Walk over the records of a shard; payload CRCs are returned, not checked.

    Raises:
        FrameError: A header is damaged, or the shard ends inside a record.
        StreamError: The compressed stream is damaged, too short, or something follows it.
    """
    pieces = _ahead(_decompressed(view, compression)) if compression else iter((view,))
    waiting: list[Any] = []
    have = needed = offset = number = 0
    for piece in pieces:
        waiting.append(piece)
        have += len(piece)
        # A record of many pieces is joined once, when all of it is there.
        if have < needed:
            continue
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        read = 0
        while len((batch := _batch(data, read, offset)).starts):
            yield batch
            number += len(batch.starts)
            read = int(batch.starts[-1] + batch.lengths[-1]) + FOOTER_BYTES
        waiting, have = [memoryview(data)[read:]], len(data) - read
        offset += read
        needed = _needed(waiting[0], number, offset)
    if have:
        _complain(b"".join(waiting), number, offset)


def _batch(data: Any, begin: int, offset: int) -> Batch:
    """Take the next whole records of a buffer, none where a record is damaged or cut."""
    array = np.frombuffer(data, np.uint8)
    headers = _headers(data, array, begin)
    lengths = np.diff(headers) - FRAME_BYTES
    starts = headers[:-1] + HEADER_BYTES
    # Only now the lengths' own checksums: behind a damaged one nothing counts.
    distinct, which = np.unique(lengths, return_inverse=True)
    expected = np.array([header(one)[8:] for one in distinct.tolist()], "S4").view("<u4")[which]
    whole = _words(array, starts - 4) == expected
    count = len(whole) if whole.all() else int(np.argmin(whole))
    starts, lengths = starts[:count], lengths[:count]
    return Batch(array, starts, lengths, _unmasked(_words(array, starts + lengths)), offset)


def _headers(data: Any, array: np.ndarray[Any, Any], begin: int) -> np.ndarray[Any, Any]:
    """Follow the lengths of the next whole records: where each begins, and the end of the last."""
    length_of = struct.Struct("<Q").unpack_from
    most = min(len(data), begin + _BATCH_BYTES)
    if begin + HEADER_BYTES <= most:
        step = length_of(data, begin)[0] + FRAME_BYTES
        count = (most - begin) // step
        if count > 1:
            # Where most records have one length, their headers stand in a column.
            table = array[begin : begin + count * step].reshape(count, step)
            same = same_bytes(table, slice(0, HEADER_BYTES))
            alike = count if same.all() else int(np.argmin(same))
            if 2 * alike > count:
                return begin + step * np.arange(alike + 1)
    bounds = [begin]
    end = begin
    last = min(most, len(data) - HEADER_BYTES + 1)
    while end < last:
        end += length_of(data, end)[0] + FRAME_BYTES
        bounds.append(end)
    if end > len(data):
        bounds.pop()
    return np.array(bounds, np.int64)


def _needed(rest: memoryview, number: int, offset: int) -> int:
    """Tell how many bytes the record takes that a buffer ends in.

    Raises:
        FrameError: Its header is damaged.
    """
    if len(rest) < HEADER_BYTES:
        return HEADER_BYTES
    length = int.from_bytes(rest[:8], "little")
    if bytes(rest[:HEADER_BYTES]) != header(length):
        _complain(rest, number, offset)
    return FRAME_BYTES + length


def _complain(rest: Any, number: int, offset: int) -> None:
    """Say what is wrong with the first record of a buffer."""
    try:
        next(scan(rest))
    except FrameError as error:
        raise FrameError(number, offset, error.found, error.cut) from None


def _words(data: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Read four bytes at each place: uint32 [n]."""
    return data[places[:, None] + np.arange(4)].view("<u4")[:, 0]


def _unmasked(masked: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Undo the mask of many CRCs; see ``tfrecord.unmask``, which does one."""
    rotated = masked - np.uint32(_MASK_DELTA)
    return (rotated >> np.uint32(17)) | (rotated << np.uint32(15))


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Make the next piece in a thread meanwhile; decompressing leaves Python's lock."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, pieces, b"")
        while piece := coming.result():
            coming = thread.submit(next, pieces, b"")
            yield piece


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
