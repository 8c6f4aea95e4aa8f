"""One process writes a run: what forks of it try to record is refused, and told to it.

A fork has the same open journal and the same count of events, so two of them would number events
twice. A pool's workers return values; the process that began the run records them.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.text import neutral

_READ_BYTES = 1 << 16
# A pipe takes writes of up to this length as a whole (POSIX).
_LONGEST_NOTE = 512


class OneWriter:
    """The process that made this object, and what others may tell it."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._refused: set[str] = set()
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)

    @property
    def is_other(self) -> bool:
        """Whether this is another process, forked from the one that made the object."""
        return os.getpid() != self._process

    def refuses(self, what: str, name: str = "") -> bool:
        """Tell whether this process may not record; if so, say it once and tell the writer.

        Args:
            what: What is recorded, such as "metric".
            name: Its name; without one, the writer is not told.
        """
        if not self.is_other:
            return False
        subject = f"{what} {name!r}" if name else what
        # A fork that returns from the main function ends as a run does, in several events.
        if subject not in self._refused and (name or what == "completed"):
            self._refused.add(subject)
            # A fork may have no handlers of logging, or its parent's locks on them.
            print(
                f"Not recorded: {neutral(subject)}, because process {os.getpid()} was forked from "
                f"the one that records the run ({self._process}). Return such values to that "
                "process, and record them there.",
                file=sys.stderr,
                flush=True,
            )
            if name:
                self._tell(subject)
        return True

    def _tell(self, subject: str) -> None:
        # The pipe may be full of such notes, or the writer have ended.
        with suppress(OSError):
            os.write(self._ends[1], subject.encode("utf-8", "replace")[:_LONGEST_NOTE] + b"\n")

    def refused(self) -> list[str]:
        """Return what other processes were refused since the last call, each once."""
        try:
            text = os.read(self._ends[0], _READ_BYTES)
        except OSError:
            return []
        return list(dict.fromkeys(text.decode("utf-8", "replace").splitlines()))

    def close(self) -> None:
        """Stop listening to other processes."""
        ends, self._ends = self._ends, (-1, -1)
        for end in ends:
            os.close(end)

    @staticmethod
    def refuse_pickling(thing: object) -> Any:
        """Refuse to pass a run, or what writes it, to another process; for ``copyreg``.

        Raises:
            TrackingError: Always.
        """
        raise TrackingError(
            f"A {type(thing).__name__} can't be passed to another process: one process writes a "
            "run. Pass values of its configuration, return what is to be recorded, and record it "
            "here."
        )
