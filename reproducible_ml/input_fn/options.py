"""The tf.data options of every pipeline here; none of them is chosen by the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCH_BATCHES = 2
PIPELINE_THREADS = 2


def deterministic_options(threads: int = PIPELINE_THREADS) -> tf.data.Options:
    """Build the options that make a pipeline give the same elements on every machine.

    Args:
        threads: Size of the pipeline's own thread pool; it affects speed, but no value.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    # Autotuning would size buffers and parallelism by the machine.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    # Workers share the data by position; TensorFlow must not divide it a second time.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
