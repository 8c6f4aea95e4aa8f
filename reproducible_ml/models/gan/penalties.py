"""Gradient penalties of the critic, with noise that is a pure function of (seed, step, update).

TF-GAN's own penalty draws from a stateful operation, so a resumed run would get different noise
than an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from reproducible_ml.input_fn import stream_key
from reproducible_ml.utils.errors import chosen

# Added under the square root, whose gradient is infinite at 0, where a critic may start.
_TINY = 1e-12
# Noise in standard deviations of the batch, as in the code of DRAGAN's authors.
_PERTURBATION = 0.5


def critic_penalty(penalty: str, weight: float, seed: int) -> Callable[[Any, Any, int], tf.Tensor]:
    """Make a penalty for the critic.

    Args:
        penalty: A name of ``PENALTIES``.
        weight: Factor of the penalty.
        seed: The run's root seed.

    Returns:
        A function from (TF-GAN ``GANModel``, step, number of the critic update) to the scalar
        weight * E (|gradient of the score by the image| - 1)^2.
    """
    points = chosen(PENALTIES, penalty, "penalty")

    def of_update(gan_model: Any, step: tf.Tensor, update: int) -> tf.Tensor:
        worker = 0
        if tf.distribute.has_strategy():
            worker = tf.distribute.get_replica_context().replica_id_in_sync_group

        def drawn(name: str, shape: Any) -> tf.Tensor:
            return penalty_noise(seed, name, shape, step, update, worker)

        images = points(gan_model.real_data, gan_model.generated_data, drawn)
        return weight * squared_slope_error(gan_model, images)

    return of_update


def penalty_noise(
    seed: int, name: str, shape: Any, step: Any, update: int, worker: Any = 0
) -> tf.Tensor:
    """Draw from one of the penalties' streams, ``penalty/share`` or ``penalty/noise``.

    Args:
        seed: The run's root seed.
        name: "share" or "noise".
        shape: Shape of the result.
        step: Completed steps.
        update: Number of the critic update in its step.
        worker: Number of the replica that draws.

    Returns:
        float32 tensor, uniform in [0, 1).
    """
    key = stream_key(seed, f"penalty/{name}", step, update, worker)
    return tf.random.stateless_uniform(shape, seed=key, alg="philox")


def squared_slope_error(gan_model: Any, images: tf.Tensor) -> tf.Tensor:
    """Measure how far the critic's slope is from 1 at some images.

    Args:
        gan_model: A TF-GAN ``GANModel`` with the critic.
        images: [batch, height, width, channels].

    Returns:
        Scalar, E (|gradient of the score by the image|_2 - 1)^2.
    """
    with tf.compat.v1.variable_scope(gan_model.discriminator_scope, reuse=True):
        scores = gan_model.discriminator_fn(images, gan_model.generator_inputs)
    (gradient,) = tf.gradients(scores, images)
    slope = tf.sqrt(_TINY + tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))
    return tf.reduce_mean(tf.square(slope - 1.0))


def _interpolated(real: tf.Tensor, generated: tf.Tensor, uniform: Any) -> tf.Tensor:
    """Return points between real and generated images, with one random fraction per image."""
    share = uniform("share", [tf.shape(real)[0], 1, 1, 1])
    return share * real + (1.0 - share) * generated


def _perturbed(real: tf.Tensor, generated: tf.Tensor, uniform: Any) -> tf.Tensor:
    """Return points between real images and their copies with noise."""
    del generated
    shape = tf.shape(real)
    noise = _PERTURBATION * tf.math.reduce_std(real) * uniform("noise", shape)
    return real + uniform("share", [shape[0], 1, 1, 1]) * noise


# Name -> function of the points where the critic's slope is held near 1: WGAN-GP, DRAGAN.
PENALTIES = {"interpolated": _interpolated, "perturbed": _perturbed}
