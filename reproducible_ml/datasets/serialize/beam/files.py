"""Where a pipeline writes: a folder that all workers see, or an address of Beam's file systems.

Protocol. A worker writes a shard under another name, gives it its own, and then does the same with
a note beside it: what the shard is, and what the split's digest is made over. When the pipeline has
ended, the notes are read, each shard's size is compared with its note, the notes are removed, and
the manifest makes the data set exist. A folder is a staged one (``staging``). An address has no
rename of folders, so a pipeline that died leaves shards and notes there: they are removed at the
next start, and what is not known to be such a leftover is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems

from reproducible_ml.datasets.serialize.manifest import MANIFEST_FILE, SPLITS, Shard, Split
from reproducible_ml.datasets.serialize.publishing import staged
from reproducible_ml.datasets.serialize.shard import ShardPlan
from reproducible_ml.utils.errors import ConfigError, DataError

NOTE = ".note"
PART = ".part-"
_PLAIN = "uncompressed"


def is_address(folder: str) -> bool:
    """Say whether this is an address of Beam's file systems, such as ``gs://bucket/mnist``."""
    return "://" in folder


@contextmanager
def destination(record_dir: str | Path, overwrite: bool, record_pattern: str) -> Iterator[str]:
    """Give the folder or address to write into, without leftovers of earlier writers.

    Args:
        record_dir: Where the data set will be.
        overwrite: Replace a data set in a folder; at an address there must be none.
        record_pattern: Tells shards of a dead pipeline from other files.

    Raises:
        ConfigError: Beam has no file system for the address.
        DataError: There is a data set, or something else, or the place can't be written.
    """
    if is_address(str(record_dir)):
        address = str(record_dir).rstrip("/")
        _vacate(address, overwrite, record_pattern)
        yield address
        return
    with staged(record_dir, overwrite) as folder:
        yield str(folder)


def publish(content: Any, target: str) -> None:
    """Write a file so that it is whole as soon as it has its name.

    Args:
        content: Bytes, or an open binary file.
        target: Its path or address; a file that is there is replaced.
    """
    part = f"{target}{PART}{uuid.uuid4().hex}"
    with FileSystems.create(part, compression_type=_PLAIN) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            shutil.copyfileobj(content, file, 1 << 20)
    if not is_address(target):
        os.replace(part, target)
        return
    try:
        FileSystems.rename([part], [target])
    except OSError:
        # HDFS, for one, renames onto no file: a bundle that is tried again finds its own.
        if not FileSystems.exists(target):
            raise
        FileSystems.delete([target])
        FileSystems.rename([part], [target])


def publish_manifest(folder: str, text: str) -> None:
    """Let a data set exist at an address.

    Raises:
        DataError: Another pipeline was faster.
    """
    _check_free(folder)
    publish(text.encode("utf-8"), f"{folder}/{MANIFEST_FILE}")


def note_of(shard: Shard, content: bytes) -> bytes:
    """Make the note of a shard.

    Args:
        shard: What it is.
        content: Its part of what the split's content digest is made over.
    """
    described = {
        "file": shard.file,
        "records": shard.records,
        "bytes": shard.bytes,
        "checksum": shard.checksum,
    }
    return json.dumps(described).encode("utf-8") + b"\n" + content


def collected(folder: str, plans: Sequence[ShardPlan]) -> Split:
    """Put together what the workers noted of a split's shards.

    Raises:
        DataError: A shard or its note is not there, or the shard is not what the note says.
    """
    content, shards = hashlib.sha256(), []
    sizes = _sizes(folder, [name for plan in plans for name in (plan.file, plan.file + NOTE)])
    for plan in plans:
        if plan.file not in sizes or plan.file + NOTE not in sizes:
            raise DataError(
                f"{folder}/{plan.file} was not written, although the pipeline ended well: do all "
                "workers reach record_dir?"
            )
        with FileSystems.open(f"{folder}/{plan.file}{NOTE}", compression_type=_PLAIN) as file:
            described, _, digested = file.read().partition(b"\n")
        shard = Shard(**json.loads(described))
        if sizes[plan.file] != shard.bytes:
            raise DataError(
                f"{folder}/{plan.file} has {sizes[plan.file]} bytes, but its worker wrote "
                f"{shard.bytes}: does another pipeline write there?"
            )
        shards.append(shard)
        content.update(digested)
    return Split(plans[-1].stop, tuple(shards), content.hexdigest())


def clean(folder: str) -> None:
    """Remove the notes, and what workers left that were stopped on the way."""
    if is_address(folder):
        _delete(folder, [name for name in _listing(folder) if name.endswith(NOTE) or PART in name])
        return
    for path in Path(folder).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name.endswith(NOTE) or PART in path.name:
            path.unlink()


def _vacate(address: str, overwrite: bool, record_pattern: str) -> None:
    """Refuse an address that is in use, and remove what a dead pipeline left there."""
    try:
        FileSystems.get_filesystem(address)
    except ValueError as error:
        raise ConfigError(f"{address} can't be written: {error}") from error
    _check_free(address, " Addresses can't be overwritten as a whole." if overwrite else "")
    if not FileSystems.exists(address):
        FileSystems.mkdirs(address)
    names = _listing(address).keys()
    left = [name for name in names if _is_leftover(name, names, record_pattern)]
    strangers = sorted(set(names) - set(left))
    if strangers:
        raise DataError(
            f"{address} holds files but no data set ({MANIFEST_FILE} is missing): "
            f"{', '.join(strangers[:5])}. Choose another record_dir, or remove them."
        )
    # Notes last: they tell a later start what the shard beside them is.
    _delete(address, sorted(left, key=lambda name: name.endswith(NOTE)))


def _check_free(address: str, hint: str = "") -> None:
    if FileSystems.exists(f"{address}/{MANIFEST_FILE}"):
        raise DataError(
            f"{address} holds a data set already. Choose another record_dir, or remove it.{hint}"
        )


def _is_leftover(name: str, names: Collection[str], record_pattern: str) -> bool:
    if name.endswith(NOTE) or PART in name or name + NOTE in names:
        return True
    # Any of the numbers in it may be the index.
    numbers = map(int, re.findall("[0-9]+", name))
    return any(name == record_pattern.format(split, index) for index in numbers for split in SPLITS)


def _delete(address: str, names: Sequence[str]) -> None:
    if names:
        FileSystems.delete([f"{address}/{name}" for name in names])


def _sizes(folder: str, names: Sequence[str]) -> dict[str, int]:
    """Give the sizes in bytes of those of the files that are there."""
    if is_address(folder):
        return _listing(folder)
    # One by one: NFS may go on listing what it listed before, but looks a name up anew.
    paths = {name: os.path.join(folder, name) for name in names}
    return {name: os.path.getsize(path) for name, path in paths.items() if os.path.isfile(path)}


def _listing(address: str) -> dict[str, int]:
    """Give the names of all files at an address with their sizes in bytes."""
    found = FileSystems.match([f"{address}/*"])[0].metadata_list
    sizes = {one.path.rpartition("/")[2]: one.size_in_bytes for one in found}
    # Stores without folders may keep an empty object with the folder's own name.
    sizes.pop("", None)
    return sizes
