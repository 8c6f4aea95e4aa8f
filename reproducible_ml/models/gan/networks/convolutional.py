"""Convolutional networks, with a depth that depends on the size of the images.

For 28 x 28 images the generator has 1024 units, 7 x 7 x 256 units and two transposed convolutions,
and the critic has three convolutions. For other sizes the doubling (or halving) layer is repeated
as often as needed. A GAN type may give its critic a dense head instead of the last convolution.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import tensorflow as tf

from reproducible_ml.models.exact import GlorotUniform, seeded_variables
from reproducible_ml.models.gan.networks.spectral import spectral_norm
from reproducible_ml.models.gan.tf_gan import slim
from reproducible_ml.models.gan.types import GanType
from reproducible_ml.utils.errors import ConfigError, chosen

# The generator starts from a square whose side is at most this many pixels.
_LARGEST_START = 8
_BASE_CHANNELS = 256
# Decay per step of batch norm's running mean and variance. slim's default of 0.999 takes thousands
# of steps to settle, and the shortest runs here have a few hundred.
_BATCH_NORM_DECAY = 0.9
_LEAK = 0.2
# Units of the critic's dense head, as in TF-GAN's example for MNIST.
HEAD_UNITS = 1024


def _upsampling_channels(image_shape: Sequence[int]) -> tuple[int, list[int]]:
    """Find the starting square and the channels after each doubling.

    Args:
        image_shape: (height, width, channels) of the images.

    Returns:
        The side of the starting square, and the channels of each doubling, largest first.

    Raises:
        ConfigError: The images are not square or their side can't be reached by doublings.
    """
    if len(image_shape) != 3 or image_shape[0] != image_shape[1]:
        raise ConfigError(
            f"The networks take square images of shape (side, side, channels), found "
            f"{tuple(image_shape)}. Resize them when serializing, for example to (64, 64, 3)."
        )
    side, doublings = int(image_shape[0]), 0
    while side > _LARGEST_START and side % 2 == 0:
        side, doublings = side // 2, doublings + 1
    if side > _LARGEST_START or doublings == 0:
        raise ConfigError(
            f"The networks reach an image side by doubling {_LARGEST_START} pixels or fewer; "
            f"{image_shape[0]} is not such a side. Resize to 28, 32, 64 or 128 when serializing."
        )
    # 32 after the last doubling, twice as many before each one: 64, 32 for 28 pixels.
    return side, [32 * 2**level for level in reversed(range(doublings))]


def convolutional_generator(
    row: GanType, image_shape: Sequence[int], seed: int, classes: int
) -> Callable[..., tf.Tensor]:
    """Make the generator; see ``networks.generator_fn``."""
    start, channels = _upsampling_channels(image_shape)

    def generator(noise: Any, mode: str = tf.estimator.ModeKeys.TRAIN) -> tf.Tensor:
        if row.conditional:
            latents = noise["latents"]
            layer = tf.concat(
                [latents, tf.one_hot(noise["labels"], classes, dtype=latents.dtype)], 1
            )
        else:
            layer = noise
        # No slim.arg_scope: a distribution strategy builds its replicas in parallel threads, which
        # would share the scope's only stack.
        weights = {"weights_initializer": GlorotUniform(seed)}
        inner = {**weights, "normalizer_fn": _batch_norm(mode)}
        with _quiet(), seeded_variables():
            layer = slim.fully_connected(layer, 1024, **inner)
            layer = slim.fully_connected(layer, start * start * _BASE_CHANNELS, **inner)
            layer = tf.reshape(layer, [-1, start, start, _BASE_CHANNELS])
            for width in channels:
                layer = slim.conv2d_transpose(layer, width, [4, 4], stride=2, **inner)
            return slim.conv2d(layer, image_shape[2], [4, 4], activation_fn=_pixels, **weights)

    return generator


def convolutional_critic(
    row: GanType, image_shape: Sequence[int], seed: int, classes: int
) -> Callable[..., tf.Tensor]:
    """Make the critic; see ``networks.critic_fn``.

    The convolutions have batch norm only if the type's row says so, since a Wasserstein critic must
    score each image independently. The row also names the head that computes the score. Critics of
    conditional types get the label as additional channels, one per class, unless they classify.
    """
    _, channels = _upsampling_channels(image_shape)

    def critic(images: tf.Tensor, conditioning: Any | None = None) -> tf.Tensor:
        layer = images
        weights = {"weights_initializer": GlorotUniform(seed)}
        if row.conditional and not row.classifies:
            assert conditioning is not None
            planes = tf.one_hot(conditioning["labels"], classes, dtype=images.dtype)
            size = [1, image_shape[0], image_shape[1], 1]
            layer = tf.concat([images, tf.tile(planes[:, None, None, :], size)], axis=3)
        with (
            _quiet(),
            seeded_variables(),
            spectral_norm(seed) if row.spectral_norm else nullcontext(),
        ):
            for level in range(len(channels)):
                normalized = row.critic_batch_norm and level > 0
                layer = slim.conv2d(
                    layer,
                    min(64 * 2**level, 512),
                    [4, 4],
                    stride=2,
                    activation_fn=_leaky_relu,
                    normalizer_fn=_norm_of_the_batch if normalized else None,
                    **weights,
                )
            outputs = 1 + classes if row.classifies else 1
            return chosen(_HEADS, row.critic_head, "critic_head")(layer, outputs, weights)

    return critic


def _mean_head(layer: tf.Tensor, outputs: int, weights: dict[str, Any]) -> tf.Tensor:
    layer = slim.conv2d(layer, outputs, [4, 4], stride=2, activation_fn=None, **weights)
    return tf.reduce_mean(tf.cast(layer, tf.float32), axis=[1, 2] if outputs > 1 else [1, 2, 3])


def _dense_head(layer: tf.Tensor, outputs: int, weights: dict[str, Any]) -> tf.Tensor:
    # Images of 1 x 1 pixel, so that the batch norm of the convolutions fits.
    layer = tf.reshape(layer, [-1, 1, 1, math.prod(layer.shape[1:])])
    layer = slim.fully_connected(
        layer, HEAD_UNITS, activation_fn=_leaky_relu, normalizer_fn=_norm_of_the_batch, **weights
    )
    layer = slim.fully_connected(layer, outputs, activation_fn=None, **weights)
    layer = tf.cast(layer, tf.float32)
    return tf.reshape(layer, [-1, outputs] if outputs > 1 else [-1])


_HEADS: dict[str, Callable[[tf.Tensor, int, dict[str, Any]], tf.Tensor]] = {
    "mean": _mean_head,
    "dense": _dense_head,
}


def _batch_norm(mode: str) -> Callable[[tf.Tensor], tf.Tensor]:
    def normalize(layer: tf.Tensor) -> tf.Tensor:
        scope = tf.compat.v1.get_variable_scope()
        with tf.compat.v1.variable_scope(
            scope, custom_getter=_averaged_when_written, auxiliary_name_scope=False
        ):
            # Not slim.batch_norm, which uses a name that TensorFlow 2.15 no longer has.
            return tf.compat.v1.layers.batch_normalization(
                layer,
                momentum=_BATCH_NORM_DECAY,
                training=mode == tf.estimator.ModeKeys.TRAIN,
                name="batch_norm",
            )

    return normalize


def _averaged_when_written(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """Make a variable whose value is the same in all replicas of a distribution strategy.

    The layer asks for a variable that is averaged on reading, which needs every worker. The chief
    alone reads all variables for checkpoints and digests, and would wait forever.
    """
    if kwargs.get("synchronization") == tf.VariableSynchronization.ON_READ:
        kwargs["synchronization"] = tf.VariableSynchronization.ON_WRITE
    return getter(name, *args, **kwargs)


def _norm_of_the_batch(layer: tf.Tensor) -> tf.Tensor:
    """Normalize by the current batch, in training and evaluation.

    The passes over real and generated images would update running averages in an undefined order,
    so their bits would not repeat; and only evaluation would read them.
    """
    with tf.compat.v1.variable_scope("batch_norm"):
        channels = [int(layer.shape[-1])]
        scale = tf.compat.v1.get_variable("gamma", channels, initializer=tf.ones_initializer())
        offset = tf.compat.v1.get_variable("beta", channels, initializer=tf.zeros_initializer())
    normalized, *_ = tf.compat.v1.nn.fused_batch_norm(layer, scale, offset, is_training=True)
    return normalized


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the layers, each of which warns that it is deprecated; they are used deliberately."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _pixels(layer: tf.Tensor) -> tf.Tensor:
    """Map to [-1, 1], always in float32, since bfloat16 has too few levels for pixels."""
    return tf.tanh(tf.cast(layer, tf.float32))


def _leaky_relu(tensor: tf.Tensor) -> tf.Tensor:
    return tf.nn.leaky_relu(tensor, alpha=_LEAK)
