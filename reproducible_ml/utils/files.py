"""Files on the disk: replaced as a whole, copied, synced, hashed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from reproducible_ml.utils.paths import PathLike

_BLOCK_BYTES = 1 << 20


class NotAFile(OSError):
    """Something else than a file, or a link to somewhere else."""


def open_file(path: PathLike, root: PathLike | None = None) -> BinaryIO:
    """Open a regular file for reading; nothing else, and without waiting for a writer.

    Args:
        path: The file.
        root: A folder that a link must not lead out of; None allows links to anywhere.

    Raises:
        FileNotFoundError: There is no such file.
        NotAFile: It is a folder, a pipe, a device or a link out of the root.
        OSError: It can't be opened.
    """
    try:
        if root is not None and os.path.islink(path):
            real = os.path.realpath(path)
            if os.path.commonpath([real, os.path.realpath(root)]) != os.path.realpath(root):
                raise NotAFile(errno.EINVAL, f"is a link that leads out of {root}", str(path))
            path = real
        # A pipe without a writer would wait for one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL character, or half a surrogate pair
        raise FileNotFoundError(errno.ENOENT, str(error), str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile(errno.EINVAL, "is not a file", str(path))
    return open(descriptor, "rb")


@contextmanager
def replacing(path: Path, synced: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of ``path`` when the block ends without an error.

    It is written beside its place and renamed into it, so a reader, a kill or a full disk never
    meets or leaves half a file.

    Args:
        path: The file; its folder exists.
        synced: Wait for the disk before the rename: then a power failure leaves one of the two
            files, too, and not an empty one.
    """
    # A name of its own: several processes may replace one file at once, and the last one wins.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            if synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_json(path: Path, value: Any, indent: int = 2, sort_keys: bool = True) -> None:
    """Replace a JSON file as a whole."""
    # Made first: a value that JSON can't hold then leaves no trace.
    text = json.dumps(value, sort_keys=sort_keys, indent=indent)
    with replacing(path) as file:
        file.write(text.encode("ascii"))


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that ``target`` is never half written."""
    with open(source, "rb") as read, replacing(target) as write:
        shutil.copyfileobj(read, write, _BLOCK_BYTES)


def sync(path: PathLike) -> None:
    """Wait until the disk holds a file's content, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hashed(path: PathLike, digest: hashlib._Hash) -> str:
    """Feed a file to a hash of hashlib, a block at a time, and return its hexadecimal digits."""
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def md5_of(path: PathLike) -> str:
    """Return the MD5 of a file, by which Sacred names sources and resources."""
    return hashed(path, hashlib.md5(usedforsecurity=False))
