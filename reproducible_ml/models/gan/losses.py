"""Losses of the GAN types: functions from a TF-GAN ``GANModel`` to a scalar.

D(x) is the critic's score of a real image, D(g) that of a generated image, s the sigmoid and E the
mean over the batch. The functions are TF-GAN's, without label smoothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from reproducible_ml.models.gan.tf_gan import tfgan


def _relativistic_generator(gan_model: Any) -> tf.Tensor:
    # A wrapper without keyword arguments: TF-GAN passes some on that its own function rejects.
    return tfgan.losses.relativistic_generator_loss(gan_model)


def _relativistic_critic(gan_model: Any) -> tf.Tensor:
    return tfgan.losses.relativistic_discriminator_loss(gan_model)


def _one_hot(gan_model: Any, logits: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(gan_model.generator_inputs["labels"], logits.shape[-1])


def _auxiliary_generator(gan_model: Any) -> tf.Tensor:
    """-E log s(D(g)), and the cross-entropy of the label in a generated image.

    The critic returns [batch, 1 + classes]: the score, then the logits of the classes.
    """
    outputs = gan_model.discriminator_gen_outputs
    return tfgan.losses.wargs.modified_generator_loss(
        outputs[:, 0]
    ) + tfgan.losses.wargs.acgan_generator_loss(outputs[:, 1:], _one_hot(gan_model, outputs[:, 1:]))


def _auxiliary_critic(gan_model: Any) -> tf.Tensor:
    """-E log s(D(x)) - E log(1 - s(D(g))), and the cross-entropy of the label in both images."""
    real, generated = gan_model.discriminator_real_outputs, gan_model.discriminator_gen_outputs
    return tfgan.losses.wargs.minimax_discriminator_loss(
        real[:, 0], generated[:, 0], label_smoothing=0.0
    ) + tfgan.losses.wargs.acgan_discriminator_loss(
        real[:, 1:], generated[:, 1:], _one_hot(gan_model, real[:, 1:])
    )


GENERATOR_LOSSES: dict[str, Callable[..., Any]] = {
    # -E D(g)
    "wasserstein": tfgan.losses.wasserstein_generator_loss,
    # -E log s(D(g))
    "non_saturating": tfgan.losses.modified_generator_loss,
    # E log(1 - s(D(g))), and the constant log s(1) = -0.313 that TF-GAN adds
    "minimax": tfgan.losses.minimax_generator_loss,
    # E (D(g) - 1)^2 / 2
    "least_squares": tfgan.losses.least_squares_generator_loss,
    # -E log(1 - s(D(x) - E D(g))) - E log s(D(g) - E D(x))
    "relativistic": _relativistic_generator,
    "auxiliary": _auxiliary_generator,
}

CRITIC_LOSSES: dict[str, Callable[..., Any]] = {
    # E D(g) - E D(x)
    "wasserstein": tfgan.losses.wasserstein_discriminator_loss,
    # -E log s(D(x)) - E log(1 - s(D(g)))
    "minimax": partial(tfgan.losses.minimax_discriminator_loss, label_smoothing=0.0),
    # E (D(x) - 1)^2 / 2 + E D(g)^2 / 2
    "least_squares": tfgan.losses.least_squares_discriminator_loss,
    # E max(0, 1 - D(x)) + E max(0, 1 + D(g))
    "hinge": tfgan.losses.wasserstein_hinge_discriminator_loss,
    # -E log s(D(x) - E D(g)) - E log(1 - s(D(g) - E D(x)))
    "relativistic": _relativistic_critic,
    "auxiliary": _auxiliary_critic,
}
