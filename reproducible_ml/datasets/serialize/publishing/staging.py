"""Staging: a data set appears complete or not at all.

Protocol. Everything is written into a sibling folder ``.<name>.staging-<host>-<process>-<random>``,
with a lock that ends with the process, and a lease of ``record_dir`` that refuses a second writer.
Shards are synced as they close, then the manifest, then the
folder. One rename makes it the data set, see ``replacing``. The next start removes the folders of
dead processes, see ``leftovers``.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reproducible_ml.datasets.serialize.manifest import MANIFEST_FILE, REPAIR_SUFFIX, read_manifest
from reproducible_ml.datasets.serialize.publishing.leftovers import clean_leftovers, made_staging
from reproducible_ml.datasets.serialize.publishing.replacing import put_in_place
from reproducible_ml.process import Held, beside, hold
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.paths import mkdir_and_join


@contextmanager
def staged(record_dir: str | Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to write into, which becomes ``record_dir`` if the block succeeds.

    Args:
        record_dir: Folder of the data set.
        overwrite: Replace a data set that is there.

    Raises:
        ConfigError: ``record_dir`` is not a valid path, or can't be replaced as a whole.
        DataError: There is a data set and ``overwrite`` is not set, the folder holds other files,
            or it can't be written.
    """
    target = _target(record_dir)
    made = [folder for folder in target.parents if not os.path.exists(folder)]
    try:
        with _held(target), _staged(target, overwrite) as folder:
            yield folder
    except BaseException:
        # Innermost first; a folder that is not empty is in use by another writer.
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise


@contextmanager
def _held(target: Path) -> Iterator[None]:
    """Refuse a second writer now, and not when it has written everything."""
    try:
        with hold(target, "a data set", path=beside(target)):
            yield
    except Held:
        raise
    except ConfigError as error:
        if isinstance(error.__cause__, OSError):
            raise _unwritable(target.parent, error.__cause__) from error
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
        folder, lock = made_staging(target)
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    try:
        # mkdtemp creates folders that only their owner can read.
        folder.chmod(0o777 & ~_umask())
        yield folder
        # The lock's descriptor is that of the folder: this syncs the names of its files.
        os.fsync(lock)
        # Again, since the writing may have taken hours.
        _check_target(target, overwrite)
        put_in_place(folder, target, overwrite)
    finally:
        # After success only a replaced data set can be left under this name.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _target(record_dir: str | Path) -> Path:
    """Return the folder with links resolved, or raise if it can't be replaced."""
    said = f"record_dir {os.fspath(record_dir)!r}"
    try:
        os.stat(record_dir)
    except ValueError as error:
        raise ConfigError(f"{said} is not a path: {error}.") from error
    except OSError as error:
        # A missing folder will be created; other errors will be raised when that fails.
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise ConfigError(f"{said} is invalid: {error.strerror}. Choose another.") from error
    target = Path(os.path.realpath(record_dir))
    why = ""
    if target in _working_folders():
        why = "is the working directory or a folder above it"
    elif _is_mount_point(target):
        why = "is a mount point"
    if why:
        raise ConfigError(
            f"{said} {why}, but a data set's folder is replaced as a whole. Use a sub-folder, such "
            f"as {os.path.join(record_dir, 'data')!r}."
        )
    return target


def _working_folders() -> list[Path]:
    try:
        here = Path(os.path.realpath(os.getcwd()))
    except FileNotFoundError:
        return []  # the working directory was removed
    return [here, *here.parents]


def _is_mount_point(folder: Path) -> bool:
    if os.path.ismount(folder):
        return True
    # ismount misses a bind mount from the same disk; Linux's own table lists it.
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as table:
        mounted = {line.split()[4] for line in table}
        # The table escapes white space and backslashes in octal.
        escaped = re.sub(rb"[ \t\n\\]", lambda one: b"\\%03o" % ord(one[0]), os.fsencode(folder))
        return escaped in mounted
    return False


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder} can't be written: {error.strerror}. Choose another record_dir.")


def _check_target(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file, but record_dir must be a folder. Choose another.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not (target / MANIFEST_FILE).exists():
        raise DataError(
            f"{target} holds files but no data set ({MANIFEST_FILE} is missing). Choose an empty "
            "folder, or remove the files."
        )
    if not overwrite:
        raise DataError(
            f"{target} already holds a data set. Set overwrite=True to replace it, or choose "
            "another record_dir."
        )
    strangers = sorted({entry.name for entry in target.iterdir()} - _own_names(target))
    if strangers:
        raise DataError(
            f"{target} also holds files that are not part of the data set: "
            f"{', '.join(strangers[:5])}. Move them away before the data set is replaced."
        )


def _own_names(target: Path) -> set[str]:
    try:
        manifest = read_manifest(target)
    except DataError:
        # A damaged manifest names no shards, so any file that looks like one counts.
        return {MANIFEST_FILE} | {path.name for path in target.glob("*.tfrecord*")}
    shards = [shard.file for split in manifest.splits.values() for shard in split.shards]
    shards += [name + REPAIR_SUFFIX for name in shards]  # left by a killed repair
    return {MANIFEST_FILE, *(Path(name).parts[0] for name in shards)}


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
