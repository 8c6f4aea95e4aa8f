"""A ZIP file of which every byte is covered by a digest.

``pack.json``, the last entry, lists size and SHA-256 of each other one, so a damaged or exchanged
file is named. The archive's comment is the SHA-256 of all bytes before it, which covers what ZIP
itself does not: names, dates, the directory. Whoever changes a file on purpose can make both anew:
they show damage, and not who wrote the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import replacing
from reproducible_ml.utils.text import cut, size

LISTING = "pack.json"
_MARK = b"sha256:"
_COMMENT_BYTES = len(_MARK) + 64
_BLOCK_BYTES = 1 << 20
_FORM = 1
_MOST_LISTING_BYTES = 256 << 20
# What reading a damaged archive raises.
_DAMAGED = (
    zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error,
    struct.error, OverflowError,
)  # fmt: skip
# All entries have it, so that equal contents give equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_COMPRESSED = (".png", ".jpg", ".npz", ".gz", ".whl", ".zip", ".parquet")


class ArchiveDamaged(DataError):
    """A packed run is not what was written; the message names what differs."""


def write_archive(path: Path, folder: Path, facts: Mapping[str, Any]) -> int:
    """Write every file of a folder, and what is to be known of them.

    Args:
        path: The archive; it appears when it is complete.
        folder: Its contents. Links are followed.
        facts: Further values of ``pack.json``.

    Returns:
        The number of files.
    """
    files: dict[str, list[Any]] = {}
    with replacing(path, synced=True) as file:
        with zipfile.ZipFile(file, "w") as archive:
            for source in _files(folder):
                name = source.relative_to(folder).as_posix()
                files[name] = _put(archive, name, source)
            text = json.dumps({"form": _FORM, **facts, "files": files}, indent=1)
            archive.writestr(_entry(LISTING), text)
            archive.comment = _MARK + b"0" * 64
        file.flush()
        file.seek(-64, os.SEEK_END)
        end = file.tell()
        digest = _digest_of(Path(file.name), end - len(_MARK))
        file.seek(end)
        file.write(digest.encode())
    return len(files)


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.create_system = 3
    if not name.endswith(_COMPRESSED):
        entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _put(archive: zipfile.ZipFile, name: str, source: Path) -> list[Any]:
    digest, count = hashlib.sha256(), 0
    with source.open("rb") as read, archive.open(_entry(name), "w", force_zip64=True) as written:
        while block := read.read(_BLOCK_BYTES):
            digest.update(block)
            count += len(block)
            written.write(block)
    return [count, digest.hexdigest()]


def _digest_of(path: Path, count: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while count and (block := file.read(min(count, _BLOCK_BYTES))):
            digest.update(block)
            count -= len(block)
    return digest.hexdigest()


def check_archive(path: Path) -> dict[str, Any]:
    """Read a whole archive and compare it with its digests.

    Args:
        path: The archive.

    Returns:
        What ``pack.json`` holds.

    Raises:
        ArchiveDamaged: It isn't what was written; the message names the first file that differs.
    """
    with _reading(path) as (archive, listing):
        for name in listing["files"]:
            for _ in _blocks(path, archive, name, listing["files"]):
                pass
    return listing


def extract_archive(path: Path, folder: Path) -> dict[str, Any]:
    """Put the files of an archive out, and compare each with its digest.

    Args:
        path: The archive.
        folder: An empty folder, out of which nothing leads.

    Returns:
        What ``pack.json`` holds.

    Raises:
        ArchiveDamaged: It isn't what was written; the message names the first file that differs.
        DataError: The disk has no room for it.
    """
    with _reading(path) as (archive, listing):
        needed = sum(count for count, _ in listing["files"].values())
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise DataError(
                f"{path} holds {size(needed)}, and {folder} has room for {size(free)}. Name a "
                "folder with more: --keep DIR."
            )
        for name in listing["files"]:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                for block in _blocks(path, archive, name, listing["files"]):
                    file.write(block)
    return listing


@contextmanager
def _reading(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """Open an archive whose directory is sound; afterwards compare all of its bytes."""
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise ArchiveDamaged(
            f"{path} can't be read as a packed run: its directory is damaged, or it is cut short "
            f"({error}). Take another copy of it."
        ) from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}.") from error
    with archive:
        yield archive, _listing(path, archive)
    covered = path.stat().st_size - _COMMENT_BYTES
    if archive.comment != _MARK + _digest_of(path, covered).encode():
        # Each file is as it was listed, so it is what holds them together.
        raise ArchiveDamaged(
            f"{path} was changed after it was written, though not in the contents of its files: a "
            "header, its directory or the digest at its end is damaged. Take another copy of it."
        )


def _listing(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    names = [entry.filename for entry in archive.infolist()]
    if LISTING not in names or len(archive.comment) != _COMMENT_BYTES:
        raise ArchiveDamaged(
            f"{path} is not a packed run: it has no {LISTING} or no digest. Write one with "
            "reproducible-ml pack ID."
        )
    try:
        if archive.getinfo(LISTING).file_size > _MOST_LISTING_BYTES:
            raise ValueError("too large")
        listing: dict[str, Any] = json.loads(archive.read(LISTING))
        form, files = listing["form"], listing["files"]
        known = all(
            isinstance(name, str) and type(count) is int and isinstance(digest, str)
            for name, (count, digest) in files.items()
        )
        if not known or not isinstance(form, int):
            raise TypeError("not as written")
    except (*_DAMAGED, OSError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveDamaged(
            f"{LISTING} of {path} is damaged ({error}). Take another copy of it."
        ) from error
    if form != _FORM:
        raise DataError(
            f"{path} has form {form}, and this version reads {_FORM}. Install a newer one."
        )
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
            raise ArchiveDamaged(f"{path} lists {cut(name, 80)!r}, which leads out of its folder.")
    missing = sorted({*files, LISTING} - set(names))
    extra = sorted(set(names) - {*files, LISTING})
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    for found, what in ((missing, "lacks"), (extra, "has an unlisted"), (twice, "has twice")):
        if found:
            raise ArchiveDamaged(f"{path} {what} {cut(found[0], 80)!r}. Take another copy of it.")
    return listing


def _blocks(
    path: Path, archive: zipfile.ZipFile, name: str, files: Mapping[str, Any]
) -> Iterator[bytes]:
    """Yield a file's blocks; its end raises if they are not the listed ones."""
    count, wanted = files[name]
    digest, left = hashlib.sha256(), count
    try:
        with archive.open(name) as file:
            while block := file.read(min(_BLOCK_BYTES, left + 1)):
                left -= len(block)
                if left < 0:
                    break
                digest.update(block)
                yield block
    except (*_DAMAGED, OSError) as error:
        raise ArchiveDamaged(
            f"{name} in {path} is damaged ({error}). Take another copy."
        ) from error
    if left or digest.hexdigest() != wanted:
        raise ArchiveDamaged(
            f"{name} in {path} is damaged: its SHA-256 is not the listed one. Take another copy."
        )
