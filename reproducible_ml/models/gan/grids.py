"""Inputs of the sample grids, which no training step sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from reproducible_ml.utils.seeds import child_seed

GRID_SAMPLES = 64
# A grid shows this many samples of a class, of the first classes.
GRID_COLUMNS = 8
_MOST_ROWS = 16


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


def class_rows(latents: np.ndarray[Any, Any], classes: int) -> dict[str, Any]:
    """Make the inputs of a grid with one row a class and the same latents in every row.

    Args:
        latents: float32 array [columns, dims].
        classes: Number of classes; the first 16 are shown.

    Returns:
        ``latents`` [rows * columns, dims] and ``labels`` [rows * columns], row by row.
    """
    rows = min(classes, _MOST_ROWS)
    return {
        "latents": np.tile(latents, (rows, 1)),
        "labels": np.repeat(np.arange(rows, dtype=np.int32), len(latents)),
    }
