"""What makes the sync at the end of a shard cheap: room for it in advance, and an early start.

Linux gives a file its place on the disk only when its pages are written back, one piece at a time,
and a sync waits for that. A large file that has its place already is written back faster
(docs/decisions.md). None of this changes a byte, and what a system can't do is left out.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: room behind the end, which reads as if it weren't there
# A shard whose size nobody knows gets as much again as it has, up to a limit. Giving the rest back
# costs small ones more than they gain.
_FIRST_ROOM_BYTES = 16 << 20
_MOST_ROOM_BYTES = 64 << 20


class Writeback:
    """Looks after the disk while one file is written from front to back.

    Args:
        file: Its descriptor.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._room = 0
        self._fallocate = _system_call("fallocate")

    def before(self, start: int, length: int) -> None:
        """Make room for what will be written."""
        large = start >= _FIRST_ROOM_BYTES and start + length > self._room
        if self._fallocate is None or not large:
            return
        more = max(length, min(start, _MOST_ROOM_BYTES))
        if self._fallocate(self._file, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(more)):
            # A full disk, or a file system that knows of no such thing: writing will tell.
            self._fallocate = None
        self._room = start + more

    def after(self, start: int, length: int) -> None:
        """Let the disk begin with what was written."""
        # Linux begins to write what is dirty before it forgets what is clean: here nothing.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, start, length, os.POSIX_FADV_DONTNEED)

    def finish(self, length: int) -> None:
        """Give back the room that was not needed, and wait until all is on the disk."""
        if self._room > length:
            os.ftruncate(self._file, length)
        os.fsync(self._file)


def _system_call(name: str) -> Any:
    if sys.maxsize < 2**32:
        return None  # offsets are of another type there
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
