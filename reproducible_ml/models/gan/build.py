"""Construction of a ``GANEstimator`` from settings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from reproducible_ml.models.exact import MIRRORED, MULTI_WORKER, without_cluster
from reproducible_ml.models.gan.estimator import GANEstimator
from reproducible_ml.models.gan.networks import critic_fn, generator_fn
from reproducible_ml.models.gan.optimizers import OPTIMIZERS
from reproducible_ml.models.gan.penalties import critic_penalty
from reproducible_ml.models.gan.settings import GANSettings
from reproducible_ml.models.gan.types import gan_type_row
from reproducible_ml.utils.errors import chosen
from reproducible_ml.utils.seeds import child_seed

# A resume needs the newest two; the third is for looking back.
_KEPT_CHECKPOINTS = 3


def make_gan_estimator(
    model_dir: str | Path,
    settings: GANSettings,
    image_shape: Sequence[int],
    classes: int = 0,
    strategy: Any = None,
    checkpoint_every_steps: int | None = None,
    **estimator_arguments: Any,
) -> GANEstimator:
    """Make the estimator of a GAN type for images of one shape.

    Args:
        model_dir: Folder of the checkpoints.
        settings: Everything that the weights depend on.
        image_shape: (height, width, channels).
        classes: Number of classes; only conditional types use it.
        strategy: A ``tf.distribute.Strategy``, see ``distribution``; None for one device.
        checkpoint_every_steps: Steps between two checkpoints, where ``ExactSaverHook`` does not
            write them; None for TensorFlow's interval.
        **estimator_arguments: Arguments of ``GANEstimator``: others, such as ``warm_start_from``,
            or networks, losses and optimizers in place of those of the settings.

    Returns:
        The estimator; ``ExactSaverHook`` writes its checkpoints.
    """
    row = gan_type_row(settings.gan_type)
    # In a cluster, TensorFlow would also write checkpoints, beside those of ExactSaverHook.
    checkpoints: dict[str, Any] = {}
    if settings.strategy == MULTI_WORKER:
        checkpoints = {"save_checkpoints_secs": None}
    elif checkpoint_every_steps is not None:
        checkpoints = {"save_checkpoints_steps": checkpoint_every_steps}
    penalty = None
    if row.penalty is not None and settings.penalty_weight is not None:
        penalty = critic_penalty(row.penalty, settings.penalty_weight, settings.seed)
    network = (settings.gan_type, image_shape, settings.seed, classes, settings.networks)
    # RunConfig reads TF_CONFIG, which a training in one process must ignore.
    with without_cluster() if strategy is None else nullcontext():
        config = tf.estimator.RunConfig(
            model_dir=str(model_dir),
            tf_random_seed=child_seed(settings.seed, "weights"),
            keep_checkpoint_max=_KEPT_CHECKPOINTS,
            # ``EventLog`` writes every point of the metrics, into the same file.
            save_summary_steps=0,
            log_step_count_steps=None,
            **checkpoints,
            train_distribute=strategy,
            session_config=_session_config(settings),
        )
        of_settings: dict[str, Any] = {
            "generator_fn": generator_fn(*network),
            "discriminator_fn": critic_fn(*network),
            "generator_loss_fn": row.generator_loss_fn,
            "discriminator_loss_fn": row.critic_loss_fn,
            "generator_optimizer": _optimizer(settings, settings.gen_optimizer, settings.gen_lr),
            "discriminator_optimizer": _optimizer(
                settings, settings.crit_optimizer, settings.crit_lr
            ),
            "critic_steps": settings.critic_steps,
            "critic_weight_clip": settings.critic_weight_clip,
            "critic_penalty": penalty,
            "compute_dtype": settings.compute_dtype,
        }
        estimator = GANEstimator(
            model_dir=str(model_dir), config=config, **{**of_settings, **estimator_arguments}
        )
    estimator.classes = classes if row.conditional else 0
    return estimator


def _optimizer(settings: GANSettings, name: str | None, rate: float) -> Any:
    """Return an optimizer, or a function that makes it within the training's graph."""
    row = gan_type_row(settings.gan_type)
    make = chosen(OPTIMIZERS, name or row.optimizer, "optimizer")
    given: dict[str, Any] = {"beta1": settings.beta1, "beta2": settings.beta2}
    values = replace(
        row.defaults(settings.defaults),
        **{key: value for key, value in given.items() if value is not None},
    )
    if settings.lr_decay is None:
        return make(rate, values)
    return lambda: make(decayed_rate(settings, rate), values)


def decayed_rate(settings: GANSettings, rate: float) -> Any:
    """Return the learning rate of the present step: a number, or a tensor if the rates decay.

    Args:
        settings: ``lr_decay`` and ``lr_decay_steps`` of the training.
        rate: The rate at step 0.
    """
    decay, steps = settings.lr_decay, settings.lr_decay_steps
    if decay is None or steps is None:
        return rate
    step = tf.compat.v1.train.get_or_create_global_step()
    return tf.compat.v1.train.exponential_decay(rate, step, steps, decay)


def _session_config(settings: GANSettings) -> tf.compat.v1.ConfigProto:
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=settings.determinism.intra_op_threads,
        inter_op_parallelism_threads=settings.determinism.inter_op_threads,
        # With fewer, a session would wait forever for the data of a device that it lacks.
        device_count={"CPU": settings.replicas if settings.strategy == MIRRORED else 1},
    )
    if settings.strategy is not None:
        # TensorFlow optimizes the graph of a cluster differently from that of one machine: it
        # reorders the sums of spectral normalization, which changes their bits, and gives bfloat16
        # convolutions an operation that has no CPU kernel.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config
