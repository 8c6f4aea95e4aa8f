"""Checks of a data set when it is opened, before the first step.

tf.data does not notice if a shard was truncated between two records, replaced by an empty file,
removed or added. The manifest lists each shard's size and checksum, so all of this is an error
here. The fingerprint is recomputed from the manifest's content digests, which costs next to
nothing.

Every byte is read once. The result is remembered until one of the shards changes, see ``checked``.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import string
from typing import TYPE_CHECKING

from reproducible_ml.datasets.serialize import compute_fingerprint
from reproducible_ml.input_fn import checked
from reproducible_ml.input_fn.shards import shard_paths
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.progress import Progress

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize import Manifest

CHECKS = ("auto", "full", "size")
# A piece of this size is still in a core's cache when its checksum is computed.
_PIECE_BYTES = 1 << 20
# A check that takes longer shows its progress.
_BAR_SECONDS = 2.0


def check_shards(manifest: Manifest, split: str, check: str = "auto") -> None:
    """Compare a split's shards with the manifest.

    Args:
        manifest: The data set's manifest.
        split: Which split.
        check: "auto" reads every byte and compares the checksums, unless this was done before and
            no shard has changed since. "full" reads every byte each time, which also finds data
            that the disk itself has lost. "size" compares names and sizes only: a damaged record
            is then found when it is read, and swapped shards of equal size go unnoticed.

    Raises:
        ConfigError: If ``check`` is unknown or the data set has no such split.
        DataError: If a shard is missing, damaged, surplus or has the wrong size, or the manifest
            contradicts itself.
    """
    if check not in CHECKS:
        raise ConfigError(f"check is {check!r}, expected one of {', '.join(CHECKS)}")
    if split not in manifest.splits:
        raise ConfigError(
            f"{manifest.record_dir} has no split {split!r}; it has {', '.join(manifest.splits)}"
        )
    _check_manifest(manifest, split)
    _check_sizes(manifest, split)
    if check == "size":
        return
    # Taken before the shards are read: a change during the check must not pass as checked.
    found = checked.stamp(manifest, split)
    if check == "full" or not checked.is_known(manifest, split, found):
        _check_checksums(manifest, split)
        checked.remember(manifest, split, found)


def surplus_shards(manifest: Manifest) -> list[str]:
    """List files that are named like this data set's shards but are not in its manifest."""
    listed = {shard.file for split in manifest.splits.values() for shard in split.shards}
    # A placeholder matches anything; the rest of the pattern is literal, even brackets.
    parts = [
        (glob.escape(text), "" if field is None else "*")
        for text, field, _, _ in string.Formatter().parse(manifest.record_pattern)
    ]
    pattern = "".join(text + anything for text, anything in parts)
    folder = os.path.dirname(next(iter(sorted(listed)), ""))
    try:
        names = os.listdir(os.path.join(str(manifest.record_dir), folder))
    except OSError:
        return []
    found = (os.path.join(folder, name) for name in sorted(names))
    return [name for name in found if fnmatch.fnmatchcase(name, pattern) and name not in listed]


def file_checksum(path: str) -> str:
    """Compute the CRC-32C of a file's bytes as 8 hexadecimal digits.

    Raises:
        DataError: If the file cannot be read.
    """
    from crc32c import crc32c

    found, piece = 0, bytearray(_PIECE_BYTES)
    try:
        # Read rather than mapped: a bad disk then raises an error instead of killing the process.
        with open(path, "rb", buffering=0) as file:
            while length := file.readinto(piece):
                found = crc32c(memoryview(piece)[:length], found)
    except OSError as error:
        raise DataError(f"shard {path} can't be read: {error}") from error
    return f"{found:08x}"


def _check_manifest(manifest: Manifest, split: str) -> None:
    content = manifest.splits[split]
    counted = sum(shard.records for shard in content.shards)
    if counted != content.records:
        raise DataError(
            f"{manifest.path}: the shards of split {split!r} have {counted} records, but the split "
            f"lists {content.records}; serialize the data set again"
        )
    if content.records == 0:
        raise DataError(f"{manifest.path}: split {split!r} holds no records")
    splits = {name: (split.records, split.content) for name, split in manifest.splits.items()}
    fingerprint = compute_fingerprint(manifest.features, splits)
    if fingerprint != manifest.fingerprint:
        raise DataError(
            f"{manifest.path}: the fingerprint is {manifest.fingerprint}, but that of the content "
            f"is {fingerprint}; serialize the data set again"
        )


def _check_sizes(manifest: Manifest, split: str) -> None:
    for path, shard in zip(shard_paths(manifest, split), manifest.splits[split].shards):
        try:
            found = os.stat(path).st_size
        except FileNotFoundError:
            raise DataError(f"shard {path} is missing; {_hint(manifest)}") from None
        except OSError as error:
            raise DataError(f"shard {path} can't be read: {error}") from error
        if found != shard.bytes:
            raise DataError(
                f"shard {path} has {found} bytes, expected {shard.bytes}; {_hint(manifest)}"
            )
    for name in surplus_shards(manifest):
        raise DataError(
            f"{os.path.join(str(manifest.record_dir), name)} is named like a shard but is not "
            f"listed in the manifest; {_hint(manifest)}"
        )


def _check_checksums(manifest: Manifest, split: str) -> None:
    content = manifest.splits[split]
    with Progress(content.records, "checked", _BAR_SECONDS) as bar:
        for path, shard in zip(shard_paths(manifest, split), content.shards):
            checksum = file_checksum(path)
            if checksum != shard.checksum:
                raise DataError(
                    f"shard {path} is damaged: its checksum is {checksum}, expected "
                    f"{shard.checksum}; {_hint(manifest)}"
                )
            bar.advance(shard.records)


def _hint(manifest: Manifest) -> str:
    return f"run: reproducible-ml verify {manifest.record_dir}"
