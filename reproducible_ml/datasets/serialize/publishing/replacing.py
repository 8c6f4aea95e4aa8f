"""How a written folder takes its place: one rename where nothing is there, else an exchange.

To replace an older data set the two folders change names in one system call (``renameat2`` with
``RENAME_EXCHANGE``), and the older one is then removed. Where the system has no such call there are
two renames, and the next start undoes the first if the second is missing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from reproducible_ml.datasets.serialize.publishing.leftovers import folder_before
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import sync

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


def put_in_place(folder: Path, target: Path, overwrite: bool) -> None:
    """Make a written folder the data set.

    Args:
        folder: What was written; its name may stand for the older data set afterwards.
        target: Where to, on the same disk.
        overwrite: Replace what is there.

    Raises:
        DataError: Something is there that must not be replaced, or a folder can't be renamed.
    """
    try:
        _rename(folder, target, overwrite)
        sync(target.parent)
    except OSError as error:
        raise DataError(f"{target} can't be put in place: {error.strerror}.") from error
    # The older data set goes only now, when the disk knows the name of the new one.
    shutil.rmtree(folder_before(target), ignore_errors=True)


def _rename(folder: Path, target: Path, overwrite: bool) -> None:
    try:
        # Takes the place of nothing or of an empty folder, never of one that holds something.
        os.rename(folder, target)
        return
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        if not overwrite:
            raise DataError(
                f"{target} has appeared while it was written here, perhaps by another writer. Set "
                "overwrite=True to replace it, or choose another record_dir."
            ) from error
    if _exchange(folder, target):
        return
    before = folder_before(target)
    os.rename(target, before)
    try:
        os.rename(folder, target)
    except OSError:
        # Fails where another writer was faster, whose data set then stays.
        with suppress(OSError):
            os.rename(before, target)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names at once; False where the system can't."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
