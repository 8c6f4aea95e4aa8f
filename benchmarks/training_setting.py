"""What all contenders of the training benchmark have in common: sizes, rates and data."""

from __future__ import annotations

import argparse
from typing import Any

NOISE_DIMS, IMAGE_SHAPE = 64, (28, 28, 1)
LEARNING_RATE, CLIP = 5e-4, 0.03
# Decay of slim's and Keras' batch norm, as in the project's networks.
MOMENTUM = 0.9
# The graph of an Estimator holds all images, so fewer of them start faster.
IMAGES = 10_000


def load_images(record_dir: str) -> Any:
    """Return training images, scaled, without starting TensorFlow's own threads."""
    import numpy as np
    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        data = input_fn(record_dir, repeat=False, batch_size=500)().take(IMAGES // 500)
        iterator = tf.compat.v1.data.make_initializable_iterator(data)
        batch = iterator.get_next()[1]
        session.run(iterator.initializer)
        found = []
        while True:
            try:
                found.append(session.run(batch))
            except tf.errors.OutOfRangeError:
                return np.concatenate(found)


def batches(images: Any, given: argparse.Namespace, noise: bool = True) -> Any:
    """Shuffle and batch images in memory, with stateful noise beside them."""
    import tensorflow as tf

    dims = NOISE_DIMS if noise else 1

    def with_noise(batch: Any) -> Any:
        return tf.random.normal([given.batch_size, dims]), batch

    data = tf.data.Dataset.from_tensor_slices(images).shuffle(2000).repeat()
    return data.batch(given.batch_size, drop_remainder=True).map(with_noise).prefetch(2)
