"""Where a record comes from: running somebody else's source files needs a word from the user.

A record is one's own if it was recorded on this machine, by source files in a folder that this user
may write to. The record itself says so, hence a forged one can lie: see docs/security.md.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable

from reproducible_ml.tracking.reproduce.request import CURRENT, NotComparable
from reproducible_ml.tracking.runs import Run
from reproducible_ml.utils.text import cut

_LONGEST_NAME = 80
# A command is the name of a function; an option would be taken for one of ours.
_COMMAND = re.compile(r"[^\W\d][\w.]*")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def foreign_origin(run: Run) -> str:
    """Return where a run was recorded, if not by this user on this machine; empty otherwise."""
    host = str((run.entry.get("host") or {}).get("hostname") or "")
    folder = str((run.entry.get("experiment") or {}).get("base_dir") or "")
    here = host == platform.node() and "\0" not in folder
    if here and folder and os.path.isdir(folder) and os.access(folder, os.W_OK):
        return ""
    return f"on {cut(host, _LONGEST_NAME) or 'an unnamed machine'}" + (
        f" in {cut(folder, _LONGEST_NAME)}" if folder else ""
    )


def agree(run: Run, sources: str, confirm: Callable[[str], bool]) -> None:
    """Ask before source files or settings of somebody else are used.

    Args:
        run: The recorded run.
        sources: Which source files will be executed; see ``Request``.
        confirm: Called with a sentence; returns whether to continue.

    Raises:
        NotComparable: They must not be used.
    """
    origin = foreign_origin(run)
    if not origin:
        return
    what = (
        "your source files with its configuration and variables, which say what they read and write"
        if sources == CURRENT
        else "its source files, which can do whatever you can do here"
    )
    sentence = f"Run {run.id} was recorded {origin}, not by you here: reproducing it runs {what}."
    if not confirm(sentence):
        raise NotComparable(
            f"{sentence} Look at them first (reproducible-ml board), then repeat with --yes."
        )


def check_names(run: Run, module: str, command: str | None) -> None:
    """Check that a recorded module and command are names and nothing else.

    Raises:
        NotComparable: They aren't: as arguments of a process they would be options or paths.
    """
    for name, pattern, what in ((module, _MODULE, "module"), (command, _COMMAND, "command")):
        if name is not None and not pattern.fullmatch(name):
            raise NotComparable(
                f"Run {run.id} names the {what} {cut(name, _LONGEST_NAME)!r}, which is no name of "
                f"a {what}; its record is damaged or forged."
            )
