r"""The append-only journal of a run: its events in order, readable after any kill.

Each event is a line: ``<crc32 of the rest, 8 hex digits> <sequence number> <JSON object>\n``.
Numbers count from 1 without gaps. Each line is written by one ``write`` call, so a killed process
leaves whole lines and at most one torn line at the end, which its checksum reveals. Lines that are
damaged otherwise are passed over: every line that verifies is read, before and behind them, and no
byte of them is removed. The writer holds an ``flock`` on the file while it lives, so whoever gets
the lock knows that it is gone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

from reproducible_ml.process import Held, hold, within
from reproducible_ml.tracking.folder.events import Event, event_of
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import copy_whole, open_file

JOURNAL_NAME = "journal.log"
READ_BYTES = 1 << 20
# How a line begins, by which whole lines are found within damaged ones.
_BEGINNING = re.compile(rb"[0-9a-f]{8} [0-9]+ \{")
_MOST_BEGINNINGS = 1000
_OPENED = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
# The errors of file systems without flock; there the lease of the run's folder is the lock.
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}

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
    # "²" and "1_000" are numbers for Python, but not of an event.
    return (int(number), data) if number.isdigit() and len(number) < 20 else None


def whole_lines(line: bytes) -> list[tuple[int, bytes]]:
    """Return number and JSON text of the line; of a damaged one, of every whole line within it.

    A newline that was damaged makes one line of two.
    """
    checked = check(line)
    if checked is not None:
        return [checked]
    starts = [found.start() for found in _BEGINNING.finditer(line)][:_MOST_BEGINNINGS]
    found = []
    for start, following in zip(starts, [*starts[1:], len(line)]):
        # The newline was another byte, or was lost.
        for end in (following - 1, following):
            checked = check(line[start:end] + b"\n")
            if checked is not None:
                found.append(checked)
                break
    return found


class Journal:
    """The writing end of a journal, locked as long as the object is open.

    Args:
        path: the file; made if it is missing. A torn last line is cut off; damaged ones stay.

    Raises:
        JournalLocked: another living process holds the journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = os.getpid()
        self.sequence = 0
        self.cut_bytes = 0
        self._lock = threading.Lock()
        # Length of the valid file, lines, and how many of them it holds; the others wait. Changed
        # in one assignment, since a signal may interrupt the process between any two.
        self._state: tuple[int, list[bytes], int] = (0, [], 0)
        self._writing = False
        # What was written since the disk last confirmed it, and the length before.
        self._unsynced: list[bytes] = []
        self._synced = 0
        self._file = os.open(path, _OPENED, 0o644)
        self._lease = ExitStack()
        try:
            self._take_lock()
            self._lease.enter_context(self._hold_folder())
            reader = JournalReader(path)
            for _ in reader.read_all():
                pass
            self.sequence = reader.sequence
            self._end_last_line(reader.position)
            _open.add(self)
        except BaseException:
            os.close(self._file)
            self._lease.close()
            raise

    @contextmanager
    def _hold_folder(self) -> Iterator[None]:
        """Hold the run's folder, too: another host may not see the lock of the file."""
        folder = self.path.parent
        try:
            with hold(folder, f"run {folder.name}", self, within(folder), wait=False):
                yield
        except Held as error:
            raise JournalLocked(str(error)) from None

    def _end_last_line(self, position: int) -> None:
        """Cut off the last line if it is torn, so that the next one begins a line."""
        tail = os.pread(self._file, os.fstat(self._file).st_size - position, position)
        torn = tail[tail.rfind(b"\n") + 1 :]
        size = position + len(tail)
        whole = check(torn + b"\n")
        if whole is not None and whole[0] > self.sequence:
            os.write(self._file, b"\n")
            self.sequence, size = whole[0], size + 1
        elif torn:
            self.cut_bytes = len(torn)
            size -= len(torn)
            os.ftruncate(self._file, size)
        self._state = (size, [], 0)
        self._synced = size

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise JournalLocked(
                    f"{self.path} is locked by a living process; deliver it after that has ended."
                ) from None
            if error.errno not in _NO_LOCKS:
                raise

    @property
    def size(self) -> int:
        """Length of what was written."""
        return self._state[0]

    @property
    def waiting(self) -> list[Event]:
        """The events that could not be written yet."""
        checked = filter(None, map(check, self._waiting_lines()))
        return [event_of(json.loads(text)) for _, text in checked]

    def _waiting_lines(self) -> list[bytes]:
        _, lines, written = self._state
        return lines[written:]

    @property
    def removed(self) -> bool:
        """Whether the file is no longer where it was, though it can still be written."""
        try:
            return not os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except OSError:
            return True

    def content(self) -> bytes:
        """Return all lines, those included that wait and those of a file that was removed."""
        with self._lock:
            blocks, position = [], 0
            while block := os.pread(self._file, min(self.size - position, READ_BYTES), position):
                blocks.append(block)
                position += len(block)
            return b"".join([*blocks, *self._waiting_lines()])

    def append(self, event: Event) -> int:
        """Write one event and return its number.

        If the disk is full, the event waits in memory for the next call and the run continues.

        Raises:
            TrackingError: this process is a fork of the one that opened the journal.
        """
        if os.getpid() != self._process:
            raise TrackingError(
                f"{self.path} is written by process {self._process}, and this is a fork of it "
                f"({os.getpid()}): two would number events twice. Write it there."
            )
        with self._lock:
            line = encode(self.sequence + 1, event)
            size, lines, written = self._state
            if written == len(lines):
                self._state = (size, [line], 0)
            else:
                lines.append(line)
            self.sequence += 1
            # One warning for each outage, not for each event.
            self._write_waiting(warn=written == len(lines))
            return self.sequence

    def replace_lines(self, entries: Iterable[Entry]) -> None:
        """Write the file anew with these events, which include all that it holds.

        A file that is damaged is kept beside it, as ``journal.log.damaged``.
        """
        with self._lock:
            content = b"".join(encode(*entry) for entry in entries)
            kept = self.path.with_name(f"{self.path.name}.damaged")
            if not kept.exists():
                copy_whole(self.path, kept)
            before = self._file
            new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            number = os.open(new, _OPENED | os.O_TRUNC, 0o644)
            try:
                with open(number, "wb", closefd=False) as file:
                    file.write(content)
                os.fsync(number)
                # Before it takes the place of the other: no moment without a lock.
                self._file = number
                self._take_lock()
                os.replace(new, self.path)
            except BaseException:
                self._file = before
                os.close(number)
                new.unlink()
                raise
            os.close(before)
            self._state, self._unsynced, self._synced = (len(content), [], 0), [], len(content)

    def write_waiting(self) -> bool:
        """Try again to write what waits; return whether nothing is left."""
        with self._lock:
            self._write_waiting()
            return not self._waiting_lines()

    def _write_waiting(self, warn: bool = False) -> None:
        size, lines, written = self._state
        # An interrupted call may have written a line that is still among those that wait.
        cut, self._writing = self._writing, True
        try:
            if cut:
                os.ftruncate(self._file, size)
            for line in lines[written:]:
                if os.write(self._file, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                # Twice, if the process is interrupted here, which readers notice; never not at all.
                self._unsynced.append(line)
                size, written = size + len(line), written + 1
                self._state = (size, lines, written)
        except OSError as error:
            os.ftruncate(self._file, size)  # half a line would be one that readers pass over
            if warn:
                logger.warning("%s cannot be written (%s); its events wait.", self.path, error)
        self._writing = False

    def sync(self) -> None:
        """Flush everything written to the disk itself, so that a power cut loses nothing.

        Raises:
            OSError: the disk does not take it, as a full network file system says only now; what it
                has not confirmed waits again.
        """
        with self._lock:
            try:
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._synced)
                self._state = (self._synced, [*self._unsynced, *self._waiting_lines()], 0)
                self._unsynced = []
                raise
            self._synced, self._unsynced = self.size, []

    def close(self) -> None:
        """Write waiting events and release the lock; a second call does nothing."""
        with self._lock:
            if self._file >= 0:
                self._write_waiting()
                os.close(self._file)
                self._file = -1
                self._lease.close()


# The journals that this process writes.
_open: WeakSet[Journal] = WeakSet()


def _leave_to_writer() -> None:
    """Close a fork's copies of open journals: a worker that survives would keep their locks."""
    for journal in list(_open):
        if journal._file >= 0:
            os.close(journal._file)
            journal._file = -1
    _open.clear()


os.register_at_fork(after_in_child=_leave_to_writer)


class JournalLocked(TrackingError):
    """A journal whose writing process is alive."""


class JournalReader:
    """The reading end of a journal, which may still grow.

    Attributes:
        position: length in bytes of what was read so far.
        sequence: number of the last event read.
        missing: numbers of the events before it that can't be read: first and last of each gap.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.sequence = 0
        self.missing: list[tuple[int, int]] = []

    def read(self, at_most: int = READ_BYTES) -> list[Entry]:
        """Return the next complete events, about ``at_most`` bytes of them; empty at the end.

        Damaged lines are passed over once a whole one follows; at the end they may still be being
        written.

        Raises:
            TrackingError: an event lacks a field, and stays the next one to be read.
        """
        entries: list[Entry] = []
        with open_file(self.path, self.path.parent.parent) as file:
            file.seek(self.position)
            passed = 0
            while not entries:
                block = file.read(at_most)
                if not block:
                    return entries
                if not block.endswith(b"\n"):
                    block += file.readline()
                for line in block.splitlines(keepends=True):
                    passed += len(line)
                    found = [one for one in whole_lines(line) if one[0] > self.sequence]
                    if not line.endswith(b"\n") or not found:
                        continue
                    events = [Entry(number, self._parse(text)) for number, text in found]
                    self._note_gap(events[0].sequence, passed - len(line))
                    entries += events
                    self.sequence = events[-1].sequence
                    self.position += passed
                    passed = 0
        return entries

    def _note_gap(self, number: int, damaged_bytes: int) -> None:
        if number == self.sequence + 1:
            return
        lost = (self.sequence + 1, number - 1)
        self.missing.append(lost)
        logger.warning(
            "%s is damaged at byte %d: event %d is expected there, and event %d follows after %d "
            "bytes. All events that verify are read.",
            *(self.path, self.position, lost[0], number, damaged_bytes),
        )

    def _parse(self, text: bytes) -> Event:
        try:
            return event_of(json.loads(text))
        except KeyError as field:
            reason = f"has no {field}"
        except (TypeError, ValueError, RecursionError) as error:
            reason = f"is not what this program writes ({error})"
        raise TrackingError(
            f"{self.path} cannot be read: event {self.sequence + 1} {reason}, found "
            f"{text[:60]!r}. Read the run with the program that wrote it."
        )

    def read_all(self) -> Iterator[Entry]:
        """Yield every event up to the end or the torn last line."""
        while True:
            entries = self.read()
            if not entries:
                return
            yield from entries
