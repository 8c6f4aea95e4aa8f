"""The choice of a reader, and the datasets that the readers build.

``memory`` and ``memmap`` fetch any record by its index, so they give the same batches, bit for bit,
and reach any step at once. ``stream`` reads from front to back, for data that the other two can't
read: larger than memory, and either compressed or with records of different lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reproducible_ml.input_fn.options import PIPELINE_THREADS
from reproducible_ml.input_fn.order import record_indices
from reproducible_ml.input_fn.parse import decoded_bytes
from reproducible_ml.input_fn.positions import Positions
from reproducible_ml.input_fn.readers.memmap import memmap_gather, why_not_memmap
from reproducible_ml.input_fn.readers.memory import memory_gather
from reproducible_ml.input_fn.readers.stream import stream_batches
from reproducible_ml.utils.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

    from reproducible_ml.datasets.serialize import Manifest
    from reproducible_ml.handlers import FeatureSchema

READERS = ("memory", "memmap", "stream")
# Number of records that the memory-mapped reader fetches with one Python call.
BLOCK_RECORDS = 2048
# A constant, not a share of the machine's memory: with compressed shards the order depends on the
# choice between memory and stream, so the choice must be the same on every machine.
MEMORY_BUDGET_BYTES = 2 * 2**30
# Values of varying length count as the shards that hold them; text shrinks to about a quarter.
COMPRESSED_GROWTH = 4

Finish = Callable[[Any, dict[str, Any]], Any]


def choose_reader(
    manifest: Manifest,
    split: str,
    features: Mapping[str, FeatureSchema],
    reader: str = "auto",
    memory_budget_bytes: int | None = None,
) -> str:
    """Choose how to read a split.

    Args:
        manifest: The data set's manifest.
        split: Name of the split.
        features: The features that will be read.
        reader: "auto", or the reader to use.
        memory_budget_bytes: Limit for decoded records; None for ``MEMORY_BUDGET_BYTES``.

    Returns:
        "memory" if the decoded records fit the budget, else "memmap" if the shards are
        uncompressed with records of one length, else "stream".

    Raises:
        ConfigError: If the reader is unknown or cannot read this split.
    """
    if reader not in ("auto", *READERS):
        raise ConfigError(f"reader is {reader!r}, expected auto, {', '.join(READERS)}")
    if reader == "memmap":
        reason = why_not_memmap(manifest, split, features)
        if reason is not None:
            raise ConfigError(f"reader 'memmap' cannot read {manifest.record_dir}: {reason}")
    if reader != "auto":
        return reader
    budget = MEMORY_BUDGET_BYTES if memory_budget_bytes is None else memory_budget_bytes
    content = manifest.splits[split]
    needed = content.records * sum(map(decoded_bytes, features.values()))
    if any(schema.shape is None or schema.encoding == "utf8" for schema in features.values()):
        growth = COMPRESSED_GROWTH if manifest.compression else 1
        needed += growth * sum(shard.bytes for shard in content.shards)
    if needed <= budget:
        return "memory"
    return "memmap" if why_not_memmap(manifest, split, features) is None else "stream"


def open_reader(
    reader: str,
    manifest: Manifest,
    split: str,
    features: Mapping[str, FeatureSchema],
    positions: Positions,
    finish: Finish,
    seed: int,
    shuffle: bool,
) -> tf.data.Dataset:
    """Build the dataset of ``finish(element, values)`` for each element of ``positions``.

    Args:
        reader: One of ``READERS``.
        manifest: The data set's manifest, already checked.
        split: Name of the split.
        features: The features to read, by name.
        positions: The global positions of each element.
        finish: Makes an element from its number and ``{key: tensor [n, *shape]}``, ragged if the
            shape varies.
        seed: Root seed of the run.
        shuffle: Whether the order is shuffled.
    """
    if reader == "stream":
        return stream_batches(manifest, split, features, positions, finish, seed, shuffle)
    open_gather = memory_gather if reader == "memory" else memmap_gather
    gather = open_gather(manifest, split, features)
    records = manifest.splits[split].records

    def fetch(places: Any) -> dict[str, Any]:
        return gather(record_indices(places, records, seed, shuffle))

    if reader == "memmap":
        return _by_blocks(positions, fetch, finish)

    def element(number: Any) -> Any:
        return finish(number, fetch(positions.of(number)))

    return positions.elements().map(element, num_parallel_calls=PIPELINE_THREADS)


def _by_blocks(
    positions: Positions, fetch: Callable[[Any], dict[str, Any]], finish: Finish
) -> tf.data.Dataset:
    """Fetch the records of several elements at once, since each Python call is costly."""
    import tensorflow as tf

    samples = positions.substeps * positions.batch_size
    numbers = positions.elements()

    def block(numbers: Any) -> Any:
        found = fetch(positions.of_whole(numbers))
        return numbers, {
            key: tf.reshape(value, [-1, samples, *value.shape[1:]]) for key, value in found.items()
        }

    def alone(number: Any) -> Any:
        return number, fetch(positions.of(number))

    # In a single pass each worker's last element may be shorter, so it can't be part of a block.
    whole: Any = -1
    if not positions.is_static:
        whole = tf.maximum(positions.stop() - positions.workers - positions.first_element(), 0)
    blocks = numbers.take(whole).batch(max(1, BLOCK_RECORDS // samples))
    data = blocks.map(block, num_parallel_calls=PIPELINE_THREADS).unbatch()
    if not positions.is_static:
        data = data.concatenate(numbers.skip(whole).map(alone))
    return data.map(finish, num_parallel_calls=PIPELINE_THREADS)
