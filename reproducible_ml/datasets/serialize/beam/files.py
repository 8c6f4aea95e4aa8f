"""The files of a pipeline, in a folder shared by all workers or in one of Beam's file systems.

Protocol. A worker writes a shard under a temporary name and renames it, then does the same with a
note beside it. The note holds the shard's entry in the manifest and its part of the input of the
split's digest. When the pipeline has ended, the notes are read, each shard's size is compared with
its note, the notes are removed, and the manifest makes the data set exist. A folder is staged (see
``staging``). At an address folders can't be renamed, so a dead pipeline leaves shards and notes
there. The next start removes them, and refuses the address if it finds any other file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems

from reproducible_ml.datasets.serialize.encoding import joined
from reproducible_ml.datasets.serialize.manifest import MANIFEST_FILE, SPLITS, Shard, Split
from reproducible_ml.datasets.serialize.publishing import staged
from reproducible_ml.datasets.serialize.shard import ShardPlan
from reproducible_ml.handlers import ValueSpan
from reproducible_ml.utils.errors import ConfigError, DataError

NOTE = ".note"
PART = ".part-"
_PLAIN = "uncompressed"


def is_address(folder: str) -> bool:
    """Return whether this is an address of Beam's file systems, such as ``gs://bucket/mnist``."""
    return "://" in folder


@contextmanager
def destination(record_dir: str | Path, overwrite: bool, record_pattern: str) -> Iterator[str]:
    """Yield the folder or address to write into, without leftovers of earlier writers.

    Args:
        record_dir: Folder or address of the data set.
        overwrite: Replace a data set in a folder; a data set at an address can't be replaced.
        record_pattern: Distinguishes shards of a dead pipeline from other files.

    Raises:
        ConfigError: Beam has no file system for the address.
        DataError: There is a data set, there are other files, or the place can't be written.
    """
    if is_address(str(record_dir)):
        address = str(record_dir).rstrip("/")
        _vacate(address, overwrite, record_pattern)
        yield address
        return
    with staged(record_dir, overwrite) as folder:
        yield str(folder)


def publish(content: Any, target: str) -> None:
    """Write a file that is complete as soon as it appears under its name.

    Args:
        content: Bytes, or an open binary file.
        target: Path or address of the file; an existing one is replaced.
    """
    # A random name, since two workers may write the same file at once.
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
        # HDFS, for one, never renames onto a file; here, a retried bundle finds its first result.
        if not FileSystems.exists(target):
            raise
        FileSystems.delete([target])
        FileSystems.rename([part], [target])


def publish_manifest(folder: str, text: str) -> None:
    """Write the manifest that makes a data set exist at an address.

    Raises:
        DataError: Another pipeline was faster.
    """
    _check_free(folder)
    publish(text.encode("utf-8"), f"{folder}/{MANIFEST_FILE}")


def note_of(shard: Shard, content: bytes, spans: Mapping[str, ValueSpan]) -> bytes:
    """Return the content of a shard's note.

    Args:
        shard: The shard's entry in the manifest.
        content: Its part of the input of the split's content digest.
        spans: Least and largest value by feature.
    """
    described: dict[str, Any] = {
        "file": shard.file,
        "records": shard.records,
        "bytes": shard.bytes,
        "checksum": shard.checksum,
        "spans": {key: [span.minimum, span.maximum] for key, span in spans.items()},
    }
    return json.dumps(described).encode("utf-8") + b"\n" + content


def collected(folder: str, plans: Sequence[ShardPlan]) -> tuple[Split, dict[str, ValueSpan]]:
    """Combine the workers' notes on the shards of a split, and the spans of its values.

    Raises:
        DataError: A shard or its note is missing, or they differ in size.
    """
    content, shards, spans = hashlib.sha256(), [], []
    sizes = _sizes(folder, [name for plan in plans for name in (plan.file, plan.file + NOTE)])
    for plan in plans:
        if plan.file not in sizes or plan.file + NOTE not in sizes:
            raise DataError(
                f"{folder}/{plan.file} was not written, although the pipeline succeeded: can all "
                "workers reach record_dir?"
            )
        with FileSystems.open(f"{folder}/{plan.file}{NOTE}", compression_type=_PLAIN) as file:
            described, _, digested = file.read().partition(b"\n")
        values = json.loads(described)
        spans.append({key: ValueSpan(*ends) for key, ends in values.pop("spans").items()})
        shard = Shard(**values)
        if sizes[plan.file] != shard.bytes:
            raise DataError(
                f"{folder}/{plan.file} has {sizes[plan.file]} bytes, but its worker wrote "
                f"{shard.bytes}: is another pipeline writing there?"
            )
        shards.append(shard)
        content.update(digested)
    return Split(plans[-1].stop, tuple(shards), content.hexdigest()), joined(spans)


def clean(folder: str) -> None:
    """Remove the notes, and temporary files of workers that were interrupted."""
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
    _check_free(address, " A data set at an address can't be overwritten." if overwrite else "")
    if not FileSystems.exists(address):
        FileSystems.mkdirs(address)
    names = _listing(address).keys()
    left = [name for name in names if _is_leftover(name, names, record_pattern)]
    strangers = sorted(set(names) - set(left))
    if strangers:
        raise DataError(
            f"{address} holds files but no data set ({MANIFEST_FILE} is missing): "
            f"{', '.join(strangers[:5])}. Choose another record_dir, or remove the files."
        )
    # Notes last: they identify the shards beside them, should this start die, too.
    _delete(address, sorted(left, key=lambda name: name.endswith(NOTE)))


def _check_free(address: str, hint: str = "") -> None:
    if FileSystems.exists(f"{address}/{MANIFEST_FILE}"):
        raise DataError(
            f"{address} already holds a data set. Choose another record_dir, or remove it.{hint}"
        )


def _is_leftover(name: str, names: Collection[str], record_pattern: str) -> bool:
    if name.endswith(NOTE) or PART in name or name + NOTE in names:
        return True
    # The pattern may contain other numbers, so each number in the name is tried as the index.
    numbers = map(int, re.findall("[0-9]+", name))
    return any(name == record_pattern.format(split, index) for index in numbers for split in SPLITS)


def _delete(address: str, names: Sequence[str]) -> None:
    if names:
        FileSystems.delete([f"{address}/{name}" for name in names])


def _sizes(folder: str, names: Sequence[str]) -> dict[str, int]:
    """Return the sizes in bytes of those files that exist."""
    if is_address(folder):
        return _listing(folder)
    # One by one: NFS may return an old listing of a folder, but looks a name up again.
    paths = {name: os.path.join(folder, name) for name in names}
    return {name: os.path.getsize(path) for name, path in paths.items() if os.path.isfile(path)}


def _listing(address: str) -> dict[str, int]:
    """Return the names of all files at an address with their sizes in bytes."""
    found = FileSystems.match([f"{address}/*"])[0].metadata_list
    sizes = {one.path.rpartition("/")[2]: one.size_in_bytes for one in found}
    # Stores without folders may represent the folder by an empty object.
    sizes.pop("", None)
    return sizes
