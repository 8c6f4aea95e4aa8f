"""A reader for data that does not fit into memory: it fetches records from memory-mapped shards.

A shard with uncompressed records of one length is a table. The byte offset of a record follows from
its index, so a global shuffle costs no more than a page fault per record. Each record's length and
CRCs are checked when it is fetched. The pages stay in the system's cache, not in the process. A
shard that is truncated meanwhile is an error, not a signal that ends the process; see ``copying``.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.serialize.wire import (
    FOOTER_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    header,
)
from reproducible_ml.input_fn.parse import is_ragged, parse_batch
from reproducible_ml.input_fn.readers.copying import copy_rows
from reproducible_ml.input_fn.readers.fixed_form import FixedForm
from reproducible_ml.input_fn.shards import first_records, shard_paths
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from reproducible_ml.datasets.serialize import Manifest
    from reproducible_ml.handlers import FeatureSchema

# Number of headers per shard that are examined before its records count as equally long.
PROBED_RECORDS = 1024
# Added to a CRC rotated by 15 bits; ``tfrecord.mask`` does the same to a single one.
_MASK_DELTA = 0xA282EAD8
_HINT = "run: reproducible-ml verify"


def why_not_memmap(
    manifest: Manifest, split: str, features: Mapping[str, FeatureSchema]
) -> str | None:
    """Return the reason why a split's records can't be fetched by offset; None if they can."""
    varying = [key for key, schema in features.items() if is_ragged(schema)]
    if varying:
        return f"the length of its feature {varying[0]!r} varies"
    if manifest.compression:
        return f"its shards are compressed with {manifest.compression}"
    length = frame_bytes(manifest, split)
    if length is None or not _headers_stand_every(length, manifest, split):
        return "its records differ in length"
    return None


def frame_bytes(manifest: Manifest, split: str) -> int | None:
    """Return the length of every record's frame; None if the shards' sizes rule out one length."""
    shards = manifest.splits[split].shards
    lengths = {divmod(shard.bytes, shard.records) for shard in shards if shard.records}
    if len(lengths) != 1:
        return None
    length, rest = lengths.pop()
    return length if rest == 0 and length >= FRAME_BYTES else None


def _headers_stand_every(length: int, manifest: Manifest, split: str) -> bool:
    """Examine headers throughout each shard, since its size may divide evenly by chance."""
    expected = header(length - FRAME_BYTES)
    for path, shard in zip(shard_paths(manifest, split), manifest.splits[split].shards):
        try:
            probed = range(0, shard.records, -(-shard.records // PROBED_RECORDS) or 1)
            with open(path, "rb", buffering=0) as file:
                found = [os.pread(file.fileno(), HEADER_BYTES, row * length) for row in probed]
        except OSError as error:
            raise DataError(f"{path} can't be read: {error}; {_HINT}") from error
        if any(one != expected for one in found):
            return False
    return True


class MappedShards:
    """The payloads of a split, by record index."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        """Map the shards; nothing is read yet.

        Raises:
            DataError: If a shard can't be read or does not have the size that the manifest lists.
        """
        import numpy as np

        length = frame_bytes(manifest, split)
        if length is None:
            raise DataError(f"{manifest.record_dir}: the records of {split!r} differ in length")
        self.paths = shard_paths(manifest, split)
        self.firsts = first_records(manifest, split)
        self.length = length
        self._header = np.frombuffer(header(length - FRAME_BYTES), np.uint8)
        self.tables: list[npt.NDArray[np.uint8]] = []
        self._maps: list[mmap.mmap] = []
        for path, shard in zip(self.paths, manifest.splits[split].shards):
            try:
                with open(path, "rb") as file:
                    whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise DataError(f"{path} can't be read: {error}; {_HINT}") from error
            self._maps.append(whole)
            self._check_size(len(self.tables), shard.records * length)
            # A plain array, since np.memmap's own indexing is several times slower.
            table = np.frombuffer(whole, np.uint8)
            self.tables.append(table.reshape(shard.records, length))

    def payloads(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Fetch the records at ``indices`` as uint8 [n, bytes], and check each against its CRC.

        Raises:
            DataError: If a record is damaged or its shard truncated; names shard and record.
        """
        import numpy as np
        from crc32c import crc32c

        shards = np.searchsorted(self.firsts, indices, side="right") - 1
        rows = indices - self.firsts[shards]
        frames = np.empty((len(indices), self.length), np.uint8)
        # Grouped by shard, so that each shard needs one check of its size and one copy.
        by_shard = np.argsort(shards, kind="stable")
        wanted, begins = np.unique(shards[by_shard], return_index=True)
        for shard, here in zip(wanted.tolist(), np.split(by_shard, begins[1:])):
            frames[here] = self._copy(shard, rows[here])
        same = (frames[:, :HEADER_BYTES] == self._header).all(axis=1)
        if not same.all():
            self._complain(shards, rows, int(np.argmin(same)), "its length field is damaged")
        stored = frames[:, -FOOTER_BYTES:].view("<u4")[:, 0]
        view, stride = frames.reshape(-1).data, self.length
        starts = range(HEADER_BYTES, len(view), stride)
        found = [view[start : start + stride - FRAME_BYTES] for start in starts]
        crcs = np.fromiter(map(crc32c, found), np.uint32, len(found))
        masked = ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(_MASK_DELTA)
        if not (masked == stored).all():
            self._complain(shards, rows, int(np.argmin(masked == stored)), "its CRC does not match")
        return frames[:, HEADER_BYTES:-FOOTER_BYTES]

    def strings(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """Fetch the serialized records at ``indices`` as byte strings."""
        import numpy as np

        payloads = self.payloads(indices)
        found: npt.NDArray[np.object_] = np.empty(len(payloads), np.object_)
        for number, payload in enumerate(payloads):
            found[number] = payload.tobytes()
        return found

    def _copy(self, shard: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Copy records of one shard, and then see that it is as long as it was."""
        table = self.tables[shard]
        try:
            return copy_rows(table, rows, self.paths[shard])
        except OSError as error:
            failed = error
        finally:
            # Also after a copy: the rest of a page that a truncation cut reads as zeros.
            self._check_size(shard, table.size)
        raise DataError(f"{self.paths[shard]} can't be read: {failed}; {_HINT}") from failed

    def _check_size(self, shard: int, expected: int) -> None:
        """Compare the current size of the mapped file, which takes one system call."""
        found = self._maps[shard].size()
        if found != expected:
            raise DataError(f"{self.paths[shard]} has {found} bytes, expected {expected}; {_HINT}")

    def _complain(self, shards: Any, rows: Any, i: int, what: str) -> None:
        path = self.paths[int(shards[i])]
        raise DataError(f"{path}, record {int(rows[i])}: {what}; {_HINT}")


def memmap_gather(
    manifest: Manifest, split: str, features: Mapping[str, FeatureSchema]
) -> Callable[[tf.Tensor], dict[str, Any]]:
    """Map the shards and return a function that gathers records from them.

    Args:
        manifest: The data set's manifest.
        split: Name of the split.
        features: The features to read, by name, none of them ragged.

    Returns:
        A function from int64 indices [n] to ``{key: tensor [n, *shape]}``.
    """
    import numpy as np
    import tensorflow as tf

    mapped = MappedShards(manifest, split)
    try:
        form = FixedForm(mapped.strings(np.zeros(1, np.int64))[0], features)
    except (ValueError, IndexError):
        form = None

    def gather_strings(indices: tf.Tensor) -> dict[str, Any]:
        payloads = tf.numpy_function(mapped.strings, [indices], tf.string, stateful=False)
        payloads.set_shape(indices.shape)
        return parse_batch(payloads, features)

    def fetch(indices: npt.NDArray[np.int64]) -> list[Any]:
        assert form is not None
        payloads = mapped.payloads(indices)
        values = form.values(payloads)
        # Few records differ in form; their values are replaced by parsed ones.
        for number in np.flatnonzero(~form.fits(payloads)).tolist():
            for value, right in zip(values, form.parsed(payloads[number].tobytes())):
                value[number] = right
        return values

    def gather(indices: tf.Tensor) -> dict[str, Any]:
        dtypes = [tf.as_dtype(schema.dtype) for schema in features.values()]
        # Declared stateless, because the shards do not change while they are read.
        values = tf.numpy_function(fetch, [indices], dtypes, stateful=False)
        for value, schema in zip(values, features.values()):
            value.set_shape([*indices.shape, *(schema.shape or ())])
        return dict(zip(features, values))

    return gather_strings if form is None else gather
