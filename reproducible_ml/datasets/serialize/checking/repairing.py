"""Repair of a data set: its damaged shards are written again from the source of the rows.

A shard is replaced only by bytes with the checksum that the manifest records, so a repair restores
exactly what was written.

Protocol. The bytes of a shard are first written beside it as ``<name>.repair`` and synced, then
renamed into place, and the folder is synced. Shards that are in the folder under another name
(renamed or exchanged) are put back first, which needs no source. Then all others are written, and
renamed only when all of them are complete. A killed repair leaves ``.repair`` files; the next one
uses those that are complete and removes the rest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.rows import RowReader
from reproducible_ml.datasets.serialize.checking.verification import (
    LAID_OUT_ANEW,
    Defect,
    is_intact,
    verify,
)
from reproducible_ml.datasets.serialize.encoding import Encoder
from reproducible_ml.datasets.serialize.manifest import (
    MANIFEST_FILE,
    REPAIR_SUFFIX,
    Manifest,
    Shard,
    read_manifest,
    write_manifest,
)
from reproducible_ml.datasets.serialize.shard import ShardWriter, write_rows
from reproducible_ml.datasets.sources import Source, reopen
from reproducible_ml.process import hold
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import sync


def repair(record_dir: str | Path) -> list[str]:
    """Restore the damaged and missing shards, and verify them.

    Args:
        record_dir: Folder of the data set.

    Returns:
        Names of the restored files; empty if there was nothing to do.

    Raises:
        DataError: Something can't be repaired; the message says why and what to do. Shards that
            were in the folder under another name are then back in place; nothing else was changed.
    """
    try:
        with hold(record_dir, "a repair"):
            return _repair(Path(record_dir))
    except OSError as error:
        raise DataError(f"{record_dir} can't be repaired: {error}") from error


def _repair(folder: Path) -> list[str]:
    # Raises if the manifest itself was altered: then nothing says what the shards must contain.
    manifest = read_manifest(folder)
    listed = {shard.file: shard for split in manifest.splits.values() for shard in split.shards}
    _drop_halves(folder, listed)
    defects = verify(folder)
    damaged = {defect.file for defect in defects}
    wanted = [name for name in listed if name in damaged]
    _check_manifest(folder, defects)
    for name in wanted:
        if (folder / name).is_dir():
            raise DataError(
                f"{folder / name} is a folder, expected a shard. Move it away, and run again: "
                f"reproducible-ml repair {folder}"
            )
    surplus = sorted(damaged - {*listed, MANIFEST_FILE})
    origins = _elsewhere(folder, [listed[name] for name in wanted], [*wanted, *surplus])
    _put_back(folder, origins)
    left = [name for name in wanted if name not in origins]
    if left:
        _write_again(folder, manifest, left)
    # Misnamed files go only now that their bytes are safe in their own place.
    for origin in set(origins.values()) & set(surplus):
        (folder / origin).unlink(missing_ok=True)
        surplus.remove(origin)
    if MANIFEST_FILE in damaged:
        write_manifest(manifest)
        wanted.append(MANIFEST_FILE)
    _check_result(folder, manifest, [listed[name] for name in wanted if name in listed], surplus)
    return wanted


def _check_manifest(folder: Path, defects: Iterable[Defect]) -> None:
    for defect in defects:
        if defect.file == MANIFEST_FILE and defect.found != LAID_OUT_ANEW:
            raise DataError(
                f"{folder / MANIFEST_FILE} contradicts itself ({defect.found}), so nothing says "
                "what the shards must contain. Restore it from a backup, or serialize the data set "
                "again."
            )


def _check_result(
    folder: Path, manifest: Manifest, shards: Iterable[Shard], surplus: Iterable[str]
) -> None:
    """Verify the restored shards, and name surplus files, which a repair does not remove."""
    for shard in shards:
        if not is_intact(folder / shard.file, shard):
            raise DataError(
                f"{folder / shard.file} was written again, but different bytes are read back. "
                "Check the disk, copy the data set to another one, and repair it there."
            )
    if surplus:
        raise DataError(
            f"{folder}: all {len(_names(manifest))} shards are as they were written, but there is "
            f"also {', '.join(surplus)}, not listed in the manifest. Move it away."
        )


def _names(manifest: Manifest) -> list[str]:
    return [shard.file for split in manifest.splits.values() for shard in split.shards]


def _temporary(folder: Path, name: str) -> Path:
    path = folder / name
    return path.with_name(path.name + REPAIR_SUFFIX)


def _drop_halves(folder: Path, listed: dict[str, Shard]) -> None:
    """Remove files of a killed repair that are incomplete or no longer needed."""
    for name, shard in listed.items():
        temporary = _temporary(folder, name)
        if temporary.exists() and (
            not is_intact(temporary, shard) or is_intact(folder / name, shard)
        ):
            temporary.unlink()


def _elsewhere(folder: Path, wanted: Iterable[Shard], names: Iterable[str]) -> dict[str, str]:
    """Find the bytes of shards in other files: name of the shard -> name of the file."""
    found = {}
    for shard in wanted:
        temporary = _temporary(folder, shard.file).relative_to(folder).as_posix()
        for name in (temporary, *names):
            if is_intact(folder / name, shard):
                found[shard.file] = name
                break
    return found


def _put_back(folder: Path, origins: dict[str, str]) -> None:
    """Restore shards whose bytes are in the folder under another name; two may be exchanged."""
    made: list[Path] = []
    try:
        for name, origin in origins.items():
            temporary, source = _temporary(folder, name), folder / origin
            if temporary == source:
                continue
            made.append(temporary)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, temporary)
            except OSError:  # the file system has no hard links
                shutil.copyfile(source, temporary)
                sync(temporary)
    except BaseException:
        _remove(made)
        raise
    # From here on a temporary file may be the only copy of its bytes, so none is removed.
    _replace(folder, origins)


def _write_again(folder: Path, manifest: Manifest, names: Iterable[str]) -> None:
    """Write shards from their source, and move them into place when all are complete."""
    source = _source_of(manifest)
    made: list[Path] = []
    try:
        for name in names:
            made.append(_temporary(folder, name))
            _write(manifest, source, name, made[-1])
        _replace(folder, names)
    except BaseException:
        _remove(made)
        raise


def _replace(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        os.replace(_temporary(folder, name), folder / name)
    for parent in {(folder / name).parent for name in names}:
        sync(parent)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        # The original error matters more to the caller than a file that is left behind.
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _source_of(manifest: Manifest) -> Source:
    name, arguments = manifest.source.get("name"), manifest.source.get("arguments")
    again = "Serialize the data set again."
    if not name or arguments is None or "digest" not in manifest.source:
        raise DataError(
            f"{manifest.record_dir} can't be repaired: its rows came from a rows_gen, which the "
            f"manifest does not record. {again}"
        )
    source = reopen(manifest.source, manifest.record_dir)
    if source.digest() != manifest.source["digest"]:
        raise DataError(
            f"{manifest.record_dir} can't be repaired: the data of the source {name} {arguments} "
            f"have changed since the data set was written. {again}"
        )
    handlers = {key: handler.config() for key, handler in source.keys_to_handlers.items()}
    if _stored(handlers) != _stored(manifest.handlers):
        raise DataError(
            f"{manifest.record_dir} can't be repaired: it was written with other handlers than "
            f"those of the source {name}. {again}"
        )
    return source


def _stored(handlers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the bytes of the records depend on: all but the value ranges."""
    return {
        key: {name: value for name, value in one.items() if name != "value_range"}
        for key, one in handlers.items()
    }


def _write(manifest: Manifest, source: Source, file: str, temporary: Path) -> None:
    """Write one shard to a temporary file beside its place, and check the result."""
    split, number, start = _place(manifest, file)
    shard = manifest.splits[split].shards[number]
    path = Path(manifest.record_dir) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = source.rows_gen(split)[start : start + shard.records]
    writer = ShardWriter(temporary, manifest.compression)
    # Whatever was written is restored, even values that are refused today.
    encoder = Encoder(source.keys_to_handlers, watched=False)
    write_rows(RowReader(rows), shard.records, encoder, writer)
    found = writer.shard()
    if (found.records, found.checksum) != (shard.records, shard.checksum):
        raise DataError(
            f"{path} can't be repaired: written again it has checksum {found.checksum}, expected "
            f"{shard.checksum}. It was written by another version of this library "
            f"({manifest.library_version}) or of one that it uses. Serialize the data set again."
        )


def _place(manifest: Manifest, file: str) -> tuple[str, int, int]:
    """Return a shard's split, its index in the split, and the index of its first row."""
    for name, split in manifest.splits.items():
        start = 0
        for number, shard in enumerate(split.shards):
            if shard.file == file:
                return name, number, start
            start += shard.records
    raise DataError(f"{manifest.path} lists no shard {file}.")
