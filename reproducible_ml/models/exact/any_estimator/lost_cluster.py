"""What a worker says when its cluster is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.training import monitored_session

from reproducible_ml.models.exact.any_estimator.watched_workers import WatchedWorkersHook
from reproducible_ml.models.exact.checkpoints import Advice, TrainingDiverged, what_is_kept
from reproducible_ml.models.exact.distribution import read_task
from reproducible_ml.process import stop_if_asked
from reproducible_ml.utils.errors import ReproducibleMLError

_EMPTY = ("Graph execution error", "Detected at node", "From /job:", " ", "\t", "Node: ")
_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


@contextmanager
def ends_with_the_cluster(
    model_dir: str | Path, advice: Advice, loss: str = "loss"
) -> Iterator[list[Any]]:
    """Let a worker that loses its cluster end with one sentence.

    TensorFlow would keep creating sessions until the lost worker is back. Training would then
    continue from the last checkpoint, and repeat steps that are already in the log.

    Args:
        model_dir: The chief's folder of checkpoints.
        advice: What to try when the loss is not finite.
        loss: Name of the loss that TensorFlow looks at.

    Yields:
        Hooks of the training, which end a step that waits for a lost worker.
    """
    retried = monitored_session._PREEMPTION_ERRORS
    monitored_session._PREEMPTION_ERRORS = ()
    watch = WatchedWorkersHook(read_task())
    watch.start()
    try:
        yield [watch]
    except tf.estimator.NanLossDuringTrainingError as error:
        raise TrainingDiverged(
            f"The {loss} is not finite. {what_is_kept(model_dir, advice)}"
        ) from error
    except _GONE as error:
        # A scheduler ends all workers at once, and one of them is the first.
        stop_if_asked()
        raise ReproducibleMLError(
            "Another worker of the cluster is gone, so this one stops; see the output of the "
            "other workers, the chief's first. Start all workers again to resume "
            f"from the last checkpoint ({watch.said or _reason(error)})."
        ) from error
    finally:
        watch.stop()
        monitored_session._PREEMPTION_ERRORS = retried


def _reason(error: Exception) -> str:
    """Return the first line of an error that says something."""
    # What is indented is TensorFlow's traceback.
    lines = [line for line in str(error).splitlines() if line and not line.startswith(_EMPTY)]
    return lines[0].rstrip(".") if lines else type(error).__name__
