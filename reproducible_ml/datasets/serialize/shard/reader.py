"""Reading of one shard, for its checksum and its records.

Uncompressed shards are memory-mapped. Compressed ones are decompressed piece by piece, so the
memory needed does not grow with the shard.
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
# Records are examined in batches of this size: the cost of NumPy's calls is spread over many of
# them, and they still need little memory.
_BATCH_BYTES = 1 << 22
# A record of a compressed shard is held whole. A forged length must not fill the memory, and a real
# record is at most some times larger than the file that holds it.
_LARGEST_RECORD_BYTES, _LARGEST_EXPANSION = 1 << 28, 20


class Table(NamedTuple):
    """Consecutive records of one length.

    Attributes:
        payloads: uint8 [n, length].
        crcs: uint32 [n], the CRC-32C stored after each payload, unmasked.
    """

    payloads: np.ndarray[Any, Any]
    crcs: np.ndarray[Any, Any]


class Batch(NamedTuple):
    """Consecutive records of any lengths.

    Attributes:
        data: uint8, the buffer that holds them.
        starts: int64 [n], offset of each payload in the buffer.
        lengths: int64 [n], size of each payload in bytes.
        crcs: uint32 [n], the CRC-32C stored after each payload, unmasked.
        offset: Offset of the buffer in the uncompressed shard.
    """

    data: np.ndarray[Any, Any]
    starts: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]
    crcs: np.ndarray[Any, Any]
    offset: int

    def payload(self, number: int) -> memoryview:
        """Return the payload of one of the records."""
        start = int(self.starts[number])
        return self.data.data[start : start + int(self.lengths[number])]


class StreamError(ValueError):
    """A compressed shard that is not one complete stream."""


def mapped(path: str | Path) -> memoryview:
    """Map a file of at least one byte into memory."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data.madvise(mmap.MADV_SEQUENTIAL)
    return memoryview(data)


def checksum(data: Any) -> str:
    """Return the CRC-32C of some bytes as 8 hexadecimal digits."""
    return f"{crc32c.crc32c(data):08x}"


def as_table(view: memoryview, records: int) -> Table | None:
    """View an uncompressed shard as a table; return None if its records differ in length."""
    if not records or len(view) % records:
        return None
    # The size may divide evenly by chance, so every header is compared below.
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
    """Compare the bytes of each row with those of the first one.

    Args:
        rows: uint8 [n, bytes].
        part: The bytes to compare.

    Returns:
        bool [n], whether they are equal.
    """
    same = np.ones(len(rows), bool)
    start = part.start
    # Words of eight bytes where possible: a pass over words costs no more than one over bytes.
    for size in (8, 4, 2, 1):
        while start + size <= part.stop:
            words = rows[:, start : start + size].view(f"u{size}")[:, 0]
            same &= words == words[0]
            start += size
    return same


def batches_of(view: memoryview, compression: str) -> Iterator[Batch]:
    """Yield the records of a shard in batches; payload CRCs are returned, not checked.

    Raises:
        FrameError: A header is damaged, or the shard ends inside a record; or one of a compressed
            shard gives a length that no real record has.
        StreamError: The compressed stream is damaged or too short, or bytes follow it.
    """
    pieces = _ahead(_decompressed(view, compression)) if compression else iter((view,))
    largest = max(_LARGEST_RECORD_BYTES, _LARGEST_EXPANSION * len(view))
    waiting: list[Any] = []
    have = needed = offset = number = 0
    for piece in pieces:
        waiting.append(piece)
        have += len(piece)
        # Join a record of many pieces only once, when all of them are there.
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
        needed = _needed(waiting[0], number, offset, largest)
    if have:
        _complain(b"".join(waiting), number, offset)


def _batch(data: Any, begin: int, offset: int) -> Batch:
    """Take the next complete records of a buffer; none if the next one is damaged or cut off."""
    array = np.frombuffer(data, np.uint8)
    headers = _headers(data, array, begin)
    lengths = np.diff(headers) - FRAME_BYTES
    starts = headers[:-1] + HEADER_BYTES
    # The lengths were followed unchecked; whatever comes after a damaged one is dropped here.
    distinct, which = np.unique(lengths, return_inverse=True)
    # Few lengths are distinct, so few checksums need computing.
    expected = np.array([header(one)[8:] for one in distinct.tolist()], "S4").view("<u4")[which]
    whole = _words(array, starts - 4) == expected
    count = len(whole) if whole.all() else int(np.argmin(whole))
    starts, lengths = starts[:count], lengths[:count]
    return Batch(array, starts, lengths, _unmasked(_words(array, starts + lengths)), offset)


def _headers(data: Any, array: np.ndarray[Any, Any], begin: int) -> np.ndarray[Any, Any]:
    """Follow the lengths of the next complete records.

    Returns:
        int64 [n + 1], the start of each record and the end of the last one.
    """
    length_of = struct.Struct("<Q").unpack_from
    most = min(len(data), begin + _BATCH_BYTES)
    if begin + HEADER_BYTES <= most:
        step = length_of(data, begin)[0] + FRAME_BYTES
        count = (most - begin) // step
        if count > 1:
            # If most records have one length, their headers form a column that NumPy can compare.
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
    # The last record may extend past the buffer.
    if end > len(data):
        bounds.pop()
    return np.array(bounds, np.int64)


def _needed(rest: memoryview, number: int, offset: int, largest: int) -> int:
    """Return the size of the record with which a buffer ends, as far as its header is there.

    Raises:
        FrameError: Its header is damaged, or gives a length that no real record has.
    """
    if len(rest) < HEADER_BYTES:
        return HEADER_BYTES
    length = int.from_bytes(rest[:8], "little")
    if bytes(rest[:HEADER_BYTES]) != header(length):
        _complain(rest, number, offset)
    if length > largest:
        found = (
            f"the length is {length}, more than the {largest} bytes of any record in such a file"
        )
        raise FrameError(number, offset, found)
    return FRAME_BYTES + length


def _complain(rest: Any, number: int, offset: int) -> None:
    """Raise the error of a buffer's first record, with its place in the shard."""
    try:
        next(scan(rest))
    except FrameError as error:
        raise FrameError(number, offset, error.found, error.cut) from None


def _words(data: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Read a uint32 at each offset."""
    # Gathered byte by byte, since the offsets are not aligned.
    return data[places[:, None] + np.arange(4)].view("<u4")[:, 0]


def _unmasked(masked: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Unmask many CRCs; ``tfrecord.unmask`` does this for one."""
    rotated = masked - np.uint32(_MASK_DELTA)
    return (rotated >> np.uint32(17)) | (rotated << np.uint32(15))


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Prepare the next piece in a thread; decompression releases the GIL."""
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
            # A limit on the output, since a small input may expand to gigabytes.
            piece = stream.decompress(waiting, _PIECE_BYTES)
            waiting = stream.unconsumed_tail
            if piece:
                yield piece
            elif ended:
                break
    except damaged as error:
        raise StreamError(f"the {compression} stream is damaged: {error}") from error
    if not stream.eof:
        raise StreamError(f"the {compression} stream is cut off: its end or trailer is missing")
    left = len(stream.unused_data) + len(view) - read
    if left:
        raise StreamError(f"{left} bytes follow the end of the {compression} stream")
