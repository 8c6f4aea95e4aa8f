"""The data order: the record at each position, computed instead of stored.

A training numbers its samples 0, 1, 2, ... without end. In a split of ``N`` records, position ``p``
is in epoch ``p // N``. Each epoch is a permutation of all ``N`` records, and the record at ``p`` is
a pure function of (seed, epoch, ``p % N``). Nothing is kept between steps, so any step is reached
in constant time and a resumed run needs no saved state.

The permutation is TensorFlow's ``RandomIndexShuffle`` (a Simon block cipher, applied until the
result is in the range) with 16 rounds. Its public wrapper uses 4, which is not random: successive
epochs correlate by 0.91.

Two flaws of that operation are corrected here:

* It truncates each of its three key words to half a block. For up to 65,536 records this is 8 bits,
  so epoch 256 would repeat epoch 0. Therefore the epoch's upper bytes are added to the two words of
  the seed.
* It chooses a block of ``log2(N - 1)`` bits. With ``2**k + 1`` records (``k`` even) the last index
  does not fit into it: two indices would share one record, and one record would never be read. For
  these sizes the permutation of one more record is used instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.seeds import seed_pair

if TYPE_CHECKING:
    import tensorflow as tf

ROUNDS = 16


def record_indices(
    positions: Any, records: int, seed: int, shuffle: bool = True, stream: str = "order"
) -> tf.Tensor:
    """Return the index of the record at each global position.

    Args:
        positions: int64 tensor of any shape, global positions >= 0.
        records: Number of records of the split, >= 1.
        seed: Root seed of the run.
        shuffle: False keeps the records in their written order in every epoch.
        stream: Name of the child seed.

    Returns:
        int64 tensor of the same shape, record indices in [0, records).

    Raises:
        ConfigError: If there are no records.
    """
    import tensorflow as tf

    if records < 1:
        raise ConfigError(f"an order needs at least 1 record, the split has {records}")
    positions = tf.convert_to_tensor(positions, tf.int64)
    within = tf.math.floormod(positions, records)
    if not shuffle:
        return within
    flat = tf.reshape(within, [-1])
    epochs = tf.reshape(tf.math.floordiv(positions, records), [-1])
    keys = epoch_keys(epochs, seed, stream)
    if not _needs_wider_walk(records):
        shuffled = _permute(flat, keys, records - 1)
    else:
        # The extra index is never asked for; where it comes out, its own image takes its place.
        once = _permute(flat, keys, records)
        shuffled = tf.where(tf.equal(once, records), _permute(once, keys, records), once)
    return tf.reshape(shuffled, tf.shape(positions))


def epoch_keys(epochs: tf.Tensor, seed: int, stream: str = "order") -> tf.Tensor:
    """Return the permutation key of each epoch.

    Args:
        epochs: int64 tensor [n], epochs >= 0.
        seed: Root seed of the run.
        stream: Name of the child seed.

    Returns:
        int64 tensor [n, 3]: the two words of the child seed, with the epoch shifted right by 8 and
        by 16 bits added, and the epoch itself.
    """
    import tensorflow as tf

    first, second = seed_pair(seed, stream)
    return tf.stack(
        [
            first + tf.bitwise.right_shift(epochs, tf.constant(8, tf.int64)),
            second + tf.bitwise.right_shift(epochs, tf.constant(16, tf.int64)),
            epochs,
        ],
        axis=1,
    )


def _permute(indices: tf.Tensor, keys: tf.Tensor, max_index: int) -> tf.Tensor:
    import tensorflow as tf

    return tf.raw_ops.RandomIndexShuffle(
        index=indices, seed=keys, max_index=tf.constant(max_index, tf.int64), rounds=ROUNDS
    )


def _needs_wider_walk(records: int) -> bool:
    # The smallest block has 16 bits, so only larger splits are affected.
    bits = (records - 1).bit_length() - 1
    return bits >= 16 and bits % 2 == 0 and records - 1 == 1 << bits
