"""The part of a worker other than the chief in the training of any Estimator on several machines.

The chief alone writes checkpoints, the step log and the record. Every other worker builds the same
graph, reads its own part of each batch, makes its own draws, and computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reproducible_ml.models.exact.any_estimator.lost_cluster import ends_with_the_cluster
from reproducible_ml.models.exact.any_estimator.stateless_draws import make_draws_stateless
from reproducible_ml.models.exact.any_estimator.training import (
    ExactHook,
    ExactTraining,
    TrainingEnd,
    Watched,
)
from reproducible_ml.models.exact.distribution import Task
from reproducible_ml.models.exact.hooks import StopHook
from reproducible_ml.models.exact.identity import checkpoint_step, wait_for_identity
from reproducible_ml.process import between_steps, stop_if_asked
from reproducible_ml.utils.running import recorded_elsewhere

# How long the chief may take longer to start.
_WAIT_SECONDS = 120.0


class FollowingTraining(ExactTraining):
    """A training whose steps the chief logs.

    Args:
        estimator: The Estimator, as the chief has it.
        watched: As the chief has it.
        task: Which of the workers this process is.
    """

    def __init__(self, estimator: Any, watched: Watched, task: Task) -> None:
        super().__init__(estimator, watched)
        self._task = task

    def train(
        self,
        input_fn: Any,
        hooks: Sequence[Any] | None = None,
        steps: int | None = None,
        max_steps: int | None = None,
        saving_listeners: Any = None,
        train: Callable[..., Any] | None = None,
        final_step: int | None = None,
    ) -> TrainingEnd:
        """Train as ``ExactTraining.train`` does, and write nothing.

        Returns:
            The state at the end, without digests and checkpoint, which are the chief's.

        Raises:
            ConfigError: Settings, data or code differ from the chief's, or its folder is not seen.
            ReproducibleMLError: Training diverged, or another worker is gone.
        """
        self._restored = checkpoint_step(self.folder)
        follower = ExactHook(self)
        if max_steps is None or (self._restored or 0) < max_steps:
            with (
                recorded_elsewhere(),
                self._wrapped(None),
                ends_with_the_cluster(self.folder, self._watched.advice) as watching,
                between_steps() as begin,
            ):
                stop = StopHook(begin, self.folder, follows=True)
                (train or self._estimator.train)(
                    input_fn,
                    hooks=[*watching, stop, follower, *(hooks or ())],
                    steps=steps,
                    max_steps=max_steps,
                    saving_listeners=saving_listeners,
                )
        stop_if_asked()
        step = follower.step or self._restored or 0
        return TrainingEnd(step, self._restored or 0, {}, {}, {}, "")

    def begin(self) -> list[Any]:
        """Check that the chief does the same, and make this worker's draws its own.

        Returns:
            No hooks: what there is to see of a step, the chief sees.
        """
        self._need_position()
        make_draws_stateless(self._watched.seed, worker=self._task.index)
        wait_for_identity(self.folder, self._watched.identity(self.manifest), _WAIT_SECONDS)
        return []
