"""Changes to images that are drawn anew for each global position, inside the graph.

What happens to a sample is a pure function of (seed, position): not of the batch size, the number
of workers or the reader, and a resumed run draws what the uninterrupted one would have.

The draws of "flip", "shift" and "crop" are the bits that ``RandomIndexShuffle`` makes of the
position: a block cipher is a hash here, and one operation serves the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.input_fn.noise import stateless_normal, stream_key
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.seeds import seed_pair

if TYPE_CHECKING:
    import tensorflow as tf

_HASH_MAX = 2**62 - 1
_ROUNDS = 16
# What lies outside an image that was shifted: the low end of its value range.
BACKGROUND = -1.0


def augment_images(
    images: tf.Tensor, positions: tf.Tensor, seed: int, changes: Sequence[Any]
) -> tf.Tensor:
    """Apply changes one after the other.

    Args:
        images: float32 tensor [n, h, w, c] in [-1, 1].
        positions: int64 tensor [n], the global positions of the samples.
        seed: Root seed of the run.
        changes: Names or (name, argument) pairs: "flip" (left-right, half of the samples),
            ("shift", pixels) in both directions, ("crop", (height, width)) at a random place,
            ("noise", standard deviation), cut to [-1, 1].

    Returns:
        float32 tensor of the same shape, [n, height, width, c] after a crop.

    Raises:
        ConfigError: If a change is unknown or its argument cannot work.
    """
    for number, (name, argument) in enumerate(named_changes(changes)):
        images = CHANGES[name](images, positions, seed, number, argument)
    return images


def named_changes(changes: Sequence[Any]) -> list[tuple[str, Any]]:
    """Give each change as (name, argument).

    Raises:
        ConfigError: If a change is unknown.
    """
    named = [
        (change, None) if isinstance(change, str) else (change[0], change[1]) for change in changes
    ]
    for name, _ in named:
        if name not in CHANGES:
            raise ConfigError(f"augment has {name!r}, expected one of {', '.join(sorted(CHANGES))}")
    return named


def _draw(positions: tf.Tensor, seed: int, number: int, below: int) -> tf.Tensor:
    """Draw an integer in [0, below) for each position."""
    import tensorflow as tf

    high, low = seed_pair(seed, "augment")
    hashed = tf.raw_ops.RandomIndexShuffle(
        index=positions,
        seed=tf.constant([high, low, number], tf.int64),
        max_index=tf.constant(_HASH_MAX, tf.int64),
        rounds=_ROUNDS,
    )
    return tf.math.floormod(hashed, below)


def _flip(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    import tensorflow as tf

    if argument is not None:
        raise ConfigError(f"augment: flip takes no argument, found {argument!r}")
    flipped = tf.equal(_draw(positions, seed, number, 2), 1)
    return tf.where(flipped[:, None, None, None], tf.reverse(images, [2]), images)


def _shift(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    import tensorflow as tf

    if not isinstance(argument, int) or argument < 1:
        raise ConfigError(f"augment: shift takes a number of pixels >= 1, found {argument!r}")
    margin = [argument, argument]
    padded = tf.pad(images, [[0, 0], margin, margin, [0, 0]], constant_values=BACKGROUND)
    return _windows(padded, positions, seed, number, images.shape[1], images.shape[2])


def _crop(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    height, width = argument if isinstance(argument, (tuple, list)) else (0, 0)
    if not (1 <= height <= images.shape[1] and 1 <= width <= images.shape[2]):
        raise ConfigError(
            f"augment: crop takes (height, width) within {tuple(images.shape[1:3])}, "
            f"found {argument!r}"
        )
    return _windows(images, positions, seed, number, height, width)


def _noise(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    import tensorflow as tf

    if not isinstance(argument, (int, float)) or argument < 0:
        raise ConfigError(f"augment: noise takes a standard deviation >= 0, found {argument!r}")
    shape = images.shape[1:]

    def draw(position: Any) -> Any:
        return stateless_normal(stream_key(seed, "augment", position, number), shape)

    drawn = tf.map_fn(draw, positions, fn_output_signature=tf.TensorSpec(shape, tf.float32))
    return tf.clip_by_value(images + argument * drawn, -1.0, 1.0)


def _windows(images: Any, positions: Any, seed: int, number: int, height: int, width: int) -> Any:
    """Cut a window out of each image, at a place drawn for its position."""
    import tensorflow as tf

    rows, columns = images.shape[1] - height + 1, images.shape[2] - width + 1
    place = _draw(positions, seed, number, rows * columns)
    top, left = place // columns, place % columns
    images = tf.gather(images, top[:, None] + tf.range(height, dtype=tf.int64), batch_dims=1)
    images = tf.gather(
        images, left[:, None] + tf.range(width, dtype=tf.int64), axis=2, batch_dims=1
    )
    return images


CHANGES: dict[str, Callable[[Any, Any, int, int, Any], Any]] = {
    "flip": _flip,
    "shift": _shift,
    "crop": _crop,
    "noise": _noise,
}
