"""What a sweep shows while its members run: a bar in a terminal, lines elsewhere.

Members print their progress to their logs. The last line of each is shown, whatever experiment it
is: for a training, its step, losses and remaining time.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.sweep.member import Member, log_tail

BAR_SECONDS, LINE_SECONDS = 1.0, 10.0
# Sacred's own messages say nothing of how far a member is.
_NOT_SHOWN = re.compile(r"(INFO|WARNING|ERROR|DEBUG) - |\s")
_MOST_CHARACTERS = 100


class SweepProgress:
    """Shows the progress of a sweep on stderr.

    Args:
        total: Number of members that there will be.
    """

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        # Only a terminal gets a bar.
        self._bar = tqdm(total=total, unit="member", disable=None, dynamic_ncols=True)
        self._every = LINE_SECONDS if self._bar.disable else BAR_SECONDS
        self._due = time.monotonic() + self._every
        self._said: dict[int, str] = {}

    def tell(self, line: str) -> None:
        """Print a line about a member that ended."""
        self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def note(self, line: str) -> None:
        """Print a line about what begins now."""
        self._bar.write(line, file=sys.stderr)
        sys.stderr.flush()

    def advance(self) -> None:
        """Count a member that ended."""
        self._bar.update()

    def show(self, running: Iterable[tuple[Member, Path]]) -> None:
        """Show how far members are, if it is time.

        Args:
            running: The members that run, with their logs.
        """
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every
        lines = {member.number: last_line(path) for member, path in running}
        if not self._bar.disable:
            self._bar.set_postfix_str("; ".join(f"{n}: {one}" for n, one in lines.items() if one))
            return
        for number, line in lines.items():
            if line and self._said.get(number) != line:
                self.note(f"member {number}: {line}")
        self._said = lines

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.close()


def last_line(path: Path) -> str:
    """Return the last line of a log that is no message of Sacred's; empty without one."""
    # A bar overwrites its line by carriage returns.
    lines = re.split(r"[\r\n]+", log_tail(path))
    own = [line.strip() for line in lines if line.strip() and not _NOT_SHOWN.match(line)]
    return own[-1][:_MOST_CHARACTERS] if own else ""
