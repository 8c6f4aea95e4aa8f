"""Inputs of the sample grids, which no training step uses."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from reproducible_ml.utils.seeds import child_seed

GRID_SAMPLES = 64
# Samples of each class in the grid of a conditional GAN, one row per class.
GRID_COLUMNS = 8
_MOST_ROWS = 16


def grid_latents(seed: int, count: int, noise_dims: int) -> np.ndarray[Any, Any]:
    """Draw the latents of the sample grids, which no training step uses.

    Args:
        seed: The run's root seed.
        count: Number of samples.
        noise_dims: Length of a latent vector.

    Returns:
        float32 array [count, noise_dims], standard normal, from NumPy's Philox generator.
    """
    # The stream's name predates this function's; another one would give other latents.
    draw = np.random.Generator(np.random.Philox(child_seed(seed, "evaluation")))
    return draw.standard_normal((count, noise_dims), dtype=np.float32)


def evaluation_latents(seed: int, count: int, noise_dims: int) -> np.ndarray[Any, Any]:
    """Call ``grid_latents``, whose name in version 1.0 this was; removed in 1.2."""
    warnings.warn(
        "evaluation_latents is deprecated and goes with version 1.2: use grid_latents.",
        DeprecationWarning,
        stacklevel=2,
    )
    return grid_latents(seed, count, noise_dims)


def grid_inputs(seed: int, noise_dims: int, classes: int = 0) -> Any:
    """Return the generator's inputs of the sample grids.

    Args:
        seed: The run's root seed.
        noise_dims: Length of a latent vector.
        classes: Number of classes, 0 for a GAN without labels.

    Returns:
        Latents [64, noise_dims]; for a conditional GAN a dictionary of ``latents`` and ``labels``
        with eight samples of each class, drawn from the same eight latents.
    """
    if not classes:
        return grid_latents(seed, GRID_SAMPLES, noise_dims)
    return class_rows(grid_latents(seed, GRID_COLUMNS, noise_dims), classes)


def class_rows(latents: np.ndarray[Any, Any], classes: int) -> dict[str, Any]:
    """Make the inputs of a grid with one row per class and the same latents in every row.

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
