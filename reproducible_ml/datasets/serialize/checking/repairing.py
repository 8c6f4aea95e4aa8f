"""Writes the damaged shards of a data set again from where its rows came from.

A shard is replaced only by bytes that have the checksum which the manifest states, so a repair
gives back exactly what was written.

Protocol. A shard's bytes are first made beside it as ``<name>.repair`` and synced, then renamed
into its place, and the folder is synced. What lies in the folder under another name (renamed or
exchanged shards) is put back first, which needs no source; then all others are written, and only
when all of them are there they are renamed. A killed repair leaves ``.repair`` files: the next one
uses those that are whole and removes the rest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
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
from reproducible_ml.datasets.sources import Source, make_source
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import sync


def repair(record_dir: str | Path) -> list[str]:
    """Give back the damaged and missing shards, and read them again.

    Args:
        record_dir: Folder of the data set.

    Returns:
        Names of the files that were given back; empty when there was nothing to do.

    Raises:
        DataError: Something can't be repaired; the message says why and what to do. Shards that lay
            in the folder under another name are then back in place, nothing else was changed.
    """
    try:
        return _repair(Path(record_dir))
    except OSError as error:
        raise DataError(f"{record_dir} can't be repaired: {error}") from error


def _repair(folder: Path) -> list[str]:
    # Raises when the manifest itself was altered: then nothing says what the shards must be.
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
                f"{folder / name} is a folder where a shard belongs. Move it away, and run "
                f"again: reproducible-ml repair {folder}"
            )
    surplus = sorted(damaged - {*listed, MANIFEST_FILE})
    origins = _elsewhere(folder, [listed[name] for name in wanted], [*wanted, *surplus])
    _put_back(folder, origins)
    left = [name for name in wanted if name not in origins]
    if left:
        _write_again(folder, manifest, left)
    # Only now, when its bytes stand in their place for good.
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
                "what its shards must be. Restore it from a backup, or serialize the data set "
                "again."
            )


def _check_result(
    folder: Path, manifest: Manifest, shards: Iterable[Shard], surplus: Iterable[str]
) -> None:
    """Read again what was given back, and name what a repair leaves to its user."""
    for shard in shards:
        if not is_intact(folder / shard.file, shard):
            raise DataError(
                f"{folder / shard.file} was written again, but reads back otherwise. Look at the "
                "disk, and repair into another folder: copy the data set there first."
            )
    if surplus:
        raise DataError(
            f"{folder}: all {len(_names(manifest))} shards are as they were written, but there is "
            f"also {', '.join(surplus)}, which the manifest does not list. Move it away."
        )


def _names(manifest: Manifest) -> list[str]:
    return [shard.file for split in manifest.splits.values() for shard in split.shards]


def _temporary(folder: Path, name: str) -> Path:
    path = folder / name
    return path.with_name(path.name + REPAIR_SUFFIX)


def _drop_halves(folder: Path, listed: dict[str, Shard]) -> None:
    """Remove what a killed repair left half-written, or no longer needed."""
    for name, shard in listed.items():
        temporary = _temporary(folder, name)
        if temporary.exists() and (
            not is_intact(temporary, shard) or is_intact(folder / name, shard)
        ):
            temporary.unlink()


def _elsewhere(folder: Path, wanted: Iterable[Shard], names: Iterable[str]) -> dict[str, str]:
    """Find shards' bytes in the folder: name of the shard -> name of the file that has them."""
    found = {}
    for shard in wanted:
        temporary = _temporary(folder, shard.file).relative_to(folder).as_posix()
        for name in (temporary, *names):
            if is_intact(folder / name, shard):
                found[shard.file] = name
                break
    return found


def _put_back(folder: Path, origins: dict[str, str]) -> None:
    """Give shards the bytes that lie under another name; two may have each other's."""
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
            except OSError:  # a file system without hard links
                shutil.copyfile(source, temporary)
                sync(temporary)
    except BaseException:
        _remove(made)
        raise
    # From here on a temporary may be the only one that has its bytes, so none is removed.
    _replace(folder, origins)


def _write_again(folder: Path, manifest: Manifest, names: Iterable[str]) -> None:
    """Write shards from their source, and put them in place when all are there."""
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
        # What went wrong is what the caller is told, not that its rest is there too.
        with suppress(OSError):
            path.unlink(missing_ok=True)


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


def _write(manifest: Manifest, source: Source, file: str, temporary: Path) -> None:
    """Write one shard beside its place."""
    split, number, start = _place(manifest, file)
    shard = manifest.splits[split].shards[number]
    path = Path(manifest.record_dir) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = source.rows_gen(split)[start : start + shard.records]
    writer = ShardWriter(temporary, manifest.compression)
    write_rows(RowReader(rows), shard.records, Encoder(source.keys_to_handlers), writer)
    found = writer.shard()
    if (found.records, found.checksum) != (shard.records, shard.checksum):
        raise DataError(
            f"{path} can't be repaired: written again it has checksum {found.checksum}, the "
            f"manifest states {shard.checksum}. Another version of the library or of one it uses "
            f"wrote it (library {manifest.library_version}). Serialize the data set again."
        )


def _place(manifest: Manifest, file: str) -> tuple[str, int, int]:
    """Return a shard's split, its number there, and the number of its first row."""
    for name, split in manifest.splits.items():
        start = 0
        for number, shard in enumerate(split.shards):
            if shard.file == file:
                return name, number, start
            start += shard.records
    raise DataError(f"{manifest.path} lists no shard {file}.")
