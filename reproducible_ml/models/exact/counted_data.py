"""Data of any Estimator, counted, so that a resumed training reads on where it stopped.

How many elements a step consumes is known to the Estimator alone: TF-GAN's takes several, and takes
them in sessions of its own. So the elements are numbered, and the number is kept in a variable that
each checkpoint holds. A resumed training starts its dataset behind that number: this project's
input functions by position, any other dataset by reading and dropping the elements before it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_estimator.python.estimator import util

from reproducible_ml.input_fn import starting_at

COUNTER = "reproducible_ml/elements"
_FOREVER = 2**62


def element_counter() -> tf.Variable:
    """Return the variable that counts consumed elements, int64; made if the graph has none."""
    with tf.compat.v1.variable_scope(
        tf.compat.v1.get_variable_scope(), reuse=tf.compat.v1.AUTO_REUSE
    ):
        return tf.compat.v1.get_variable(
            COUNTER,
            shape=[],
            dtype=tf.int64,
            initializer=tf.compat.v1.zeros_initializer(),
            trainable=False,
            use_resource=True,
        )


class CountedData:
    """The features, labels and hooks of a training whose elements are counted.

    Attributes:
        features: As the input function's dataset gives them.
        labels: Likewise; None if it gives none.
        hooks: Hooks that start the dataset.
        number: int64 scalar, the number of the element that a session reads, from 0; None if the
            input function returned tensors, whose position nothing tells.
        manifest: Manifest of the data set, if the input function is one of this project.
    """

    def __init__(self, call_input_fn: Any) -> None:
        """Call the input function and count its elements.

        Args:
            call_input_fn: Function without arguments that returns what the input function does.
        """
        counter = element_counter()
        with starting_at(counter.read_value()) as place:
            data = call_input_fn()
        self.number: tf.Tensor | None = None
        self.manifest = place.manifest
        if not isinstance(data, tf.data.Dataset):
            self.features, self.labels, self.hooks = util.parse_input_fn_result(data)
            return
        if not place.taken:
            data = data.skip(place.element)
        numbers = tf.data.Dataset.range(place.element, tf.constant(_FOREVER, tf.int64))
        numbered = tf.data.Dataset.zip((numbers, data))
        self.number, element, self.hooks = util.parse_input_fn_result(numbered)
        # Whoever reads an element has counted it.
        with tf.control_dependencies([counter.assign(self.number + 1)]):
            element = tf.nest.map_structure(tf.identity, element, expand_composites=True)
        self.features, self.labels = util.parse_iterator_result(element)
