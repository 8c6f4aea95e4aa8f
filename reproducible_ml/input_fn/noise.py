"""Latent noise as a pure function of (seed, step, sub-step), which needs no state.

A stateful random operation would draw other values after a resume. These operations draw from a
counter-based generator (Philox). Its key is the stream's child seed, and its counter consists of
the step, the worker and the sub-step, each in its own bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproducible_ml.utils.seeds import seed_pair

if TYPE_CHECKING:
    import tensorflow as tf

_SUBSTEP_BITS = 12
_WORKER_BITS = 12
MAX_SUBSTEPS = 1 << _SUBSTEP_BITS
MAX_WORKERS = 1 << _WORKER_BITS


def latents(
    seed: int, step: Any, substep: int, batch_size: int, noise_dims: int, worker: Any = 0
) -> tf.Tensor:
    """Draw the latent batch of one network update.

    Args:
        seed: Root seed of the run.
        step: Training step >= 0, an integer or an integer tensor.
        substep: Number of the draw within its step; below 4096.
        batch_size: Number of latent vectors.
        noise_dims: Length of a latent vector.
        worker: Index of the worker, 0 to 4095, an integer or an integer tensor.

    Returns:
        float32 tensor [batch_size, noise_dims], standard normal.
    """
    return stateless_normal(
        stream_key(seed, "latents", step, substep, worker), [batch_size, noise_dims]
    )


def stream_key(seed: int, stream: str, step: Any, substep: Any = 0, worker: Any = 0) -> tf.Tensor:
    """Build the key of a stateless draw; no two (step, worker, sub-step) share one.

    Args:
        seed: Root seed of the run.
        stream: Name of the child seed.
        step: Training step or position, below 2**39.
        substep: Below ``MAX_SUBSTEPS``.
        worker: Below ``MAX_WORKERS``.

    Returns:
        int64 tensor [2]: the two words of the child seed, and the counter with its three parts.
    """
    import tensorflow as tf

    high, low = seed_pair(seed, stream)
    step = tf.cast(step, tf.int64)
    worker = tf.cast(worker, tf.int64)
    counter = (step * MAX_WORKERS + worker) * MAX_SUBSTEPS + tf.cast(substep, tf.int64)
    return tf.stack([tf.constant((high << 31) | low, tf.int64), counter])


def stateless_normal(key: tf.Tensor, shape: Any) -> tf.Tensor:
    """Draw standard normal float32 values with Philox, the same on every device."""
    import tensorflow as tf

    return tf.random.stateless_normal(shape, seed=key, alg="philox")
