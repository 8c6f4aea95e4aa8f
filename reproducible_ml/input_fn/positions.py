"""Which global positions one worker reads at each step.

The samples of a run are numbered through: a step takes ``critic_steps`` batches, a batch is split
among the workers, and worker ``w`` of ``W`` reads in sub-step ``j`` of step ``s`` the positions
``((s * critic_steps + j) * W + w) * batch_size + i``. The workers' positions are disjoint and
together complete, whatever ``W`` is; ``W`` workers with batches of ``B`` read what one worker with
batches of ``W * B`` would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

FOREVER = 2**62


@dataclass(frozen=True)
class Positions:
    """The share of one input pipeline, which feeds one or several neighbouring workers.

    Attributes:
        batch_size: Samples of one worker in one sub-step.
        substeps: Batches per step.
        num_workers: All workers, W.
        first_worker: The first worker that this pipeline feeds.
        workers: How many it feeds; its elements take turns among them.
        start: The global step at which training starts, an integer or a tensor.
        records: End of the positions for a single pass, None if the data repeats.
        whole_steps: In a single pass, leave out what does not fill a whole step.
    """

    batch_size: int
    substeps: int = 1
    num_workers: int = 1
    first_worker: int = 0
    workers: int = 1
    start: Any = 0
    records: int | None = None
    whole_steps: bool = False

    @property
    def is_static(self) -> bool:
        """Whether every batch has exactly ``batch_size`` samples."""
        if self.records is None or self.whole_steps:
            return True
        return self.records % (self.num_workers * self.batch_size) == 0

    @property
    def samples_per_step(self) -> int:
        """Count the positions that one step of all workers takes."""
        return self.substeps * self.num_workers * self.batch_size

    def is_mine(self, batch: tf.Tensor) -> tf.Tensor:
        """Tell whether this pipeline feeds a worker that takes the batch of that number."""
        turn = batch % self.num_workers - self.first_worker
        return (turn >= 0) & (turn < self.workers)

    def elements(self) -> tf.data.Dataset:
        """Count the elements of this pipeline from its first to its last, as int64."""
        import tensorflow as tf

        start = tf.cast(self.start, tf.int64) * self.workers
        return tf.data.Dataset.range(start, tf.constant(self.stop(), tf.int64))

    def stop(self) -> int:
        """Give the number of the first element that this pipeline does not have."""
        if self.records is None:
            return FOREVER
        return sum(self._steps_of(self.first_worker + turn) for turn in range(self.workers))

    def _steps_of(self, worker: int) -> int:
        assert self.records is not None
        if self.whole_steps:
            last = (self.substeps - 1) * self.num_workers + worker + 1
            room, each = self.records - last * self.batch_size, self.substeps
        else:
            room, each = self.records - worker * self.batch_size - 1, 1
        return max(0, room // (each * self.num_workers * self.batch_size) + 1)

    def step_and_worker(self, element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Tell which step of which worker an element belongs to."""
        return element // self.workers, self.first_worker + element % self.workers

    def of(self, element: tf.Tensor) -> tf.Tensor:
        """Give the global positions of an element.

        Args:
            element: int64 scalar, a value of ``elements()``.

        Returns:
            int64 tensor [substeps * batch_size]; shorter at the end of a single pass.
        """
        import tensorflow as tf

        positions = self.of_whole(element[None])
        if not self.is_static:
            positions = positions[: tf.maximum(self.records - positions[0], 0)]
        return positions

    def of_whole(self, elements: tf.Tensor) -> tf.Tensor:
        """Give the global positions of several elements, none of which is a shorter last one.

        Args:
            elements: int64 tensor [n], values of ``elements()``.

        Returns:
            int64 tensor [n * substeps * batch_size].
        """
        import tensorflow as tf

        steps, workers = self.step_and_worker(elements[:, None])
        substeps = steps * self.substeps + tf.range(self.substeps, dtype=tf.int64)
        firsts = (substeps * self.num_workers + workers) * self.batch_size
        positions = firsts[..., None] + tf.range(self.batch_size, dtype=tf.int64)
        return tf.reshape(positions, [-1])
