"""A copy of a run in another folder of runs, with everything that it needs there.

Source files and resources are kept once for all runs of a folder, so a copy of ``runs/<id>`` alone
can neither be compared nor reproduced. The copy is made under a hidden name and checked before it
appears; nothing in the other folder is overwritten.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import (
    JOURNAL_NAME,
    RESOURCES_NAME,
    JournalReader,
    Started,
    highest_id,
    read_json,
    run_directories,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import copy_whole, md5_of


def _find_copy(directory: Path, target: Path) -> Path | None:
    """Return the folder of the same run in another folder of runs; None if it isn't there."""
    identity = _identity(directory)
    others = run_directories(target) if target.is_dir() else []
    return next((one for one in others if _identity(one) == identity), None)


def copy_run(directory: Path, target: Path) -> tuple[Path, bool]:
    """Copy an ended run into another folder of runs.

    Args:
        directory: ``runs/<id>``.
        target: The other folder of runs; made if it is missing.

    Returns:
        The folder of the copy, of the same id or of a free one if that is taken; and whether it is
        new, or the run was there already.

    Raises:
        TrackingError: A file of the run is missing, or the copy can't be written or differs.
    """
    there = _find_copy(directory, target)
    if there is not None:
        return there, False
    hidden = target / f"_copying_{os.getpid()}_{directory.name}"
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source, place in _shared_files(directory, target):
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                copy_whole(source, place)
            _check_same(source, place)
        shutil.copytree(directory, hidden, symlinks=True, ignore=shutil.ignore_patterns(".*"))
        for source in _files(hidden):
            _check_same(directory / source.relative_to(hidden), source)
        place = _claim(target, directory.name)
        # It takes the place of the empty folder that was claimed.
        hidden.replace(place)
        return place, True
    except OSError as error:
        raise TrackingError(
            f"{directory} can't be copied to {target}: {error}. Nothing there was changed."
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _identity(directory: Path) -> Any:
    """Return what two runs never share: the journal's uid, or the whole description."""
    try:
        if (directory / JOURNAL_NAME).is_file():
            first = next(iter(JournalReader(directory / JOURNAL_NAME).read_all()), None)
            if first is not None and isinstance(first.event, Started):
                return first.event.uid
        described = read_json(directory / "run.json")
        facts = (described.get("start_time"), described.get("host"), described.get("experiment"))
        return json.dumps(facts, sort_keys=True)
    except (AttributeError, OSError, TrackingError):
        return object()  # a damaged run is no copy of any


def _shared_files(directory: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files that the run shares with others, and their places in the other folder."""
    runs_dir, described = directory.parent, read_json(directory / "run.json", {})
    shared = [str(kept) for _, kept in (described.get("experiment") or {}).get("sources") or ()]
    resources = [
        f"{RESOURCES_NAME}/{Path(str(kept)).name}" for _, kept in described.get("resources") or ()
    ]
    for kept in shared + [one for one in resources if (runs_dir / one).is_file()]:
        source = runs_dir / kept
        if runs_dir.resolve() not in source.resolve().parents:
            raise TrackingError(
                f"{kept!r}, which run {directory.name} names, leads out of {runs_dir}."
            )
        if not source.is_file():
            raise TrackingError(
                f"{source} is missing, which run {directory.name} needs: restore it from a backup, "
                "or copy the run from where it was recorded."
            )
        yield source, target / kept


def _check_same(source: Path, copy: Path) -> None:
    if source.is_symlink() or not source.is_file():
        return
    if md5_of(source) != md5_of(copy):
        raise TrackingError(
            f"{copy} is not what {source} is: one of them was damaged or is being written. Remove "
            "the damaged one, and copy again."
        )


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _claim(target: Path, name: str) -> Path:
    """Make the folder of this id, or of the next free one."""
    attempt = 1
    while True:
        try:
            place = target / name
            place.mkdir()
            return place
        except FileExistsError:
            attempt += 1
            if name.isdigit():
                name = str(highest_id(target) + 1)
            else:
                name = f"{name.rpartition('-')[0] if attempt > 2 else name}-{attempt}"
