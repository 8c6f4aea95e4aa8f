"""A packed run, put out again so that it can be executed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from reproducible_ml.tracking.archive.contents import HERE, RUNS, WHEELS
from reproducible_ml.tracking.archive.sealed_zip import ArchiveDamaged, extract_archive
from reproducible_ml.tracking.reproduce import NotComparable, Request
from reproducible_ml.tracking.runs import RunId, typed_id

SUFFIX = ".zip"


def is_archive(text: str) -> bool:
    """Tell whether what names a run is the path of a packed one."""
    # A data set may lie in a folder of any name.
    return text.endswith(SUFFIX) and not os.path.isdir(text)


@contextmanager
def opened(path: Path, request: Request) -> Iterator[tuple[RunId, Request]]:
    """Put a packed run out, and direct a request to it.

    Args:
        path: The archive.
        request: How to run it again; paths that it gives come first. What is put out stays in the
            folder that it keeps, and is removed otherwise.

    Yields:
        The run's id, and the request for it.

    Raises:
        ArchiveDamaged: The archive isn't what was written.
        DataError: It can't be read, or the disk has no room for it.
        NotComparable: The folder to keep holds a packed run already.
    """
    with _folder(request.keep) as folder:
        yield _directed(path, folder, request)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="packed-") as name:
            yield Path(name)
        return
    folder = keep.resolve() / "packed"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise NotComparable(
            f"{folder} is left from an earlier packed run. Remove it, or name another folder: "
            "--keep DIR."
        ) from None
    yield folder


def _directed(path: Path, folder: Path, request: Request) -> tuple[RunId, Request]:
    listing = extract_archive(path, folder)
    try:
        run_id = typed_id(str(listing["run"]))
        inputs = {
            str(key): str(folder / str(place)) for key, place in dict(listing["inputs"]).items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveDamaged(f"pack.json of {path} lacks what tells its run: {error!r}.") from error
    for place in inputs.values():
        if folder.resolve() not in Path(place).resolve().parents:
            raise ArchiveDamaged(f"pack.json of {path} names {place}, which it does not hold.")
    wheels = folder / WHEELS
    return run_id, replace(
        request,
        record=folder / RUNS,
        place=folder / HERE if (folder / HERE).is_dir() else None,
        wheels=wheels if wheels.is_dir() else None,
        inputs={**inputs, **request.inputs},
    )
