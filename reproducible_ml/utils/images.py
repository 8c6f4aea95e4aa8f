"""Grids of sample images: floats in [-1, 1] become one PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import DataError

# Grey between the tiles, so that the edges of dark and bright images are visible.
_GAP_VALUE = 128
_GAP_PIXELS = 1
# Grey, RGB, and RGB with opacity.
CHANNELS = (1, 3, 4)


def to_uint8(images: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Map images from [-1, 1] to bytes, the inverse of the input_fn's scaling.

    Args:
        images: Array of floats; values outside [-1, 1] are clipped.

    Returns:
        uint8 array of the same shape, from -1 as 0 to 1 as 255, rounded to nearest.
    """
    scaled = (np.clip(np.asarray(images, dtype=np.float32), -1.0, 1.0) + 1.0) * 127.5
    return np.rint(scaled).astype(np.uint8)


def check_channels(shape: Sequence[int], whose: str) -> None:
    """Refuse images that can't be shown as a picture.

    Args:
        shape: (height, width, channels).
        whose: The subject of the error message, such as "The images of data/mnist".

    Raises:
        DataError: The number of channels is not that of grey, RGB or RGBA images.
    """
    if shape[-1] not in CHANNELS:
        raise DataError(
            f"{whose} have {shape[-1]} channels, so samples can't be shown in a grid. Serialize "
            "images with 1 (grey), 3 (RGB) or 4 (RGBA)."
        )


def tile(images: Any, columns: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Arrange images in a grid.

    Args:
        images: uint8 array [count, height, width, channels] with 1, 3 or 4 channels.
        columns: Images per row; 0 makes the grid as square as possible.

    Returns:
        uint8 array [rows * (height + 1) + 1, columns * (width + 1) + 1, channels].

    Raises:
        DataError: The array is not a batch of grey, RGB or RGBA images.
    """
    batch = np.asarray(images)
    if batch.ndim != 4 or batch.shape[0] == 0 or batch.shape[3] not in CHANNELS:
        raise DataError(
            f"Found an array of shape {batch.shape}, expected images [count, height, width, 1, 3 "
            "or 4]."
        )
    count, height, width, channels = batch.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cell_height, cell_width = height + _GAP_PIXELS, width + _GAP_PIXELS
    grid = np.full(
        (rows * cell_height + _GAP_PIXELS, columns * cell_width + _GAP_PIXELS, channels),
        _GAP_VALUE,
        dtype=np.uint8,
    )
    # With opacity, the frame must be opaque to be visible.
    grid[:, :, 3:] = 255
    for position, image in enumerate(batch):
        top = position // columns * cell_height + _GAP_PIXELS
        left = position % columns * cell_width + _GAP_PIXELS
        grid[top : top + height, left : left + width] = image
    return grid


def save_grid(images: Any, path: str | Path, columns: int = 0) -> Path:
    """Write a batch of samples as one PNG.

    Args:
        images: Floats in [-1, 1], [count, height, width, 1, 3 or 4].
        path: File to write; its folder is created.
        columns: Images per row; 0 makes the grid as square as possible.

    Returns:
        The path.
    """
    from PIL import Image

    grid = tile(to_uint8(images), columns)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without time stamps or text in the file, the same samples give the same bytes.
    Image.fromarray(grid[:, :, 0] if grid.shape[2] == 1 else grid).save(path, format="PNG")
    return path
