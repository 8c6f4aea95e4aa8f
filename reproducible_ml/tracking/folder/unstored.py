"""What a full or failing disk has not taken: kept, tried again, and told at the end of the run.

The journal keeps its own lines in memory (``folder/journal.py``). Files that could not be copied
into the folder of runs wait here, as copies on another disk if there is one, since an experiment
may remove its own. What still waits at the end of the run is written to another place, which the
closing sentence names.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reproducible_ml.utils.redaction import redact

# A disk's own errors; any other is a mistake that trying again does not mend.
_OF_DISKS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE),
    *(errno.ENOMEM, errno.ENXIO, errno.ETIMEDOUT, errno.ENOTCONN),
}

logger = logging.getLogger(__name__)


class FolderRemoved(FileNotFoundError):
    """The folder of a run is gone while the run is being written."""


@dataclass
class _File:
    kind: str
    name: str
    path: str
    add: Callable[[str], None]


class Unstored:
    """Files that wait to be stored in the folder of runs."""

    def __init__(self) -> None:
        self._files: list[_File] = []
        self._spool: Path | None = None
        self._lock = threading.RLock()

    def try_now(self, kind: str, name: str, path: str, add: Callable[[str], None]) -> None:
        """Store a file now, or keep it for later if the disk does not take it.

        Args:
            kind: What it is, for messages.
            name: Its name in the record; a later file of the same name replaces it.
            path: Where it is; "" if it need not be kept.
            add: Stores the file at a path.

        Raises:
            OSError: The file itself can't be read.
        """
        if path:
            with open(path, "rb"):
                pass
        with self._lock:
            self._files = [one for one in self._files if (one.kind, one.name) != (kind, name)]
            try:
                add(path)
            except OSError as error:
                if error.errno not in _OF_DISKS and not isinstance(error, FolderRemoved):
                    raise
                logger.warning(
                    "%s %s waits to be stored: %s.", kind, redact(name), redact(str(error))
                )
                self._files.append(_File(kind, name, self._kept(path), add))

    def _kept(self, path: str) -> str:
        if not path:
            return path
        try:
            if self._spool is None:
                self._spool = Path(tempfile.mkdtemp(prefix="reproducible-ml-"))
            kept = self._spool / f"{len(os.listdir(self._spool))}-{os.path.basename(path)}"
            shutil.copyfile(path, kept)
        except OSError:
            return path
        return str(kept)

    def store(self) -> None:
        """Try again to store everything that waits."""
        with self._lock:
            for one in list(self._files):
                try:
                    one.add(one.path)
                except OSError:
                    continue
                self._files.remove(one)

    def names(self) -> list[str]:
        """Return kind and name of what waits."""
        return [f"{one.kind} {redact(one.name)}" for one in self._files]

    def close(self) -> None:
        """Remove the copies."""
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)


def other_places(name: str) -> Iterator[Path]:
    """Make and yield folders of this name: the temporary one, the working one, the home."""
    for place in (tempfile.gettempdir, os.getcwd, lambda: os.path.expanduser("~")):
        with suppress(OSError):
            folder = Path(place(), name)
            folder.mkdir(exist_ok=True)
            yield folder
