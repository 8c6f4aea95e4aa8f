"""From settings to a ready ``GANEstimator``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from reproducible_ml.models.estimator import GANEstimator
from reproducible_ml.models.gan_types import gan_type_row
from reproducible_ml.models.networks import critic_fn, generator_fn
from reproducible_ml.models.settings import GANSettings
from reproducible_ml.utils.seeds import child_seed

# Checkpoints kept; the newest two are enough for a resume, the others are for the curious.
_KEPT_CHECKPOINTS = 3
_SUMMARY_STEPS = 100


def make_gan_estimator(
    model_dir: str | Path, settings: GANSettings, image_shape: Sequence[int]
) -> GANEstimator:
    """Make the estimator of a GAN type for images of a size.

    Args:
        model_dir: Folder of the checkpoints.
        settings: What the weights depend on.
        image_shape: (height, width, channels).

    Returns:
        The estimator; its checkpoints are written by ``ExactSaverHook``.
    """
    row = gan_type_row(settings.gan_type)
    clip = settings.critic_weight_clip
    config = tf.estimator.RunConfig(
        model_dir=str(model_dir),
        tf_random_seed=child_seed(settings.seed, "weights"),
        keep_checkpoint_max=_KEPT_CHECKPOINTS,
        save_summary_steps=_SUMMARY_STEPS,
        log_step_count_steps=None,
        session_config=tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.determinism.intra_op_threads,
            inter_op_parallelism_threads=settings.determinism.inter_op_threads,
        ),
    )
    return GANEstimator(
        model_dir=str(model_dir),
        generator_fn=generator_fn(settings.gan_type, image_shape, settings.seed),
        discriminator_fn=critic_fn(settings.gan_type, image_shape, settings.seed),
        generator_loss_fn=row.generator_loss_fn,
        discriminator_loss_fn=row.critic_loss_fn,
        generator_optimizer=tf.compat.v1.train.RMSPropOptimizer(settings.gen_lr),
        discriminator_optimizer=tf.compat.v1.train.RMSPropOptimizer(settings.crit_lr),
        critic_steps=settings.critic_steps,
        critic_weight_clip=row.critic_weight_clip if clip is None else clip,
        config=config,
    )
