"""Errors of the disk, from Python or from TensorFlow, as one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from reproducible_ml.utils.errors import ReproducibleMLError
from reproducible_ml.utils.paths import PathLike

# Number of the error -> what it means, and what to do about it.
_FULL = {
    errno.ENOSPC: ("the disk is full", "Free some space"),
    errno.EDQUOT: ("your disk quota is used up", "Free some space"),
    errno.EFBIG: ("the file would be larger than is allowed here", "Raise the limit (ulimit -f)"),
}
_REFUSED = {
    errno.EROFS: ("the file system is read-only", "Name a folder that can be written"),
    errno.EACCES: ("permission denied", "Name a folder that you may write"),
    errno.EPERM: ("operation not permitted", "Name a folder that you may write"),
    errno.ENOENT: ("its folder is gone", "Leave the folder where it is while a run writes to it"),
    errno.ENOTDIR: ("a part of its path is no folder", "Name another folder"),
    errno.EISDIR: ("a folder has its name", "Remove it, or name another folder"),
    errno.EIO: ("the disk reports an error", "Check the disk"),
    errno.ESTALE: ("its network folder is gone", "Connect it again"),
}
# Whoever opens a file that isn't there meets these numbers too, and the disk is as it should be.
ANYWHERE = (*_FULL, errno.EROFS, errno.EIO, errno.ESTALE)
_MEANINGS = {**_FULL, **_REFUSED}
_TEXTS = {os.strerror(number): number for number in _MEANINGS}


class DiskError(ReproducibleMLError, OSError):
    """A file can't be written."""


def disk_problem(error: BaseException) -> tuple[int, str] | None:
    """Return the number of a disk's error and the file that it is about; None for another error.

    Args:
        error: An error of Python, or of TensorFlow, which keeps the system's text only.
    """
    if isinstance(error, OSError):
        if error.errno not in _MEANINGS:
            return None
        return error.errno, "" if error.filename is None else os.fsdecode(error.filename)
    if not type(error).__module__.startswith("tensorflow"):
        return None
    message = str(getattr(error, "message", error))
    for text, number in _TEXTS.items():
        if text in message:
            before = message.partition(text)[0]
            paths = re.findall(r"/?[^\s;:'\"]*/[^\s;:'\"]+", before)
            return number, paths[-1] if paths else ""
    return None


def sentence(number: int, file: str, what: str, then: str) -> str:
    """Return the sentence for a disk's error.

    Args:
        number: Its number.
        file: The file; empty if it is unknown.
        what: What can't be written, such as "The checkpoint".
        then: What to do once the disk is in order.
    """
    meaning, remedy = _MEANINGS[number]
    where = f" ({file})" if file else ""
    return f"{what} can't be written{where}: {meaning}. {remedy}, then {then}."


@contextmanager
def writing(what: str, folder: PathLike, then: str = "start it again") -> Iterator[None]:
    """Turn an error of the disk within the block into one sentence.

    Args:
        what: What the block writes, such as "The training in models/a".
        folder: Its folder, which is named if the error names no file. Permissions and missing
            folders elsewhere are not about what the block writes.
        then: What to do once the disk is in order.

    Raises:
        DiskError: A file can't be written.
    """
    try:
        yield
    except ReproducibleMLError:
        raise
    except Exception as error:
        found = disk_problem(error)
        if found is None or not (found[0] in ANYWHERE or _lies_in(found[1], folder)):
            raise
        number, file = found
        # Not from the error: TensorFlow's would be printed with its 150 lines.
        raise DiskError(sentence(number, file or os.fspath(folder), what, then)) from None


def _lies_in(file: str, folder: PathLike) -> bool:
    inside, outside = os.path.abspath(file), os.path.abspath(folder)
    return bool(file) and os.path.commonpath([inside, outside]) == outside


def of_a_run(error: BaseException) -> str | None:
    """Return the sentence for an error that ended a run; None unless the disk is what failed."""
    found = disk_problem(error)
    if found is None or found[0] not in ANYWHERE:
        return None
    number, file = found
    return sentence(number, file, "A file", "run it again")
