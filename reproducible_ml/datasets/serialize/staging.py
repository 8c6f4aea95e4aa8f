"""A data set appears as a whole or not at all.

Protocol. Everything is written into a sibling folder ``.<name>.staging-<random>``, held by a lock
that ends with the process. Shards are synced as they close, then the manifest, then the folder; one
rename makes it the data set. To replace an older one the two folders change names in one system
call (``renameat2`` with ``RENAME_EXCHANGE``), and the older one is then removed. Where the system
has no such call there are two renames, and the next start undoes the first if the second is
missing. Folders of dead processes are removed at the next start.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reproducible_ml.datasets.serialize.manifest import MANIFEST_FILE, read_manifest
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.paths import mkdir_and_join

_STAGING = ".staging-"
_BEFORE = ".before"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def staged(record_dir: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write a data set into; it becomes ``record_dir`` when the block ends well.

    Args:
        record_dir: Where the data set will be.
        overwrite: Replace a data set that is there.

    Raises:
        DataError: There is a data set and ``overwrite`` is not set, the folder holds other files,
            or it can't be written.
    """
    target = Path(os.path.realpath(record_dir))
    made = [folder for folder in target.parents if not os.path.exists(folder)]
    try:
        with _staged(target, overwrite) as folder:
            yield folder
    except BaseException:
        # The innermost first; one that is not empty is another writer's by now.
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise


@contextmanager
def _staged(target: Path, overwrite: bool) -> Iterator[Path]:
    try:
        mkdir_and_join(target.parent)
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    clean_leftovers(target)
    _check_target(target, overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}{_STAGING}", dir=target.parent))
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # mkdtemp makes folders that only their owner can read.
        folder.chmod(0o777 & ~_umask())
        yield folder
        os.fsync(lock)
        _check_target(target, overwrite)
        _put_in_place(folder, target)
    finally:
        # After success nothing is left there, or the data set that was replaced.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder} can't be written: {error.strerror}. Choose another record_dir.")


def clean_leftovers(target: Path) -> None:
    """Remove what killed writers left beside a data set, and undo a half-done replacement."""
    before = target.with_name(f".{target.name}{_BEFORE}")
    if before.exists():
        if not target.exists():
            os.rename(before, target)
        else:
            shutil.rmtree(before, ignore_errors=True)
    for folder in target.parent.glob(f".{glob.escape(target.name)}{_STAGING}*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its writer lives
        finally:
            os.close(lock)


def _check_target(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; record_dir must be a folder. Choose another place.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not (target / MANIFEST_FILE).exists():
        raise DataError(
            f"{target} holds files but no data set ({MANIFEST_FILE} is missing). Choose an empty "
            "folder, or remove them."
        )
    if not overwrite:
        raise DataError(
            f"{target} holds a data set already. Set overwrite=True to replace it, or choose "
            "another record_dir."
        )
    strangers = sorted({entry.name for entry in target.iterdir()} - _own_names(target))
    if strangers:
        raise DataError(
            f"{target} holds files that are not the data set's: {', '.join(strangers[:5])}. Move "
            "them away before it is replaced."
        )


def _own_names(target: Path) -> set[str]:
    try:
        manifest = read_manifest(target)
    except DataError:
        # A damaged manifest names nothing: what looks like its shards is taken for them.
        return {MANIFEST_FILE} | {path.name for path in target.glob("*.tfrecord*")}
    shards = [shard.file for split in manifest.splits.values() for shard in split.shards]
    return {MANIFEST_FILE, *(Path(name).parts[0] for name in shards)}


def _put_in_place(folder: Path, target: Path) -> None:
    if not target.exists() or not any(target.iterdir()):
        os.rename(folder, target)
    elif not _exchange(folder, target):
        before = target.with_name(f".{target.name}{_BEFORE}")
        os.rename(target, before)
        os.rename(folder, target)
        shutil.rmtree(before, ignore_errors=True)
    parent = os.open(target.parent, os.O_RDONLY)
    os.fsync(parent)
    os.close(parent)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names at once; False where the system can't."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
