"""Networks, GAN types, the estimator, training and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.exact import Determinism, apply_determinism, publish_losses
    from reproducible_ml.models.gan import (
        GAN_TYPES,
        OPTIMIZERS,
        Cadence,
        GANEstimator,
        GANSettings,
        TrainedGAN,
        TrainingResult,
        Watcher,
        draw_samples,
        evaluation_latents,
        grid_latents,
        make_gan_estimator,
        tfgan,
        train_gan,
    )
    from reproducible_ml.models.gan.networks import NETWORKS, critic_fn, generator_fn
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "GAN_TYPES",
    "NETWORKS",
    "OPTIMIZERS",
    "Cadence",
    "Determinism",
    "GANEstimator",
    "GANSettings",
    "TrainedGAN",
    "TrainingResult",
    "Watcher",
    "apply_determinism",
    "critic_fn",
    "draw_samples",
    "evaluation_latents",
    "generator_fn",
    "grid_latents",
    "make_gan_estimator",
    "publish_losses",
    "tfgan",
    "train_gan",
]
