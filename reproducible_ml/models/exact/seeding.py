"""Initial weights that depend on the run's seed and the variable's name alone.

TensorFlow's own initializers take their seed from the number of operations that the graph happens
to hold, so one more summary changes every weight. Here each variable's seed is a hash of the root
seed and its name, and the draw is a stateless operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.utils.seeds import seed_pair


class GlorotUniform:
    """Uniform weights in [-a, a] with a = sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 16. Drawn with Philox, keyed by (root seed, variable name);
    the name is filled in by ``seeded_variables``.

    Args:
        seed: The run's root seed.
        name: The variable's full name, or None until a variable asks for it.
    """

    def __init__(self, seed: int, name: str | None = None) -> None:
        self.seed = seed
        self.name = name

    def named(self, name: str) -> GlorotUniform:
        """Return the initializer of the variable ``name``."""
        return GlorotUniform(self.seed, name)

    def __call__(
        self, shape: Any, dtype: Any = tf.float32, partition_info: Any = None
    ) -> tf.Tensor:
        """Draw the weights; ``partition_info`` is part of TensorFlow's signature and unused."""
        if self.name is None:
            raise ValueError("A GlorotUniform initializer works only inside seeded_variables().")
        dims = [int(size) for size in shape]
        receptive_field = int(np.prod(dims[:-2], dtype=np.int64))
        limit = float(np.sqrt(6.0 / (receptive_field * (dims[-2] + dims[-1]))))
        return tf.random.stateless_uniform(
            dims,
            seed=seed_pair(self.seed, f"weights/{self.name}"),
            minval=-limit,
            maxval=limit,
            dtype=dtype,
            alg="philox",
        )


@contextmanager
def seeded_variables() -> Iterator[None]:
    """Give each ``GlorotUniform`` variable that is created inside a seed of its own."""

    def with_own_seed(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        initializer = kwargs.get("initializer")
        if isinstance(initializer, GlorotUniform):
            kwargs["initializer"] = initializer.named(name)
        return getter(name, *args, **kwargs)

    scope = tf.compat.v1.get_variable_scope()
    with tf.compat.v1.variable_scope(
        scope, custom_getter=with_own_seed, auxiliary_name_scope=False
    ):
        yield
