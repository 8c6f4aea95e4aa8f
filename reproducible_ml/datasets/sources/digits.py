"""scikit-learn's bundled handwritten digits in MNIST's form, without a download."""

from __future__ import annotations

from typing import Any

from reproducible_ml.datasets.sources.base import ArraySource

# MNIST's own digits were scaled to fit a 20 x 20 box within a 28 x 28 frame.
_BOX, _FRAME = 20, 28
_TRAIN, _EVAL = 1500, 147


def digits(**unused: Any) -> ArraySource:
    """Open the 1,797 digits in their own order: 1,500 for train, 147 for eval, 150 for test.

    The originals are 8 x 8 with values 0 to 16 (Alpaydin and Kaynak, UCI "Optical Recognition of
    Handwritten Digits", 1998). They are scaled to 20 x 20 bytes (bicubic) within 28 x 28.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    bundled = load_digits()
    images = np.zeros((len(bundled.images), _FRAME, _FRAME), np.uint8)
    margin = (_FRAME - _BOX) // 2
    for image, small in zip(images, bundled.images):
        picture = Image.fromarray(np.rint(small * (255 / 16)).astype(np.uint8))
        scaled = picture.resize((_BOX, _BOX), Image.Resampling.BICUBIC)
        image[margin : margin + _BOX, margin : margin + _BOX] = np.asarray(scaled)
    labels = bundled.target.astype(np.int64)
    bounds = {
        "train": (0, _TRAIN),
        "eval": (_TRAIN, _TRAIN + _EVAL),
        "test": (_TRAIN + _EVAL, None),
    }
    return ArraySource(
        "digits",
        {},
        {split: (images[a:b], labels[a:b]) for split, (a, b) in bounds.items()},
        classes=10,
        image_description="Handwritten digit, grey, 0 is background",
    )
