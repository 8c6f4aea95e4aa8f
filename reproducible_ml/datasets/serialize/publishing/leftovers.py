"""Staging folders of writers, and removal of those that killed writers left.

The name of a staging folder contains the host and the process of its writer, which holds a lock on
the folder (``flock``) until it ends in whatever way. A host removes only its own leftovers, because
on some network file systems locks are visible within one host only. On file systems without locks
the process number decides.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

_STAGING = ".staging-"
_BEFORE = ".before"
# Prefix and suffix must still fit into a file name of 255 bytes.
_LONGEST_NAME_BYTES = 150
_LONGEST_HOST = 32
# The errors of file systems without flock; EBADF comes from NFS, where folders can't be locked.
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EBADF}


def made_staging(target: Path) -> tuple[Path, int]:
    """Create and lock a folder beside the target, for a data set to be written into.

    Returns:
        The folder, and a descriptor of it that holds the lock.

    Raises:
        OSError: The folder can't be created.
    """
    while True:
        prefix = f".{_stem(target)}{_STAGING}{_host()}-{os.getpid()}-"
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        lock = os.open(folder, os.O_RDONLY)
        try:
            _locked(lock)
            # Before we had the lock, another writer may have removed the folder as a leftover.
            if os.path.samestat(os.fstat(lock), os.stat(folder)):
                return folder, lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def folder_before(target: Path) -> Path:
    """Return where the old data set is kept while it is replaced in two steps."""
    return target.with_name(f".{_stem(target)}{_BEFORE}")


def clean_leftovers(target: Path) -> None:
    """Remove what killed writers left beside a data set, and undo a half-done replacement."""
    before = folder_before(target)
    if before.exists():
        # Without a target the writer died between the two renames.
        if not target.exists():
            os.rename(before, target)
        else:
            shutil.rmtree(before, ignore_errors=True)
    prefix = f".{_stem(target)}{_STAGING}"
    for folder in target.parent.glob(f"{glob.escape(prefix)}*"):
        host, process = _writer_of(folder.name[len(prefix) :])
        if host == _host():
            _remove_if_dead(folder, process)


def _writer_of(suffix: str) -> tuple[str, str]:
    parts = suffix.split("-")
    # Names by version 1.0.0 have the random part only.
    return (parts[0], parts[1]) if len(parts) == 3 else (_host(), "")


def _remove_if_dead(folder: Path, process: str) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        dead = _locked(lock, fcntl.LOCK_NB)
        if dead is None:
            dead = process.isdigit() and not _runs(int(process))
        if dead:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _locked(file: int, option: int = 0) -> bool | None:
    """Lock a folder; False if another process holds the lock, None if locks are unsupported."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | option)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _stem(target: Path) -> str:
    name = os.fsencode(target.name)
    return target.name if len(name) <= _LONGEST_NAME_BYTES else hashlib.sha256(name).hexdigest()


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:_LONGEST_HOST] or "host"
