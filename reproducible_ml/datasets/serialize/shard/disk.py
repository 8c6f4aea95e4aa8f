"""A thread that writes and syncs while the next records are made.

Writing, compressing and checksums of large buffers leave Python's lock, so that with a second core
they cost next to nothing, and a shard is synced while the next one is filled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

# Bounds the memory that waits for the disk: so many buffers of a few megabytes.
_MOST_WAITING = 4


class Disk:
    """Does things one after the other, in another thread; a context manager.

    What goes wrong there is raised by the next call here.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._waiting: deque[Future[Any]] = deque()

    def do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Queue some work; waits while too much is queued already."""
        while len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work, *arguments))

    def wait(self) -> None:
        """Wait until all is done."""
        while self._waiting:
            self._waiting.popleft().result()

    def forget(self) -> None:
        """Drop what is queued and wait for what has begun; for when something went wrong."""
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
