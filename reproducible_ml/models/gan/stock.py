"""TF-GAN's own estimator, made to tell its losses and its generator to a training that is recorded.

Its step takes several sessions, see ``fused_step``. Its losses are those that it reports: computed
after the updates, on one more batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from reproducible_ml.models.exact import publish_losses
from reproducible_ml.models.gan.grids import grid_inputs
from reproducible_ml.models.gan.types import LOSS_NAMES

_GAN_MODEL = "reproducible_ml/gan_model"


def tell_training(module: Any) -> None:
    """Change TF-GAN's module ``gan_estimator`` so that its trainings tell what they do.

    Args:
        module: The module, which has just been imported.
    """
    stock = module.get_train_estimator_spec

    @functools.wraps(stock)
    def get_train_estimator_spec(gan_model: Any, gan_loss: Any, *args: Any, **kwargs: Any) -> Any:
        losses = (gan_loss.generator_loss, gan_loss.discriminator_loss)
        publish_losses(dict(zip(LOSS_NAMES, losses)))
        note_gan_model(gan_model)
        return stock(gan_model, gan_loss, *args, **kwargs)

    module.get_train_estimator_spec = get_train_estimator_spec


def note_gan_model(gan_model: Any) -> None:
    """Note the networks of the graph that is being built."""
    tf.compat.v1.get_collection_ref(_GAN_MODEL).append(gan_model)


def image_sampler(seed: int) -> Callable[[], tf.Tensor] | None:
    """Return what draws the samples of the present graph's grids.

    Args:
        seed: The run's root seed.

    Returns:
        A function that adds the samples [64, height, width, channels] to the graph; None unless it
        is that of a GAN that makes images from latents.
    """
    found = tf.compat.v1.get_collection(_GAN_MODEL)
    if not found:
        return None
    latents, images = found[0].generator_inputs, found[0].generated_data
    # Labels and other inputs have shapes that nobody but the user can fill.
    if not hasattr(latents, "shape") or latents.shape.rank != 2 or not latents.dtype.is_floating:
        return None
    if images.shape.rank != 4 or images.shape[-1] not in (1, 3) or latents.shape[-1] is None:
        return None
    shown = grid_inputs(seed, int(latents.shape[-1]))
    return functools.partial(generate, found[0], shown)


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
