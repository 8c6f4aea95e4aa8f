"""Networks, GAN types, the estimator and training.

The names load TensorFlow when they are first used, not when this package is imported.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Cadence": "settings",
    "Determinism": "determinism",
    "GANEstimator": "estimator",
    "GANSettings": "settings",
    "GAN_TYPES": "gan_types",
    "TrainedGAN": "sampling",
    "TrainingResult": "training_result",
    "Watcher": "training",
    "apply_determinism": "determinism",
    "critic_fn": "networks",
    "draw_samples": "drawing",
    "evaluation_latents": "drawing",
    "generator_fn": "networks",
    "make_gan_estimator": "gan_estimator",
    "tfgan": "tf_gan",
    "train_gan": "training",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
