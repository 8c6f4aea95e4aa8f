"""Search with regular expressions that a visitor typed, for a bounded time.

Python's expressions go back and try again: ``(a+)+$`` takes hours on forty letters, and no other
thread of the process runs meanwhile. So an expression with repetitions is searched for by a process
of its own, which an alarm ends when the time is over.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time

from reproducible_ml.utils.errors import ConfigError

# All searches of one filter together. A filter of 10,000 runs needs a tenth of it.
SECONDS = 2.0
# Longer texts are searched up to here: no name, setting or result of a run is as long.
CHARACTERS = 10_000
_REPETITION = re.compile(r"[*+?{|(]")

# The alarm ends it in the middle of a search, also when nobody waits for the answer any more.
_PROGRAM = """
import json, re, signal, sys
for line in sys.stdin:
    pattern, text, seconds = json.loads(line)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    found = re.search(pattern, text) is not None
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(int(found), flush=True)
"""


class QueryError(ConfigError):
    """A filter that cannot be understood, or takes too long."""


class Expression:
    """An expression, and the time that its searches may still take.

    Args:
        pattern: As for ``re.compile``.

    Raises:
        re.error: It is no expression.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._left = SECONDS
        # One without repetitions looks at each character a fixed number of times.
        self._plain = None if _REPETITION.search(pattern) else re.compile(pattern)

    def found_in(self, text: str) -> bool:
        """Tell whether the text holds a match.

        Raises:
            QueryError: The searches took longer than ``SECONDS``.
        """
        text = text[:CHARACTERS]
        if self._plain is not None:
            return self._plain.search(text) is not None
        begin = time.monotonic()
        found = _WORKERS.search(self.pattern, text, self._left)
        self._left -= time.monotonic() - begin
        if found is None or self._left <= 0:
            raise QueryError(
                f"The search for {self.pattern[:80]!r} takes longer than {SECONDS:g} s; write an "
                "expression without repetitions inside repetitions."
            )
        return found


class _Workers:
    """Processes that search, one for each thread that asks at the same time."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()

    def search(self, pattern: str, text: str, seconds: float) -> bool | None:
        """Return whether the text holds a match; None if the answer does not come in time."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None or worker.poll() is not None:
            worker = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(json.dumps([pattern, text, max(0.001, seconds)]) + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except OSError:
            answer = ""
        if answer:
            with self._lock:
                self._idle.append(worker)
            return answer == "1\n"
        worker.communicate()
        return None


_WORKERS = _Workers()
