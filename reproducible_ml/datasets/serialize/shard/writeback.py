"""Hints to Linux that make the sync at the end of a shard cheap: early allocation and writeback.

Linux allocates a file's place on the disk only when its pages are written back, piece by piece, and
a sync waits for that. A large file whose place is already allocated is written back faster
(docs/decisions.md). No hint changes a byte, and those that a system does not support are skipped.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: allocates beyond the end without changing the file's size
# The final size is unknown, so the allocation doubles up to a limit. For small shards, giving back
# the surplus would cost more than they gain.
_FIRST_ROOM_BYTES = 16 << 20
_MOST_ROOM_BYTES = 64 << 20


class Writeback:
    """Gives the hints for one file that is written from front to back.

    Args:
        file: Descriptor of the file.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._room = 0
        self._fallocate = _system_call("fallocate")

    def before(self, start: int, length: int) -> None:
        """Allocate space for the bytes that will be written next."""
        large = start >= _FIRST_ROOM_BYTES and start + length > self._room
        if self._fallocate is None or not large:
            return
        more = max(length, min(start, _MOST_ROOM_BYTES))
        if self._fallocate(self._file, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(more)):
            # Unsupported, or the disk is full: in that case the write itself will raise.
            self._fallocate = None
        self._room = start + more

    def after(self, start: int, length: int) -> None:
        """Start the writeback of the bytes that were just written."""
        # DONTNEED starts the writeback of dirty pages; it drops clean ones, but there are none.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, start, length, os.POSIX_FADV_DONTNEED)

    def finish(self, length: int) -> None:
        """Free the space that was not needed, and wait until the file is on the disk."""
        if self._room > length:
            os.ftruncate(self._file, length)
        os.fsync(self._file)


def _system_call(name: str) -> Any:
    if sys.maxsize < 2**32:
        return None  # the C call takes offsets of another type there
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
