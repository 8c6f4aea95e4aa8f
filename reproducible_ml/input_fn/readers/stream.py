"""A reader for data that can only be read from front to back: compressed, or of varying length.

An epoch is a deterministic sequence: the shards are put in an order drawn for (seed, epoch), a
fixed number of them is interleaved record by record, and a buffer with a seed for the epoch
shuffles the records. They stay serialized until a batch is taken, which makes shuffling and
skipping cheap.

The record at a position is therefore a pure function of (seed, position) here, too. But to reach a
position, the earlier records of its epoch must be read, although not parsed. Earlier epochs are
skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.input_fn.options import PIPELINE_THREADS
from reproducible_ml.input_fn.order import record_indices
from reproducible_ml.input_fn.parse import parse_batch
from reproducible_ml.input_fn.positions import FOREVER, Positions
from reproducible_ml.input_fn.shards import shard_paths
from reproducible_ml.utils.seeds import seed_pair

if TYPE_CHECKING:
    import tensorflow as tf

    from reproducible_ml.datasets.serialize import Manifest
    from reproducible_ml.handlers import FeatureSchema

INTERLEAVED_SHARDS = 4
SHUFFLE_RECORDS = 10_000
# Odd, so that 2**31 epochs have different seeds.
_EPOCH_STRIDE = 0x9E3779B1


def _epoch_dataset(
    paths: Sequence[str], compression: str, epoch: Any, seed: int, shuffle: bool
) -> tf.data.Dataset:
    """Read one epoch's serialized records in order; only for use inside a ``flat_map``."""
    import tensorflow as tf

    files = tf.constant(list(paths))
    if not shuffle:
        return tf.data.TFRecordDataset(files, compression_type=compression)
    shards = len(paths)
    drawn = record_indices(epoch * shards + tf.range(shards, dtype=tf.int64), shards, seed)
    dataset = tf.data.Dataset.from_tensor_slices(tf.gather(files, drawn)).interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type=compression),
        cycle_length=INTERLEAVED_SHARDS,
        block_length=1,
    )
    # A shuffle combines the seed of its graph with its own. Inside ``flat_map`` the graph is that
    # of a function, so the run's graph seed neither affects this order nor is changed here.
    graph_seed, own_seed = seed_pair(seed, "order")
    tf.compat.v1.set_random_seed(graph_seed)
    return dataset.shuffle(
        SHUFFLE_RECORDS,
        seed=(own_seed + epoch * _EPOCH_STRIDE) % 2**31,
        reshuffle_each_iteration=False,
    )


def stream_batches(
    manifest: Manifest,
    split: str,
    features: Mapping[str, FeatureSchema],
    positions: Positions,
    finish: Callable[[Any, dict[str, Any]], Any],
    seed: int,
    shuffle: bool,
) -> tf.data.Dataset:
    """Build the dataset of ``finish(element, values)``, reading the shards as streams.

    Args:
        manifest: The data set's manifest.
        split: Name of the split.
        features: The features to read, by name.
        positions: The global positions of each element; records of other workers are read and
            dropped unparsed.
        finish: Makes an element from its number and ``{key: tensor [n, *shape]}``, ragged if the
            shape varies.
        seed: Root seed of the run.
        shuffle: Whether the order is shuffled.
    """
    import tensorflow as tf

    paths = shard_paths(manifest, split)
    records = manifest.splits[split].records
    first = tf.cast(positions.start, tf.int64) * positions.samples_per_step
    first_epoch, within = first // records, first % records

    def one_epoch(epoch: Any) -> tf.data.Dataset:
        dataset = _epoch_dataset(paths, manifest.compression, epoch, seed, shuffle)
        return dataset.skip(tf.where(tf.equal(epoch, first_epoch), within, 0))

    # A single pass reads epoch 0 only.
    last_epoch = FOREVER if positions.records is None else 1
    epochs = tf.data.Dataset.range(first_epoch, tf.constant(last_epoch, tf.int64))
    finite = positions.records is not None and not positions.whole_steps
    strings = epochs.flat_map(one_epoch).batch(positions.batch_size, drop_remainder=not finite)
    if positions.num_workers > 1:
        strings = strings.enumerate().filter(lambda number, _: positions.is_mine(number))
        strings = strings.map(lambda _, batch: batch)
    if positions.substeps > 1:
        step_shape = [positions.substeps, positions.workers, positions.batch_size]

        # The stream brings the batches by sub-step and worker; an element is one worker's step.
        def by_worker(batches: Any) -> Any:
            batches = tf.transpose(tf.reshape(batches, step_shape), [1, 0, 2])
            return tf.reshape(batches, [positions.workers, -1])

        strings = strings.batch(positions.substeps * positions.workers, drop_remainder=True)
        strings = strings.map(by_worker).unbatch()

    def element(number: Any, batch: Any) -> Any:
        if positions.is_static:
            batch = tf.ensure_shape(batch, [positions.substeps * positions.batch_size])
        return finish(number, parse_batch(batch, features))

    return tf.data.Dataset.zip((positions.elements(), strings)).map(
        element, num_parallel_calls=PIPELINE_THREADS
    )
