"""Reader for what does not fit in memory: fetch any record from memory-mapped shards.

Uncompressed records of one length make a shard a table, so the byte offset of any record follows
from its index and a global shuffle costs no more than a page fault. Each record's length and CRCs
are checked when it is fetched; the pages stay in the system's cache, not in the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.serialize.tfrecord import (
    FOOTER_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    header,
)
from reproducible_ml.input_fn.parse import fixed_shape, parse_batch
from reproducible_ml.input_fn.shards import first_records, shard_paths
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from reproducible_ml.datasets.serialize.manifest import Manifest
    from reproducible_ml.handlers.schema import FeatureSchema

# Records per shard whose header is looked at before a split counts as one of equal records.
PROBED_RECORDS = 1024
# Added to a CRC rotated by 15 bits; see ``tfrecord.mask``, which does one at a time.
_MASK_DELTA = 0xA282EAD8


def why_not_memmap(manifest: Manifest, split: str) -> str | None:
    """Say why a split's records cannot be fetched by offset, None if they can."""
    if manifest.compression:
        return f"its shards are compressed with {manifest.compression}"
    length = frame_bytes(manifest, split)
    if length is None or not _headers_stand_every(length, manifest, split):
        return "its records differ in length"
    return None


def frame_bytes(manifest: Manifest, split: str) -> int | None:
    """Give the length of every record's frame, None if the shards' sizes rule one length out."""
    shards = manifest.splits[split].shards
    lengths = {divmod(shard.bytes, shard.records) for shard in shards if shard.records}
    if len(lengths) != 1:
        return None
    length, rest = lengths.pop()
    return length if rest == 0 and length >= FRAME_BYTES else None


def _headers_stand_every(length: int, manifest: Manifest, split: str) -> bool:
    """Look at records all over each shard: sizes alone may divide evenly by chance."""
    import numpy as np

    expected = np.frombuffer(header(length - FRAME_BYTES), np.uint8)
    for path, shard in zip(shard_paths(manifest, split), manifest.splits[split].shards):
        table = np.memmap(path, np.uint8, mode="r").reshape(shard.records, length)
        stride = -(-shard.records // PROBED_RECORDS)
        if not (table[::stride, :HEADER_BYTES] == expected).all():
            return False
    return True


class MappedShards:
    """The payloads of a split, by record index."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        """Map the shards; nothing is read yet.

        Raises:
            DataError: If a shard does not have the size that the manifest says.
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
        for path, shard in zip(self.paths, manifest.splits[split].shards):
            table = np.memmap(path, np.uint8, mode="r")
            if table.size != shard.records * length:
                raise DataError(
                    f"{path} has {table.size} bytes, expected {shard.records * length}; "
                    f"run: reproducible-ml verify {manifest.record_dir}"
                )
            self.tables.append(table.reshape(shard.records, length))

    def payloads(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """Fetch the serialized records at ``indices``, each checked against its CRC.

        Raises:
            DataError: If a record is damaged; names the shard and the record.
        """
        import numpy as np
        from crc32c import crc32c

        shards = np.searchsorted(self.firsts, indices, side="right") - 1
        rows = indices - self.firsts[shards]
        frames = np.empty((len(indices), self.length), np.uint8)
        for shard in np.unique(shards):
            here = shards == shard
            frames[here] = self.tables[shard][rows[here]]
        same = (frames[:, :HEADER_BYTES] == self._header).all(axis=1)
        if not same.all():
            self._complain(shards, rows, int(np.argmin(same)), "its length field is damaged")
        stored = frames[:, -FOOTER_BYTES:].copy().view("<u4")[:, 0]
        raw = frames.tobytes()
        found: npt.NDArray[np.object_] = np.empty(len(indices), np.object_)
        crcs = np.empty(len(indices), np.uint32)
        stride, end = self.length, self.length - FOOTER_BYTES
        for i in range(len(indices)):
            payload = raw[i * stride + HEADER_BYTES : i * stride + end]
            found[i] = payload
            crcs[i] = crc32c(payload)
        masked = ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(_MASK_DELTA)
        if not (masked == stored).all():
            self._complain(shards, rows, int(np.argmin(masked == stored)), "its CRC does not match")
        return found

    def _complain(self, shards: Any, rows: Any, i: int, what: str) -> None:
        path = self.paths[int(shards[i])]
        raise DataError(f"{path}, record {int(rows[i])}: {what}; run: reproducible-ml verify")


def memmap_gather(
    manifest: Manifest, split: str, features: Mapping[str, FeatureSchema]
) -> Callable[[tf.Tensor], dict[str, Any]]:
    """Map the shards and return how to gather from them.

    Args:
        manifest: The data set's manifest.
        split: Which split.
        features: The features to read, by name; each needs a fixed shape.

    Returns:
        A function from int64 indices [n] to ``{key: tensor [n, *shape]}``.
    """
    import tensorflow as tf

    for key, schema in features.items():
        fixed_shape(key, schema)
    mapped = MappedShards(manifest, split)

    def gather(indices: tf.Tensor) -> dict[str, Any]:
        # The shards do not change while they are read, so the function has no state.
        payloads = tf.numpy_function(mapped.payloads, [indices], tf.string, stateful=False)
        payloads.set_shape(indices.shape)
        return parse_batch(payloads, features)

    return gather
