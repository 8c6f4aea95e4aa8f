"""A thread that writes and syncs while the next records are made.

Writing, compression and checksums of large buffers release the GIL, so with a second core they cost
next to nothing. A shard is synced while the next one is filled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

# Bounds the memory that waits for the disk; a buffer has a few megabytes.
_MOST_WAITING = 4


class Disk:
    """Runs tasks one after another in a thread; a context manager.

    An error in the thread is raised by a later call of ``do`` or ``wait``.
    """

    def __init__(self) -> None:
        # A single thread keeps the writes to a file in order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._waiting: deque[Future[Any]] = deque()

    def do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Queue a task; wait while too many are queued already."""
        while len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work, *arguments))

    def wait(self) -> None:
        """Wait until all tasks are done."""
        while self._waiting:
            self._waiting.popleft().result()

    def forget(self) -> None:
        """Drop the queued tasks and wait for a running one; used after an error."""
        for work in self._waiting:
            work.cancel()
        wait(self._waiting)
        self._waiting.clear()

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self.forget()
            self._thread.shutdown()
