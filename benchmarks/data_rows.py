"""Rows for writing and reading: MNIST, and generated images of other sizes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


def cached_mnist() -> Path | None:
    """Return the file of MNIST in Keras' cache; None if there is none."""
    home = os.environ.get("KERAS_HOME", os.path.join(os.path.expanduser("~"), ".keras"))
    path = Path(home) / "datasets" / "mnist.npz"
    return path if path.exists() else None


def mnist(npz_file: str | Path, count: int) -> dict[str, Any]:
    """Return MNIST's first training images and labels."""
    import numpy as np

    with np.load(npz_file) as archive:
        images, labels = archive["x_train"][:count], archive["y_train"][:count]
        return {"image": images, "label": labels.astype(np.int64)}


def random_digits(count: int) -> dict[str, Any]:
    """Return noise of MNIST's size, which does not compress, unlike MNIST."""
    import numpy as np

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, 28, 28), np.uint8)
    return {"image": images, "label": draw.integers(0, 10, count)}


def photographs(count: int) -> dict[str, Any]:
    """Return colour images of 128 x 128 pixels that compress about as well as photographs."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(1)
    images = np.empty((count, 128, 128, 3), np.uint8)
    for image in images:
        coarse = Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((128, 128), Image.Resampling.BICUBIC), np.int16)
        image[:] = np.clip(smooth + draw.integers(-4, 5, image.shape), 0, 255)
    return {"image": images, "label": np.arange(count) % 10}


def encoded(digits: dict[str, Any], count: int = 10_000) -> dict[str, Any]:
    """Return the first images as the bytes of PNG files, whose lengths vary."""
    from PIL import Image

    files = []
    for image in digits["image"][:count]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        files.append(buffer.getvalue())
    return {"image": files, "label": digits["label"][:count]}
