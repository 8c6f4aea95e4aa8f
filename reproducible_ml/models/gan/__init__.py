"""GANs: the table of types, networks, the estimator with its fused step, training and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.gan.build import decayed_rate, make_gan_estimator
    from reproducible_ml.models.gan.estimator import GANEstimator
    from reproducible_ml.models.gan.grids import (
        GRID_COLUMNS,
        evaluation_latents,
        grid_inputs,
        grid_latents,
    )
    from reproducible_ml.models.gan.networks import NETWORKS, Networks, critic_fn, generator_fn
    from reproducible_ml.models.gan.optimizers import OPTIMIZERS
    from reproducible_ml.models.gan.result import TrainingResult, result_digests
    from reproducible_ml.models.gan.sampling import (
        TrainedGAN,
        add_samples,
        draw_samples,
        latents_of_batch,
    )
    from reproducible_ml.models.gan.settings import Cadence, GANSettings, settings_from, type_values
    from reproducible_ml.models.gan.stock import image_sampler
    from reproducible_ml.models.gan.tf_gan import tfgan
    from reproducible_ml.models.gan.training import (
        Watcher,
        follow_training,
        train_gan,
        training_classes,
        training_input,
    )
    from reproducible_ml.models.gan.types import (
        GAN_TYPES,
        LOSS_NAMES,
        Defaults,
        GanType,
        gan_type_row,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "GAN_TYPES",
    "GRID_COLUMNS",
    "LOSS_NAMES",
    "NETWORKS",
    "OPTIMIZERS",
    "Cadence",
    "Defaults",
    "GANEstimator",
    "GANSettings",
    "GanType",
    "Networks",
    "TrainedGAN",
    "TrainingResult",
    "Watcher",
    "add_samples",
    "critic_fn",
    "decayed_rate",
    "draw_samples",
    "evaluation_latents",
    "follow_training",
    "gan_type_row",
    "generator_fn",
    "grid_inputs",
    "grid_latents",
    "image_sampler",
    "latents_of_batch",
    "make_gan_estimator",
    "result_digests",
    "settings_from",
    "tfgan",
    "train_gan",
    "training_classes",
    "training_input",
    "type_values",
]
