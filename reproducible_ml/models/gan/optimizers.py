"""Optimizers that a GAN type may name for both its networks.

Reading the table does not load TensorFlow, see ``networks``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reproducible_ml.models.gan.types import Defaults

if TYPE_CHECKING:
    import tensorflow as tf


def _adam(rate: Any, values: Defaults) -> tf.compat.v1.train.Optimizer:
    import tensorflow as tf

    return tf.compat.v1.train.AdamOptimizer(rate, beta1=values.beta1, beta2=values.beta2)


def _rmsprop(rate: Any, values: Defaults) -> tf.compat.v1.train.Optimizer:
    import tensorflow as tf

    del values
    return tf.compat.v1.train.RMSPropOptimizer(rate)


# Name -> function of the learning rate, a number or a tensor, and the GAN type's other values.
OPTIMIZERS: dict[str, Callable[[Any, Defaults], tf.compat.v1.train.Optimizer]] = {
    "adam": _adam,
    "rmsprop": _rmsprop,
}
