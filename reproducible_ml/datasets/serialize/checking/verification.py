"""Reads a whole data set again and names what is not as it was written.

The manifest carries a checksum of itself; it says what each shard must be. A shard is compared byte
by byte through its own checksum, its records through theirs, the order of all records through the
split's content digest, and each record through the schema.

A shard whose checksum is right holds the very bytes that the writer made, so its records' own
checksums are then not computed again: they serve to find the damaged record of a damaged shard.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import crc32c
import numpy as np

from reproducible_ml.datasets.serialize.checking.record_form import RecordForm, same_form
from reproducible_ml.datasets.serialize.encoding import check_features
from reproducible_ml.datasets.serialize.manifest import (
    MANIFEST_FILE,
    Manifest,
    Shard,
    compute_fingerprint,
    is_as_written,
    pack_content,
    read_manifest,
)
from reproducible_ml.datasets.serialize.shard import (
    Batch,
    StreamError,
    Table,
    as_table,
    batches_of,
    checksum,
    mapped,
)
from reproducible_ml.datasets.serialize.wire import HEADER_BYTES, FrameError
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.progress import Progress


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


# Such a manifest says what was written, so a repair may lay it out again.
LAID_OUT_ANEW = "is laid out otherwise than it was written, with the same values"


class _Opened(NamedTuple):
    """A shard's bytes and their checksum, or why they can't be read."""

    view: memoryview
    checksum: str
    problem: str = ""


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
            if self._is_present(path) and self._is_shard_name(path)
        }

    def _is_present(self, path: Path) -> bool:
        # A folder may bear any name, but stands in the way where it bears a shard's.
        return path.is_file() or (
            path.exists() and path.relative_to(self.folder).as_posix() in self.listed
        )

    def _is_shard_name(self, path: Path) -> bool:
        name = path.relative_to(self.folder).as_posix()
        if name in self.listed:
            return True
        parts = Formatter().parse(self.manifest.record_pattern)
        pattern = "".join(
            re.escape(text) + ("" if field is None else ".*") for text, field, *_ in parts
        )
        return name.endswith(".tfrecord") or re.fullmatch(pattern, name) is not None

    def defects(self) -> list[Defect]:
        """Look at everything."""
        found = [*self._extra(), *self._manifest_itself()]
        total = sum(shard.records for shard in self.listed.values())
        with Progress(total, "verified") as bar:
            for name, split in self.manifest.splits.items():
                before = len(found)
                content = hashlib.sha256()
                for shard, opened in self._opened(split.shards):
                    found += self._shard(shard, opened, content)
                    bar.advance(shard.records)
                if len(found) == before and content.hexdigest() != split.content:
                    found.append(
                        Defect(MANIFEST_FILE, f"the records of {name} are not those it states")
                    )
        return found

    def _opened(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, _Opened | None]]:
        """Map the shards, and compute in a thread the checksum of the next one."""
        with ThreadPoolExecutor(1) as thread:
            waiting: deque[Future[_Opened | None]] = deque()
            paths = [self.present.get(shard.file) for shard in shards]
            for number, shard in enumerate(shards):
                for path in paths[number + len(waiting) : number + 2]:
                    waiting.append(thread.submit(_open, path))
                yield shard, waiting.popleft().result()

    def _manifest_itself(self) -> Iterator[Defect]:
        if not is_as_written(self.manifest):
            yield Defect(MANIFEST_FILE, LAID_OUT_ANEW)
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
            opened = _open(path)
            found = opened.checksum if opened else None
            origin = [one for one in sorted(missing) if self.listed[one].checksum == found]
            if origin:
                yield Defect(name, f"is {origin[0]} under another name; rename it back")
            else:
                yield Defect(name, "is an extra file that the manifest does not list")

    def _shard(self, shard: Shard, opened: _Opened | None, content: Any) -> Iterator[Defect]:
        if opened is None:
            yield Defect(shard.file, f"is missing; it holds {shard.records} records")
            return
        view, found, problem = opened
        if problem:
            yield Defect(shard.file, problem)
            return
        if not len(view):
            yield Defect(shard.file, f"is empty; expected {shard.bytes} bytes")
            return
        intact = len(view) == shard.bytes and found == shard.checksum
        if not intact:
            for name, other in self.listed.items():
                if name != shard.file and (other.bytes, other.checksum) == (len(view), found):
                    yield Defect(
                        shard.file, f"holds the records of {name}: the files were exchanged"
                    )
                    return
        table = as_table(view, shard.records) if not self.manifest.compression else None
        if intact and table is not None:
            content.update(
                pack_content(np.full(shard.records, table.payloads.shape[1]), table.crcs)
            )
            yield from self._table(shard, table)
        else:
            yield from self._records(shard, view, content, intact)

    def _table(self, shard: Shard, table: Table) -> Iterator[Defect]:
        """Hold intact records of one length to the schema: most are equal but for their values."""
        if not self.schema:
            return
        found = list(self._form(shard, 0, table.payloads[0].tobytes()))
        yield from found
        same = same_form(table)
        others = np.arange(1, shard.records) if found else np.flatnonzero(~same)
        for number in others.tolist():
            yield from self._form(shard, number, table.payloads[number].tobytes())

    def _records(
        self, shard: Shard, view: memoryview, content: Any, intact: bool
    ) -> Iterator[Defect]:
        """Walk over a shard's records."""
        number = located = 0
        try:
            for batch in batches_of(view, self.manifest.compression):
                content.update(pack_content(batch.lengths, batch.crcs))
                for defect in self._batch(shard, number, batch, intact):
                    located += 1
                    yield defect
                number += len(batch.starts)
        except FrameError as error:
            located += 1
            after = f" after {shard.records} whole records" if number == shard.records else ""
            yield Defect(
                shard.file, f"{error.found} at byte {error.offset}{after}", record=error.record
            )
        except StreamError as error:
            located += 1
            yield Defect(shard.file, str(error))
        if not intact and not located:
            wrong = (
                f"has {len(view)} bytes, expected {shard.bytes}"
                if len(view) != shard.bytes
                else "holds whole records, but not those that were written in this order"
            )
            yield Defect(shard.file, wrong)
        if not located and number != shard.records:
            yield Defect(shard.file, f"holds {number} records, expected {shard.records}")

    def _batch(self, shard: Shard, first: int, batch: Batch, intact: bool) -> Iterator[Defect]:
        """Hold each record to its CRC, where the shard's own did not tell, and to the schema."""
        count = len(batch.starts)
        damaged = np.zeros(count, bool)
        if not intact:
            found = (crc32c.crc32c(batch.payload(number)) for number in range(count))
            damaged = np.fromiter(found, np.uint32, count) != batch.crcs
        odd = ~self._fits(batch) if self.schema else np.zeros(count, bool)
        for number in np.flatnonzero(damaged | odd).tolist():
            if damaged[number]:
                at = batch.offset + int(batch.starts[number]) - HEADER_BYTES
                yield Defect(
                    shard.file, f"the payload at byte {at} does not fit its CRC", first + number
                )
            else:
                yield from self._form(shard, first + number, bytes(batch.payload(number)))

    def _fits(self, batch: Batch) -> np.ndarray[Any, Any]:
        """Tell which records are surely of the schema's form, taking the first one's layout."""
        try:
            form = RecordForm(bytes(batch.payload(0)), self.manifest.features)
        except (ValueError, IndexError):
            return np.zeros(len(batch.starts), bool)
        return form.fits(batch.data, batch.starts, batch.lengths)

    def _form(self, shard: Shard, number: int, payload: bytes) -> Iterator[Defect]:
        try:
            check_features(_features(payload), self.manifest.features)
        except DataError as error:
            field = getattr(error, "field", None)
            yield Defect(shard.file, str(error), number, field)


def _open(path: Path | None) -> _Opened | None:
    """Map a shard and compute its checksum; None where it is missing."""
    if path is None:
        return None
    nothing = memoryview(b"")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "something else"
        return _Opened(nothing, "", f"is {kind} where a file of records belongs")
    try:
        view = mapped(path) if path.stat().st_size else nothing
    except OSError as error:
        return _Opened(nothing, "", f"can't be read: {error.strerror}")
    return _Opened(view, checksum(view))


def is_intact(path: Path, shard: Shard) -> bool:
    """Tell whether a file has the very bytes that the manifest states of a shard."""
    opened = _open(path if path.exists() else None)
    return opened is not None and (len(opened.view), opened.checksum) == (
        shard.bytes,
        shard.checksum,
    )


def _features(payload: bytes) -> dict[str, Any]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        example = tf.train.Example.FromString(payload)
    except DecodeError as error:
        raise DataError(f"is no tf.train.Example: {error}") from error
    return dict(example.features.feature)
