"""Reading of whole epochs inside a graph, so that no contender pays for a Python loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.measure import Contender


def scaled(image: Any, label: Any) -> Any:
    """Scale bytes to [-1, 1], as every contender does."""
    import tensorflow as tf

    return tf.cast(image, tf.float32) / 127.5 - 1.0, label


def drained(make: Callable[[], Any], records: int, epochs: int = 1) -> Contender:
    """Read a dataset to its end.

    Opening counts too, since reading into memory is a part of the work; tracing does not.

    Args:
        make: Makes the dataset, one epoch long.
        records: Of one epoch.
        epochs: How many epochs share one opening; those that take seconds for one read just that.
    """
    import tensorflow as tf

    traced: list[Any] = []

    def drain() -> Any:
        # repeat() keeps cached data in memory, as training does.
        return make().repeat(epochs).reduce(tf.constant(0, tf.int64), lambda count, *_: count + 1)

    def run() -> None:
        if not traced:
            traced.append(tf.function(drain, autograph=False).get_concrete_function())
        traced[0]().numpy()

    return Contender(run, records=records * epochs)


def opened(make: Callable[[], Any], batches: int, batch_size: int) -> Contender:
    """Read batches of an endless dataset that is already open."""
    import tensorflow as tf

    open_ones: list[Any] = []

    @tf.function(autograph=False)
    def drain(iterator: Any) -> Any:
        def one(count: Any) -> Any:
            # Wait for the previous batch, then take the next.
            with tf.control_dependencies(tf.nest.flatten(iterator.get_next())):
                return (count + 1,)

        return tf.while_loop(lambda count: count < batches, one, (tf.constant(0),))

    def run() -> None:
        if not open_ones:
            open_ones.append(iter(make()))
        drain(open_ones[0])[0].numpy()

    return Contender(run, records=batches * batch_size)
