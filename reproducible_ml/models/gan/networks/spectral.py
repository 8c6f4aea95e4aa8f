"""Spectral normalization: weights divided by an estimate of their largest singular value.

Source: Miyato and others, "Spectral Normalization for Generative Adversarial Networks", 2018,
arXiv:1802.05957, algorithm 1, with one power iteration per update.

Each weight, as a matrix W [inputs, outputs], has a vector u [outputs], a variable that is saved in
checkpoints. Reading the weight returns W / |W u| and has no side effect, so all passes of both
networks, the penalty and evaluation use the same value. ``power_iterations`` updates u, and the
fused step runs it once before each critic update. TF-GAN's version updates u in every pass instead,
in its own order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from reproducible_ml.utils.seeds import seed_pair

# Graph collection of (name, variable W, u).
_NORMALIZED = "reproducible_ml/spectrally_normalized"


@contextmanager
def spectral_norm(seed: int) -> Iterator[None]:
    """Divide every variable named ``weights`` that is read in this context by its spectral norm.

    Args:
        seed: The run's root seed; it and the variable's name determine the initial u.
    """

    def normalized(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if not name.endswith("/weights"):
            return getter(name, *args, **kwargs)
        wanted = kwargs.get("dtype") or tf.float32
        kwargs["dtype"] = tf.float32
        weight = getter(name, *args, **kwargs)
        vector_name = f"{name[: -len('weights')]}spectral_u"
        outputs = int(weight.shape[-1])
        vector = getter(
            vector_name,
            shape=[outputs],
            dtype=tf.float32,
            initializer=_unit_vector(seed, vector_name),
            trainable=False,
            reuse=kwargs.get("reuse"),
            use_resource=kwargs.get("use_resource"),
            # Every replica computes the same vector, so there is nothing to average.
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        known = tf.compat.v1.get_collection_ref(_NORMALIZED)
        if name not in [entry[0] for entry in known]:
            known.append((name, weight, vector))
        norm = tf.norm(tf.linalg.matvec(_matrix(weight), vector))
        return tf.cast(weight / norm, wanted)

    scope = tf.compat.v1.get_variable_scope()
    with tf.compat.v1.variable_scope(scope, custom_getter=normalized, auxiliary_name_scope=False):
        yield


def power_iterations() -> list[tf.Operation]:
    """Make the operations that update each vector u of the graph by one power iteration.

    Returns:
        One operation per normalized weight; it reads the weight when it is executed.
    """
    operations = []
    for _, weight, vector in tf.compat.v1.get_collection(_NORMALIZED):
        matrix = _matrix(weight)
        left = tf.math.l2_normalize(tf.linalg.matvec(matrix, vector))
        right = tf.math.l2_normalize(tf.linalg.matvec(matrix, left, transpose_a=True))
        operations.append(vector.assign(right).op)
    return operations


def _matrix(weight: Any) -> tf.Tensor:
    return tf.reshape(weight, [-1, int(weight.shape[-1])])


def _unit_vector(seed: int, name: str) -> Any:
    def initialize(shape: Any, dtype: Any = tf.float32, partition_info: Any = None) -> tf.Tensor:
        del partition_info
        key = seed_pair(seed, f"weights/{name}")
        return tf.math.l2_normalize(
            tf.random.stateless_normal(shape, seed=key, dtype=dtype, alg="philox")
        )

    return initialize
