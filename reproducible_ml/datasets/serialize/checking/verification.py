"""Verification of a data set: it is read completely, and every defect is named.

The manifest, which includes a checksum of itself, says what each shard must contain. A shard is
checked by its checksum, each record by its own checksum and the schema, and the order of all
records by the split's content digest.

If a shard's checksum is right, its bytes are exactly those that the writer made. The checksums of
its records are then not computed again: they serve to find the damaged record in a damaged shard.
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
    """A difference from what was written.

    Attributes:
        file: Name of the shard, or of the manifest.
        found: What is wrong, and what was expected.
        record: Index of the record within the shard; None if the whole file is concerned.
        field: Name of the feature; None if the whole record is concerned.
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
    """Read a data set completely and name each defect.

    Args:
        record_dir: Folder of the data set.
        schema: Whether to check each record against the schema; if not, only the bytes are checked,
            which is enough for data whose fingerprint is known.

    Returns:
        The defects; empty if everything is as it was written.

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


# The values of such a manifest can be trusted, so a repair may restore its layout.
LAID_OUT_ANEW = "has another layout than was written, with the same values"


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
        # Folders are ignored, unless one has the name of a shard and so takes its place.
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
        """Run all checks and return the defects."""
        found = [*self._extra(), *self._manifest_itself()]
        total = sum(shard.records for shard in self.listed.values())
        with Progress(total, "verified") as bar:
            for name, split in self.manifest.splits.items():
                before = len(found)
                content = hashlib.sha256()
                for shard, opened in self._opened(split.shards):
                    found += self._shard(shard, opened, content)
                    bar.advance(shard.records)
                # After another defect, the content differs anyway.
                if len(found) == before and content.hexdigest() != split.content:
                    found.append(
                        Defect(MANIFEST_FILE, f"the records of {name} do not match their digest")
                    )
        return found

    def _opened(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, _Opened | None]]:
        """Map the shards in order, computing the checksum of the next one in a thread."""
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
            yield Defect(MANIFEST_FILE, "the fingerprint does not match schema and content")
        for name, split in splits.items():
            counted = sum(shard.records for shard in split.shards)
            if counted != split.records:
                yield Defect(
                    MANIFEST_FILE,
                    f"split {name} lists {split.records} records, but its shards {counted}",
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
                yield Defect(name, "is an extra file, not listed in the manifest")

    def _shard(self, shard: Shard, opened: _Opened | None, content: Any) -> Iterator[Defect]:
        if opened is None:
            yield Defect(shard.file, f"is missing; expected {shard.records} records")
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
            # One sentence about an exchange says more than a defect for every record.
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
        """Check intact records of one length against the schema."""
        if not self.schema:
            return
        found = list(self._form(shard, 0, table.payloads[0].tobytes()))
        yield from found
        # Records with the form of a right first one are right, too; only the others are parsed.
        same = same_form(table)
        others = np.arange(1, shard.records) if found else np.flatnonzero(~same)
        for number in others.tolist():
            yield from self._form(shard, number, table.payloads[number].tobytes())

    def _records(
        self, shard: Shard, view: memoryview, content: Any, intact: bool
    ) -> Iterator[Defect]:
        """Check the records of a shard one after another."""
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
            after = f" after {shard.records} complete records" if number == shard.records else ""
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
                else "holds complete records, but other ones, or in another order"
            )
            yield Defect(shard.file, wrong)
        if not located and number != shard.records:
            yield Defect(shard.file, f"holds {number} records, expected {shard.records}")

    def _batch(self, shard: Shard, first: int, batch: Batch, intact: bool) -> Iterator[Defect]:
        """Check each record against the schema and, in a damaged shard, against its CRC."""
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
                    shard.file, f"the payload at byte {at} does not match its CRC", first + number
                )
            else:
                yield from self._form(shard, first + number, bytes(batch.payload(number)))

    def _fits(self, batch: Batch) -> np.ndarray[Any, Any]:
        """Find the records that certainly match the schema, given the first one's layout."""
        try:
            form = RecordForm(bytes(batch.payload(0)), self.manifest.features)
        except (ValueError, IndexError):
            # An unusual first record: all are left to protobuf.
            return np.zeros(len(batch.starts), bool)
        return form.fits(batch.data, batch.starts, batch.lengths)

    def _form(self, shard: Shard, number: int, payload: bytes) -> Iterator[Defect]:
        try:
            check_features(_features(payload), self.manifest.features)
        except DataError as error:
            field = getattr(error, "field", None)
            yield Defect(shard.file, str(error), number, field)


def _open(path: Path | None) -> _Opened | None:
    """Map a shard and compute its checksum; return None if the shard is missing."""
    if path is None:
        return None
    nothing = memoryview(b"")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "something else"
        return _Opened(nothing, "", f"is {kind}, expected a file of records")
    try:
        view = mapped(path) if path.stat().st_size else nothing
    except OSError as error:
        return _Opened(nothing, "", f"can't be read: {error.strerror}")
    return _Opened(view, checksum(view))


def is_intact(path: Path, shard: Shard) -> bool:
    """Return whether a file has exactly the bytes that the manifest lists for a shard."""
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
        raise DataError(f"is not a tf.train.Example: {error}") from error
    return dict(example.features.feature)
