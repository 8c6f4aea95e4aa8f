"""The global positions that each worker reads at each step.

All samples of a run are numbered consecutively. A step takes ``substeps`` batches, and each
batch is divided among the workers: in sub-step ``j`` of step ``s``, worker ``w`` of ``W`` reads the
positions ``((s * substeps + j) * W + w) * batch_size + i``. For any ``W``, the workers'
positions are disjoint and together complete. ``W`` workers with batches of ``B`` read what one
worker with batches of ``W * B`` would read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

FOREVER = 2**62


@dataclass(frozen=True)
class Positions:
    """The positions of one input pipeline, which feeds one worker or several consecutive ones.

    Attributes:
        batch_size: Samples of one worker in one sub-step.
        substeps: Batches per step.
        num_workers: Number of all workers, W.
        first_worker: Index of the first worker that this pipeline feeds.
        workers: Number of workers that it feeds; they take its elements in turn.
        start: Number of elements that each worker has consumed before, an integer or a tensor.
        records: Number of records to read in a single pass; None if the data repeats.
        whole_steps: Whether a single pass omits records that do not fill a step.
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
        """The number of positions that one step of all workers takes."""
        return self.substeps * self.num_workers * self.batch_size

    def is_mine(self, batch: tf.Tensor) -> tf.Tensor:
        """Return whether this pipeline feeds the worker that takes the batch of this number."""
        turn = batch % self.num_workers - self.first_worker
        return (turn >= 0) & (turn < self.workers)

    def elements(self) -> tf.data.Dataset:
        """Return the dataset of this pipeline's element numbers, int64, from first to last."""
        import tensorflow as tf

        return tf.data.Dataset.range(self.first_element(), tf.constant(self.stop(), tf.int64))

    def first_element(self) -> tf.Tensor:
        """Return the number of this pipeline's first element: int64 scalar."""
        import tensorflow as tf

        return tf.cast(self.start, tf.int64) * self.workers

    def stop(self) -> int:
        """Return the number of this pipeline's last element, plus one."""
        if self.records is None:
            return FOREVER
        return sum(self._steps_of(self.first_worker + turn) for turn in range(self.workers))

    def _steps_of(self, worker: int) -> int:
        assert self.records is not None
        # A whole step counts if its last batch is full, a batch if it has at least one record.
        if self.whole_steps:
            last = (self.substeps - 1) * self.num_workers + worker + 1
            room, each = self.records - last * self.batch_size, self.substeps
        else:
            room, each = self.records - worker * self.batch_size - 1, 1
        return max(0, room // (each * self.num_workers * self.batch_size) + 1)

    def step_and_worker(self, element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the step and the worker that an element belongs to."""
        return element // self.workers, self.first_worker + element % self.workers

    def of(self, element: tf.Tensor) -> tf.Tensor:
        """Return the global positions of an element.

        Args:
            element: int64 scalar, a value of ``elements()``.

        Returns:
            int64 tensor [substeps * batch_size]; shorter at the end of a single pass.
        """
        import tensorflow as tf

        positions = self.of_whole(element[None])
        # Only plain batches can be short, and their positions are consecutive.
        if not self.is_static:
            positions = positions[: tf.maximum(self.records - positions[0], 0)]
        return positions

    def of_whole(self, elements: tf.Tensor) -> tf.Tensor:
        """Return the global positions of several elements, all of them of full length.

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
