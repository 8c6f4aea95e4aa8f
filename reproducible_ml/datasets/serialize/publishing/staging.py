"""A data set appears as a whole or not at all.

Protocol. Everything is written into a sibling folder ``.<name>.staging-<host>-<process>-<random>``,
held by a lock that ends with the process. Shards are synced as they close, then the manifest, then
the folder; one rename makes it the data set, see ``replacing``. Folders of dead processes are
removed at the next start, see ``leftovers``.
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
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.paths import mkdir_and_join


@contextmanager
def staged(record_dir: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write a data set into; it becomes ``record_dir`` when the block ends well.

    Args:
        record_dir: Where the data set will be.
        overwrite: Replace a data set that is there.

    Raises:
        ConfigError: ``record_dir`` is no path, or a folder that can't be replaced as a whole.
        DataError: There is a data set and ``overwrite`` is not set, the folder holds other files,
            or it can't be written.
    """
    target = _target(record_dir)
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
        folder, lock = made_staging(target)
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    try:
        # It was made for its owner only.
        folder.chmod(0o777 & ~_umask())
        yield folder
        os.fsync(lock)
        _check_target(target, overwrite)
        put_in_place(folder, target, overwrite)
    finally:
        # After success nothing is left there, or the data set that was replaced.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _target(record_dir: str | Path) -> Path:
    """Return the folder behind links, or say why none can be put in its place."""
    said = f"record_dir {os.fspath(record_dir)!r}"
    try:
        os.stat(record_dir)
    except ValueError as error:
        raise ConfigError(f"{said} is no path: {error}.") from error
    except OSError as error:
        # What is only missing will be made, and what can't be made says so itself.
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise ConfigError(f"{said} can't be: {error.strerror}. Choose another.") from error
    target = Path(os.path.realpath(record_dir))
    why = ""
    if target in _working_folders():
        why = "is the working directory or a folder above it"
    elif _is_mount_point(target):
        why = "is a mount point"
    if why:
        raise ConfigError(
            f"{said} {why}; a data set's folder is replaced as a whole. Give a sub-folder, such as "
            f"{os.path.join(record_dir, 'data')!r}."
        )
    return target


def _working_folders() -> list[Path]:
    try:
        here = Path(os.path.realpath(os.getcwd()))
    except FileNotFoundError:
        return []  # it was removed
    return [here, *here.parents]


def _is_mount_point(folder: Path) -> bool:
    if os.path.ismount(folder):
        return True
    # A folder of the same disk that is mounted here, too, is told only by Linux's own table.
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as table:
        mounted = {line.split()[4] for line in table}
        # It writes what would break its lines in octal digits.
        escaped = re.sub(rb"[ \t\n\\]", lambda one: b"\\%03o" % ord(one[0]), os.fsencode(folder))
        return escaped in mounted
    return False


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder} can't be written: {error.strerror}. Choose another record_dir.")


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
    shards += [name + REPAIR_SUFFIX for name in shards]  # what a killed repair left
    return {MANIFEST_FILE, *(Path(name).parts[0] for name in shards)}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
