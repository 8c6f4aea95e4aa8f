r"""The append-only journal of a run: its events in order, readable after any kill.

Each event is a line: ``<crc32 of the rest, 8 hex digits> <sequence number> <JSON object>\n``.
Numbers count from 1 without gaps. Each line is written by one ``write`` call, so a killed process
leaves whole lines and at most one torn line at the end, which its checksum reveals. The writer
holds an ``flock`` on the file while it lives, so whoever gets the lock knows that it is gone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from reproducible_ml.tracking.folder.events import Event, event_of
from reproducible_ml.utils.errors import TrackingError

JOURNAL_NAME = "journal.log"
READ_BYTES = 1 << 20

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One line of a journal.

    Attributes:
        sequence: its number, from 1.
        event: what happened.
    """

    sequence: int
    event: Event


def encode(sequence: int, event: Event) -> bytes:
    """Return the line of one event."""
    # ASCII only, because captured output may hold lone surrogates; NaN and Infinity in the form
    # that Python's json writes and reads.
    text = f"{sequence} {json.dumps(event.as_json(), separators=(',', ':'))}".encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def check(line: bytes) -> tuple[int, bytes] | None:
    """Return a line's number and JSON text; None if its checksum or its form is wrong."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    text = line[9:-1]
    if line[:8] != b"%08x" % zlib.crc32(text):
        return None
    number, _, data = text.partition(b" ")
    return int(number), data


class Journal:
    """The writing end of a journal, locked as long as the object is open.

    Args:
        path: the file; made if it is missing. A torn last line is cut off.

    Raises:
        JournalLocked: another living process holds the journal.
        TrackingError: the file is damaged before its last line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sequence = 0
        self.cut_bytes = 0
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._take_lock()
            reader = JournalReader(path)
            for _ in reader.read_all():
                pass
            self.sequence = reader.sequence
            self.size = reader.position
            self.cut_bytes = os.fstat(self._file).st_size - self.size
            if self.cut_bytes:
                os.ftruncate(self._file, self.size)
        except BaseException:
            os.close(self._file)
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise JournalLocked(
                    f"{self.path} is locked by a living process; deliver it after that has ended."
                ) from None
            raise

    def append(self, event: Event) -> int:
        """Write one event and return its number.

        If the disk is full, the event waits in memory for the next call and the run continues.
        """
        with self._lock:
            self.sequence += 1
            self._waiting.append(encode(self.sequence, event))
            self._write_waiting()
            return self.sequence

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                line = self._waiting[0]
                if os.write(self._file, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                self.size += len(line)
                self._waiting.pop(0)
        except OSError as error:
            os.ftruncate(self._file, self.size)  # half a line would end the journal for readers
            # One warning for each outage, not for each event.
            if len(self._waiting) == 1:
                logger.warning("%s cannot be written (%s); its events wait.", self.path, error)

    def sync(self) -> None:
        """Flush everything written to the disk itself, so that a power cut loses nothing."""
        os.fsync(self._file)

    def close(self) -> None:
        """Write waiting events and release the lock; a second call does nothing."""
        with self._lock:
            if self._file >= 0:
                self._write_waiting()
                os.close(self._file)
                self._file = -1


class JournalLocked(TrackingError):
    """A journal whose writing process is alive."""


class JournalReader:
    """The reading end of a journal, which may still grow.

    Attributes:
        position: length in bytes of the valid lines read so far.
        sequence: number of the last event read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.sequence = 0

    def read(self, at_most: int = READ_BYTES) -> list[Entry]:
        """Return the next complete events, about ``at_most`` bytes of them; empty at the end.

        Raises:
            TrackingError: the file is damaged, as an invalid line is followed by valid ones; or an
                event lacks a field, and stays the next one to be read.
        """
        with open(self.path, "rb") as file:
            file.seek(self.position)
            block = file.read(at_most)
            if block and not block.endswith(b"\n"):
                block += file.readline()
            entries = []
            for line in block.splitlines(keepends=True):
                checked = check(line)
                if checked is None or checked[0] != self.sequence + 1:
                    self._refuse_damage(line, block, file.read())
                    break
                entries.append(Entry(checked[0], self._parse(checked[1])))
                self.sequence = checked[0]
                self.position += len(line)
        return entries

    def _parse(self, text: bytes) -> Event:
        try:
            return event_of(json.loads(text))
        except KeyError as field:
            raise TrackingError(
                f"{self.path} cannot be read: event {self.sequence + 1} has no {field}, found "
                f"{text[:60]!r}. Read the run with the program that wrote it."
            ) from None

    def read_all(self) -> Iterator[Entry]:
        """Yield every event up to the end or the torn last line."""
        while True:
            entries = self.read()
            if not entries:
                return
            yield from entries

    def _refuse_damage(self, line: bytes, block: bytes, rest: bytes) -> None:
        # A kill leaves a torn last line, but never an invalid line before a valid one.
        if not line.endswith(b"\n"):
            return
        after = block[block.index(line) :] + rest
        for candidate in after.splitlines(keepends=True):
            if check(candidate) is not None:
                raise TrackingError(
                    f"{self.path} is damaged at byte {self.position}: expected event "
                    f"{self.sequence + 1}, found {line[:60]!r}. Restore the file from a backup, or "
                    "remove that line and all lines after it to keep the events before."
                )
