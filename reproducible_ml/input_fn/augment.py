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
# Operations that give other values at each execution, whatever the step.
_DRAW_FROM_STATE = {
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoisson",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "RngReadAndSkip",
    "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2",
    "StatefulRandomBinomial",
    "StatefulStandardNormal",
    "StatefulStandardNormalV2",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "StatefulUniformFullInt",
    "StatefulUniformInt",
    "TruncatedNormal",
}


def augment_images(images: tf.Tensor, positions: tf.Tensor, seed: int, changes: Any) -> tf.Tensor:
    """Apply changes in the order given.

    Args:
        images: float32 tensor [n, h, w, c] in [-1, 1].
        positions: int64 tensor [n], the global positions of the samples.
        seed: Root seed of the run.
        changes: A list of names or (name, argument) pairs: "flip" (left-right, half of the
            samples), ("shift", pixels) in both directions, ("crop", (height, width)) at a random
            place, ("noise", standard deviation) with the result clipped to [-1, 1]. An entry, or
            the whole, may also be a function of (image, seed): float32 [h, w, c] and int32 [2], a
            seed for stateless operations that depends on (seed, position) alone; it returns a
            float32 image of any one shape.

    Returns:
        float32 tensor of the same shape, or another after a crop or a function.

    Raises:
        ConfigError: If a change is unknown, its argument is invalid, or a function draws random
            numbers from a state or does not return an image.
    """
    checked = checked_changes(changes, tuple(images.shape[1:]))
    return apply_changes(images, positions, seed, checked)


def apply_changes(
    images: tf.Tensor, positions: tf.Tensor, seed: int, checked: Sequence[tuple[Any, Any]]
) -> tf.Tensor:
    """Apply changes as ``checked_changes`` returns them; see ``augment_images``."""
    for number, (apply, argument) in enumerate(checked):
        images = apply(images, positions, seed, number, argument)
    return images


def checked_changes(changes: Any, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """Return each change as (function, argument), after checking that it fits such images.

    Args:
        changes: As for ``augment_images``.
        shape: Height, width and channels of the images.

    Raises:
        ConfigError: As in ``augment_images``.
    """
    if callable(changes):
        changes = [changes]
    if isinstance(changes, str) or not isinstance(changes, Sequence):
        raise ConfigError(
            f"augment is {changes!r}, expected a list such as ['flip', ('shift', 2)], or a "
            "function of (image, seed)"
        )
    checked: list[tuple[Any, Any]] = []
    for change in changes:
        if callable(change):
            # Later changes see images of another shape.
            shape = _shape_after(change, shape)
            checked.append((_own, (change, shape)))
            continue
        is_pair = isinstance(change, (tuple, list)) and len(change) == 2
        name: Any = change[0] if is_pair else change
        argument: Any = change[1] if is_pair else None
        if not isinstance(name, str) or name not in CHANGES:
            raise ConfigError(
                f"augment has {change!r}, expected a name or (name, argument) with one of "
                f"{', '.join(sorted(CHANGES))}, or a function of (image, seed)"
            )
        wanted = CHANGES[name].wanted(argument, (shape[0], shape[1]))
        if wanted is not None:
            raise ConfigError(f"augment: {name} takes {wanted}, found {argument!r}")
        if name == "crop":
            shape = (argument[0], argument[1], *shape[2:])
        checked.append((CHANGES[name].apply, argument))
    return checked


def _shape_after(function: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the images that a user's function makes, after checking it."""
    import tensorflow as tf

    name = getattr(function, "__name__", repr(function))
    traced = tf.function(function, autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32), tf.TensorSpec([2], tf.int32)
    )
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    for node in nodes:
        if node.op in _DRAW_FROM_STATE:
            raise ConfigError(
                f"augment: {name} draws with {node.op}, whose state a resumed run does not have. "
                "Draw with a stateless operation and the seed that it is given, such as "
                "tf.image.stateless_random_contrast(image, 0.8, 1.2, seed)."
            )
    made = traced.structured_outputs
    if not isinstance(made, tf.Tensor) or made.dtype != tf.float32:
        raise ConfigError(f"augment: {name} returns {made!r}, expected one float32 image")
    if made.shape.rank != 3 or not made.shape.is_fully_defined():
        raise ConfigError(
            f"augment: {name} returns an image of shape {made.shape}, expected a known (height, "
            "width, channels); state it with tf.ensure_shape"
        )
    return tuple(made.shape)


def _own(images: Any, positions: Any, seed: int, number: int, argument: Any) -> Any:
    """Apply a user's function to each image."""
    import tensorflow as tf

    function, shape = argument

    def change(image_and_position: Any) -> Any:
        image, position = image_and_position
        # The counter of the position is 64 bits wide, a seed has twice 31.
        key = stream_key(seed, "augment", position, number)
        drawn = tf.random.stateless_uniform([2], key, 0, 2**31 - 1, tf.int32, alg="philox")
        return function(image, drawn)

    signature = tf.TensorSpec(shape, tf.float32)
    return tf.map_fn(change, (images, positions), fn_output_signature=signature)


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
