"""The move of a written folder to its place: one rename if the place is free, else an exchange.

To replace an older data set, the two folders exchange names in one system call (``renameat2`` with
``RENAME_EXCHANGE``); then the older one is removed. On systems without this call there are two
renames, and if a writer dies after the first, the next start undoes it.
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
        folder: The written folder; afterwards its name may belong to the older data set.
        target: The data set's place, on the same disk.
        overwrite: Replace a data set that is there.

    Raises:
        DataError: The place is taken and must not be replaced, or a folder can't be renamed.
    """
    try:
        _rename(folder, target, overwrite)
        sync(target.parent)
    except OSError as error:
        raise DataError(f"{target} can't be put in place: {error.strerror}.") from error
    # Only now that the disk has the new name may the older data set go.
    shutil.rmtree(folder_before(target), ignore_errors=True)


def _rename(folder: Path, target: Path, overwrite: bool) -> None:
    try:
        # The system replaces at most an empty folder, never one that holds something.
        os.rename(folder, target)
        return
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        if not overwrite:
            raise DataError(
                f"{target} appeared during the writing, perhaps made by another writer. Set "
                "overwrite=True to replace it, or choose another record_dir."
            ) from error
    if _exchange(folder, target):
        return
    before = folder_before(target)
    os.rename(target, before)
    try:
        os.rename(folder, target)
    except OSError:
        # This in turn fails if another writer was faster; its data set then stays.
        with suppress(OSError):
            os.rename(before, target)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once; return False if the system can't."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
