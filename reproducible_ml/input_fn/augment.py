"""Random changes to images, drawn in the graph for each global position.

The change to a sample is a pure function of (seed, position). It does not depend on the batch size,
the number of workers or the reader, and a resumed run draws what the uninterrupted one would have
drawn.

"flip", "shift" and "crop" draw with ``RandomIndexShuffle``: its block cipher serves as a hash of
the position, and one operation hashes the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

from reproducible_ml.input_fn.noise import stateless_normal, stream_key
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.seeds import seed_pair

if TYPE_CHECKING:
    import tensorflow as tf

_HASH_MAX = 2**62 - 1
_ROUNDS = 16
# Fills the border of a shifted image: the low end of the value range.
BACKGROUND = -1.0


def augment_images(
    images: tf.Tensor, positions: tf.Tensor, seed: int, changes: Sequence[Any]
) -> tf.Tensor:
    """Apply changes in the order given.

    Args:
        images: float32 tensor [n, h, w, c] in [-1, 1].
        positions: int64 tensor [n], the global positions of the samples.
        seed: Root seed of the run.
        changes: Names or (name, argument) pairs: "flip" (left-right, half of the samples),
            ("shift", pixels) in both directions, ("crop", (height, width)) at a random place,
            ("noise", standard deviation) with the result clipped to [-1, 1].

    Returns:
        float32 tensor of the same shape, or [n, height, width, c] after a crop.

    Raises:
        ConfigError: If a change is unknown or its argument is invalid.
    """
    named = checked_changes(changes, tuple(images.shape[1:3]))
    for number, (name, argument) in enumerate(named):
        images = CHANGES[name].apply(images, positions, seed, number, argument)
    return images


def checked_changes(changes: Sequence[Any], size: tuple[int, int]) -> list[tuple[str, Any]]:
    """Return each change as (name, argument), after checking that it fits images of this size.

    Args:
        changes: As for ``augment_images``.
        size: Height and width of the images.

    Raises:
        ConfigError: If a change is unknown or its argument is invalid.
    """
    if isinstance(changes, str) or not isinstance(changes, Sequence):
        raise ConfigError(f"augment is {changes!r}, expected a list such as ['flip', ('shift', 2)]")
    named = []
    for change in changes:
        is_pair = isinstance(change, (tuple, list)) and len(change) == 2
        name: Any = change[0] if is_pair else change
        argument: Any = change[1] if is_pair else None
        if not isinstance(name, str) or name not in CHANGES:
            raise ConfigError(
                f"augment has {change!r}, expected a name or (name, argument) with one of "
                f"{', '.join(sorted(CHANGES))}"
            )
        wanted = CHANGES[name].wanted(argument, size)
        if wanted is not None:
            raise ConfigError(f"augment: {name} takes {wanted}, found {argument!r}")
        # Later changes see smaller images.
        if name == "crop":
            size = (argument[0], argument[1])
        named.append((name, argument))
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

    flipped = tf.equal(_draw(positions, seed, number, 2), 1)
    return tf.where(flipped[:, None, None, None], tf.reverse(images, [2]), images)


def _shift(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    import tensorflow as tf

    margin = [argument, argument]
    padded = tf.pad(images, [[0, 0], margin, margin, [0, 0]], constant_values=BACKGROUND)
    return _windows(padded, positions, seed, number, images.shape[1], images.shape[2])


def _crop(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    height, width = argument
    return _windows(images, positions, seed, number, height, width)


def _noise(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    import tensorflow as tf

    shape = images.shape[1:]

    def draw(position: Any) -> Any:
        return stateless_normal(stream_key(seed, "augment", position, number), shape)

    drawn = tf.map_fn(draw, positions, fn_output_signature=tf.TensorSpec(shape, tf.float32))
    return tf.clip_by_value(images + argument * drawn, -1.0, 1.0)


def _windows(images: Any, positions: Any, seed: int, number: int, height: int, width: int) -> Any:
    """Cut a window from each image, at a place drawn for its position."""
    import tensorflow as tf

    rows, columns = images.shape[1] - height + 1, images.shape[2] - width + 1
    # One draw for both coordinates.
    place = _draw(positions, seed, number, rows * columns)
    top, left = place // columns, place % columns
    images = tf.gather(images, top[:, None] + tf.range(height, dtype=tf.int64), batch_dims=1)
    images = tf.gather(
        images, left[:, None] + tf.range(width, dtype=tf.int64), axis=2, batch_dims=1
    )
    return images


def _flip_wants(argument: Any, size: tuple[int, int]) -> str | None:
    return None if argument is None else "no argument"


def _shift_wants(argument: Any, size: tuple[int, int]) -> str | None:
    return None if _is_whole(argument) and argument >= 1 else "a number of pixels >= 1"


def _crop_wants(argument: Any, size: tuple[int, int]) -> str | None:
    is_pair = isinstance(argument, (tuple, list)) and len(argument) == 2
    if is_pair and all(_is_whole(one) and 1 <= one <= most for one, most in zip(argument, size)):
        return None
    return f"(height, width) within {size}"


def _noise_wants(argument: Any, size: tuple[int, int]) -> str | None:
    is_number = isinstance(argument, Real) and not isinstance(argument, bool)
    return None if is_number and 0 <= argument < math.inf else "a standard deviation >= 0"


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


class Change(NamedTuple):
    """An entry in the table of changes.

    Attributes:
        apply: Function of (images, positions, seed, number, argument) that changes the images.
        wanted: Function of (argument, size) that returns None for a valid argument, and else a
            description of valid ones.
    """

    apply: Callable[[Any, Any, int, int, Any], Any]
    wanted: Callable[[Any, tuple[int, int]], str | None]


CHANGES = {
    "flip": Change(_flip, _flip_wants),
    "shift": Change(_shift, _shift_wants),
    "crop": Change(_crop, _crop_wants),
    "noise": Change(_noise, _noise_wants),
}
