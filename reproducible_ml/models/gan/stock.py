"""TF-GAN's own estimator, made to tell its losses and its generator to a training that is recorded.

Its step takes several sessions, see ``fused_step``. Its losses are those that it reports: computed
after the updates, on one more batch.
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from reproducible_ml.models.exact import publish_losses

_GAN_MODEL = "reproducible_ml/gan_model"


def tell_training(module: Any) -> None:
    """Change TF-GAN's module ``gan_estimator`` so that its trainings tell what they do.

    Args:
        module: The module, which has just been imported.
    """
    stock = module.get_train_estimator_spec

    @functools.wraps(stock)
    def get_train_estimator_spec(gan_model: Any, gan_loss: Any, *args: Any, **kwargs: Any) -> Any:
        publish_losses(
            {
                "generator_loss": gan_loss.generator_loss,
                "critic_loss": gan_loss.discriminator_loss,
            }
        )
        note_gan_model(gan_model)
        return stock(gan_model, gan_loss, *args, **kwargs)

    module.get_train_estimator_spec = get_train_estimator_spec


def note_gan_model(gan_model: Any) -> None:
    """Note the networks of the graph that is being built."""
    tf.compat.v1.get_collection_ref(_GAN_MODEL).append(gan_model)


def noted_gan_model() -> Any:
    """Return the ``GANModel`` of the present graph; None if it is no GAN's."""
    found = tf.compat.v1.get_collection(_GAN_MODEL)
    return found[0] if found else None


def generate(gan_model: Any, inputs: Any) -> tf.Tensor:
    """Build the generator of a training's graph once more, as for predictions.

    Args:
        gan_model: The ``GANModel`` of the present graph.
        inputs: The generator's inputs.

    Returns:
        The generated samples.
    """
    generator = gan_model.generator_fn
    if isinstance(generator, functools.partial) and "mode" in generator.keywords:
        generator = functools.partial(
            generator.func,
            *generator.args,
            **{**generator.keywords, "mode": tf.estimator.ModeKeys.PREDICT},
        )
    with tf.compat.v1.variable_scope(gan_model.generator_scope, reuse=True):
        return generator(inputs)
