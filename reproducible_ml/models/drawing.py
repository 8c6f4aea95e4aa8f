"""Draw samples of a GAN that trains or has trained: the grids' inputs, and single batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from reproducible_ml.models.conditioning import GRID_COLUMNS, check_labels, class_rows
from reproducible_ml.utils.seeds import child_seed

GRID_SAMPLES = 64


def evaluation_latents(seed: int, count: int, noise_dims: int) -> np.ndarray[Any, Any]:
    """Draw the latents of the sample grids, which no training step sees.

    Args:
        seed: The run's root seed.
        count: Number of samples.
        noise_dims: Length of a latent vector.

    Returns:
        float32 array [count, noise_dims], standard normal, from NumPy's Philox generator.
    """
    draw = np.random.Generator(np.random.Philox(child_seed(seed, "evaluation")))
    return draw.standard_normal((count, noise_dims), dtype=np.float32)


def grid_inputs(seed: int, noise_dims: int, classes: int = 0) -> Any:
    """Return the generator's inputs of the sample grids.

    Args:
        seed: The run's root seed.
        noise_dims: Length of a latent vector.
        classes: Number of classes, 0 for a GAN without labels.

    Returns:
        Latents [64, noise_dims]; or for a conditional GAN a dictionary of ``latents`` and
        ``labels``, eight samples a class, from the same eight latents for each.
    """
    if not classes:
        return evaluation_latents(seed, GRID_SAMPLES, noise_dims)
    return class_rows(evaluation_latents(seed, GRID_COLUMNS, noise_dims), classes)


def draw_samples(
    estimator: Any, latents: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, Any]:
    """Draw samples with the newest checkpoint.

    Args:
        estimator: A trained ``GANEstimator``.
        latents: float32 array [count, dims].
        labels: Integer array [count], the class of each sample; None for a GAN without labels.

    Returns:
        float32 array [count, height, width, channels] in [-1, 1].

    Raises:
        ConfigError: The labels are not ``count`` classes of the GAN, are missing for a conditional
            one, or are given to one that draws without.
    """
    import tensorflow as tf

    # An estimator that was not made by make_gan_estimator does not say what it was told.
    classes = getattr(estimator, "classes", None)
    if classes is not None:
        labels = check_labels(labels, len(latents), classes)
    inputs: Any = latents
    if labels is not None:
        inputs = {"latents": latents, "labels": np.asarray(labels, np.int32)}

    def one_batch() -> Any:
        return tf.data.Dataset.from_tensors(inputs)

    return np.stack(list(estimator.predict(one_batch)))
