"""Paths in a configuration: which of them a run read, and which it wrote.

An experiment may name its inputs and outputs (``finish``). For all other strings in its
configuration, what they name is looked at before and after the run: what was there and stayed as it
was counts as read, what appeared or changed as written. A rerun gets the former in its own working
directory and writes the latter there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from weakref import WeakKeyDictionary

from reproducible_ml.tracking.runs import flat
from reproducible_ml.utils.digests import combined_digest, file_digest

FILE, FOLDER, ABSENT = "file", "folder", "absent"
# A larger file that nobody has declared as an input is not digested: that would take seconds.
LARGEST_DIGESTED_BYTES = 256 << 20
# What a larger folder holds is not looked at.
MOST_ENTRIES = 2000
# A kind, and what changes when the content does; None for a folder that is too large.
State = tuple[str, Any]


@dataclass(frozen=True)
class Start:
    """What was known when a run's main function began.

    Attributes:
        cwd: The working directory.
        paths: The state of what the configuration names.
    """

    cwd: str
    paths: Mapping[str, State]


_starts: WeakKeyDictionary[Any, Start] = WeakKeyDictionary()


def note_start(run: Any) -> None:
    """Note where a Sacred run begins and what its configuration names."""
    _starts[run] = Start(os.getcwd(), path_states(run.config))


def start_of(run: Any) -> Start:
    """Return what ``note_start`` noted; for a run of another experiment, what is so now."""
    return _starts.get(run) or Start(os.getcwd(), {})


def path_states(config: Mapping[str, Any], cwd: str = "") -> dict[str, State]:
    """Return the state of everything that a configuration's values may name, by dotted key.

    Args:
        config: The configuration.
        cwd: What relative paths are relative to.
    """
    return {
        key: _state(os.path.join(cwd, value))
        for key, value in flat(config, "").items()
        if isinstance(value, (str, PurePath))
        and str(value)
        and "\0" not in str(value)
        and not key.startswith("__")
    }


def _state(path: str) -> State:
    try:
        entry = os.stat(path)
        if os.path.isfile(path):
            return FILE, (entry.st_ino, entry.st_size, entry.st_mtime_ns)
        if not os.path.isdir(path):
            return ABSENT, None
        found = []
        for folder, _, names in os.walk(path):
            entries = [os.lstat(os.path.join(folder, name)) for name in names]
            stamps = [(one.st_size, one.st_mtime_ns) for one in entries]
            found.append((folder, sorted(zip(names, stamps))))
            if sum(len(files) + 1 for _, files in found) > MOST_ENTRIES:
                return FOLDER, None
        return FOLDER, sorted(found)
    except OSError:
        return ABSENT, None


def found_paths(
    config: Mapping[str, Any], start: Start, declared: Iterable[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Tell which paths a run read and which it wrote.

    Args:
        config: The run's configuration.
        start: What was known at its start.
        declared: Keys that the experiment has named itself.

    Returns:
        ``[key, FILE or FOLDER]`` of what was read, and ``[key, what was there before]`` of what
        was written.
    """
    read, written = [], []
    named, before = set(declared), start.paths
    for key, (kind, content) in path_states(config, start.cwd).items():
        if key in named or key not in before or kind == ABSENT:
            continue
        if (kind, content) != before[key]:
            written.append([key, before[key][0]])
        elif content is not None:
            read.append([key, kind])
    return read, written


def path_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files by their relative paths.

    Raises:
        OSError: There is no such file or folder, or it can't be read.
    """
    root = Path(path)
    if not root.is_dir():
        return file_digest(root)
    return combined_digest(
        {
            file.relative_to(root).as_posix(): file_digest(file)
            for folder, _, names in os.walk(root)
            for file in (Path(folder, name) for name in names)
            if file.is_file()
        }
    )


def input_digests(
    paths: Mapping[str, str], largest: int | None = LARGEST_DIGESTED_BYTES
) -> list[list[str]]:
    """Return ``[key, SHA-256]`` of the inputs that exist.

    Args:
        paths: Path by key.
        largest: Size of the largest file to digest; folders are left out, too. None for all.
    """
    return [
        [key, path_digest(path)]
        for key, path in paths.items()
        if os.path.exists(path)
        and (largest is None or (os.path.isfile(path) and os.path.getsize(path) <= largest))
    ]
