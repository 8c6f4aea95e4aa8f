"""Writes the damaged shards of a data set again from where its rows came from.

A shard is replaced only by bytes that have the checksum which the manifest states, so a repair
either gives back exactly what was written or changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.rows import RowReader
from reproducible_ml.datasets.serialize.encoder import Encoder
from reproducible_ml.datasets.serialize.manifest import MANIFEST_FILE, Manifest, read_manifest
from reproducible_ml.datasets.serialize.shard_writer import ShardWriter
from reproducible_ml.datasets.serialize.shards import write_rows
from reproducible_ml.datasets.serialize.verify import verify
from reproducible_ml.datasets.sources import Source, make_source
from reproducible_ml.utils.errors import DataError

_SUFFIX = ".repair"


def repair(record_dir: str | Path) -> list[str]:
    """Write the damaged and missing shards again.

    Args:
        record_dir: Folder of the data set.

    Returns:
        Names of the shards that were written; empty when there was nothing to do.

    Raises:
        DataError: The data set can't be repaired; the message says why, and nothing was changed.
    """
    folder = Path(record_dir)
    damaged = {defect.file for defect in verify(folder)}
    if not damaged:
        return []
    # Raises when the manifest itself was altered: then nothing says what the shards must be.
    manifest = read_manifest(folder)
    listed = [shard.file for split in manifest.splits.values() for shard in split.shards]
    wanted = [name for name in listed if name in damaged]
    if MANIFEST_FILE in damaged:
        raise DataError(
            f"{folder / MANIFEST_FILE} contradicts itself, so nothing says what its shards must "
            "be. Serialize the data set again."
        )
    if not wanted:
        names = ", ".join(sorted(damaged))
        raise DataError(f"{folder}: no shard is damaged, but {names}. Remove what is too many.")
    source = _source_of(manifest)
    written = [_write(manifest, source, name) for name in wanted]
    for temporary, path in written:
        os.replace(temporary, path)
    return wanted


def _source_of(manifest: Manifest) -> Source:
    name, arguments = manifest.source.get("name"), manifest.source.get("arguments")
    again = "Serialize the data set again."
    if not name or arguments is None or "digest" not in manifest.source:
        raise DataError(
            f"{manifest.record_dir} can't be repaired: its rows came from a rows_gen that the "
            f"manifest doesn't know. {again}"
        )
    source = make_source(str(name), **arguments)
    if source.digest() != manifest.source["digest"]:
        raise DataError(
            f"{manifest.record_dir} can't be repaired: the source {name} {arguments} holds other "
            f"data than when the data set was written. {again}"
        )
    handlers: dict[str, Any] = {
        key: handler.config() for key, handler in source.keys_to_handlers.items()
    }
    if handlers != manifest.handlers:
        raise DataError(
            f"{manifest.record_dir} can't be repaired: it was written with other handlers than "
            f"the source {name} brings. {again}"
        )
    return source


def _write(manifest: Manifest, source: Source, file: str) -> tuple[Path, Path]:
    """Write one shard beside its place; return both paths."""
    split, number, start = _place(manifest, file)
    shard = manifest.splits[split].shards[number]
    path = Path(manifest.record_dir) / file
    temporary = path.with_name(path.name + _SUFFIX)
    temporary.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = source.rows_gen(split)[start : start + shard.records]
    writer = ShardWriter(temporary, manifest.compression)
    try:
        write_rows(RowReader(rows), shard.records, Encoder(source.keys_to_handlers), writer)
        found = writer.shard()
        if (found.records, found.checksum) != (shard.records, shard.checksum):
            raise DataError(
                f"{path} can't be repaired: written again it has checksum {found.checksum}, the "
                f"manifest states {shard.checksum}. Another version of the library or of one it "
                f"uses wrote it (library {manifest.library_version}). Serialize the data set again."
            )
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary, path


def _place(manifest: Manifest, file: str) -> tuple[str, int, int]:
    """Return a shard's split, its number there, and the number of its first row."""
    for name, split in manifest.splits.items():
        start = 0
        for number, shard in enumerate(split.shards):
            if shard.file == file:
                return name, number, start
            start += shard.records
    raise DataError(f"{manifest.path} lists no shard {file}.")
