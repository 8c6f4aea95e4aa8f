"""Reads a whole data set again and names what is not as it was written.

The manifest carries a checksum of itself; it says what each shard must be. A shard is compared byte
by byte through its own checksum, its records through theirs, the order of all records through the
split's content digest, and each record through the schema.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crc32c

from reproducible_ml.datasets.serialize.examples import check_features
from reproducible_ml.datasets.serialize.manifest import (
    MANIFEST_FILE,
    Manifest,
    Shard,
    compute_fingerprint,
    content_digest,
    read_manifest,
)
from reproducible_ml.datasets.serialize.progress import Progress
from reproducible_ml.datasets.serialize.tfrecord import Frame, FrameError, scan
from reproducible_ml.utils.errors import DataError

_WINDOW_BITS = {"GZIP": 31, "ZLIB": 15}


@dataclass(frozen=True)
class Defect:
    """One thing that is not as it was written.

    Attributes:
        file: Shard, or the manifest.
        found: What is wrong, and what was expected.
        record: Number of the record within the shard, from 0; None where it is the whole file.
        field: Feature that is concerned; None where it is the whole record.
    """

    file: str
    found: str
    record: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        record = "" if self.record is None else f", record {self.record}"
        field = "" if self.field is None else f", field {self.field}"
        return f"{self.file}{record}{field}: {self.found}"


def verify(record_dir: str | Path, schema: bool = True) -> list[Defect]:
    """Read everything and name each defect.

    Args:
        record_dir: Folder of the data set.
        schema: Whether to hold each record against the schema; without it the bytes are compared,
            which is enough for data whose fingerprint is known.

    Returns:
        The defects; empty when all is as it was written.

    Raises:
        DataError: There is no data set.
    """
    folder = Path(record_dir)
    if not (folder / MANIFEST_FILE).exists():
        read_manifest(folder)  # raises, with what to do
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        return [Defect(MANIFEST_FILE, str(error))]
    return _Verification(manifest, schema).defects()


class _Verification:
    """One pass over a data set."""

    def __init__(self, manifest: Manifest, schema: bool) -> None:
        self.manifest = manifest
        self.schema = schema
        self.folder = Path(manifest.record_dir)
        self.listed = {
            shard.file: shard for split in manifest.splits.values() for shard in split.shards
        }
        self.present = {
            path.relative_to(self.folder).as_posix(): path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and self._is_shard_name(path)
        }

    def _is_shard_name(self, path: Path) -> bool:
        name = path.relative_to(self.folder).as_posix()
        if name in self.listed:
            return True
        pattern = re.sub(r"\\\{.*?\\\}", ".*", re.escape(self.manifest.record_pattern))
        return name.endswith(".tfrecord") or re.fullmatch(pattern, name) is not None

    def defects(self) -> list[Defect]:
        """Look at everything."""
        found = [*self._extra(), *self._manifest_itself()]
        total = sum(shard.records for shard in self.listed.values())
        with Progress(total, "verified") as bar:
            for name, split in self.manifest.splits.items():
                before = len(found)
                lengths: list[int] = []
                crcs: list[int] = []
                for shard in split.shards:
                    found += self._shard(shard, lengths, crcs)
                    bar.advance(shard.records)
                if len(found) == before and content_digest(lengths, crcs) != split.content:
                    found.append(
                        Defect(MANIFEST_FILE, f"the records of {name} are not those it states")
                    )
        return found

    def _manifest_itself(self) -> Iterator[Defect]:
        splits = self.manifest.splits
        stated = {name: (split.records, split.content) for name, split in splits.items()}
        if compute_fingerprint(self.manifest.features, stated) != self.manifest.fingerprint:
            yield Defect(MANIFEST_FILE, "the fingerprint does not follow from schema and content")
        for name, split in splits.items():
            counted = sum(shard.records for shard in split.shards)
            if counted != split.records:
                yield Defect(
                    MANIFEST_FILE,
                    f"split {name} states {split.records} records, its shards {counted}",
                )

    def _extra(self) -> Iterator[Defect]:
        missing = {name for name in self.listed if name not in self.present}
        for name, path in self.present.items():
            if name in self.listed:
                continue
            checksum = _checksum(path.read_bytes())
            origin = [one for one in sorted(missing) if self.listed[one].checksum == checksum]
            if origin:
                yield Defect(name, f"is {origin[0]} under another name; rename it back")
            else:
                yield Defect(name, "is an extra file that the manifest does not list")

    def _shard(self, shard: Shard, lengths: list[int], crcs: list[int]) -> Iterator[Defect]:
        path = self.present.get(shard.file)
        if path is None:
            yield Defect(shard.file, f"is missing; it holds {shard.records} records")
            return
        size = path.stat().st_size
        if size == 0:
            yield Defect(shard.file, f"is empty; expected {shard.bytes} bytes")
            return
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            view = memoryview(data)
            try:
                found = list(self._bytes_of(shard, view, lengths, crcs))
            finally:
                view.release()
        yield from found

    def _bytes_of(
        self, shard: Shard, view: memoryview, lengths: list[int], crcs: list[int]
    ) -> Iterator[Defect]:
        intact = len(view) == shard.bytes and _checksum(view) == shard.checksum
        other = None if intact else self._other(view, shard)
        if other is not None:
            yield Defect(shard.file, f"holds the records of {other}: the files were exchanged")
            return
        before = len(lengths)
        located = list(self._records(shard, view, lengths, crcs))
        yield from located
        if not intact and not located:
            wrong = (
                f"has {len(view)} bytes, expected {shard.bytes}"
                if len(view) != shard.bytes
                else "holds whole records, but not those that were written in this order"
            )
            yield Defect(shard.file, wrong)
        counted = len(lengths) - before
        if not located and counted != shard.records:
            yield Defect(shard.file, f"holds {counted} records, expected {shard.records}")

    def _other(self, view: memoryview, shard: Shard) -> str | None:
        checksum = _checksum(view)
        for name, other in self.listed.items():
            if name != shard.file and (other.bytes, other.checksum) == (len(view), checksum):
                return name
        return None

    def _records(
        self, shard: Shard, view: memoryview, lengths: list[int], crcs: list[int]
    ) -> Iterator[Defect]:
        content: memoryview | bytes = view
        if self.manifest.compression:
            content, wrong = _decompressed(view, self.manifest.compression)
            if wrong:
                yield Defect(shard.file, wrong)
                return
        number = -1
        try:
            for number, frame in enumerate(scan(content)):
                payload = bytes(content[frame.payload])
                lengths.append(frame.length)
                crcs.append(frame.crc)
                yield from self._record(shard, number, frame, payload)
        except FrameError as error:
            after = f" after {shard.records} whole records" if number + 1 == shard.records else ""
            yield Defect(
                shard.file, f"{error.found} at byte {error.offset}{after}", record=error.record
            )

    def _record(self, shard: Shard, number: int, frame: Frame, payload: bytes) -> Iterator[Defect]:
        if crc32c.crc32c(payload) != frame.crc:
            yield Defect(
                shard.file, f"the payload at byte {frame.offset} does not fit its CRC", number
            )
        elif self.schema:
            try:
                check_features(_features(payload), self.manifest.features)
            except DataError as error:
                field = getattr(error, "field", None)
                yield Defect(shard.file, str(error), number, field)


def _checksum(data: Any) -> str:
    return f"{crc32c.crc32c(data):08x}"


def _features(payload: bytes) -> dict[str, Any]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        example = tf.train.Example.FromString(payload)
    except DecodeError as error:
        raise DataError(f"is no tf.train.Example: {error}") from error
    return dict(example.features.feature)


def _decompressed(view: memoryview, compression: str) -> tuple[bytes, str]:
    """Return the content and an empty text, or what is wrong."""
    from isal import isal_zlib

    stream = isal_zlib.decompressobj(_WINDOW_BITS[compression])
    damaged: Any = (isal_zlib.error, zlib.error)
    try:
        content = stream.decompress(view)
    except damaged as error:
        return b"", f"the {compression} stream is damaged: {error}"
    if not stream.eof:
        return b"", f"the {compression} stream ends too early: its end or trailer is missing"
    if stream.unused_data:
        return b"", f"{len(stream.unused_data)} bytes follow the end of the {compression} stream"
    return content, ""
