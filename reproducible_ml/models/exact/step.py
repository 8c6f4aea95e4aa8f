"""The outcome of one training step: its number and its losses by name, as hooks read them.

A model function publishes the outcome in the graph that it builds; hooks find it there and fetch it
in the step's own ``session.run``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

_TENSORS = "reproducible_ml/step_outcome"
# A graph's collections hold no dictionaries, so the names have a collection of their own.
_NAMES = "reproducible_ml/step_losses"
_NAMED = "reproducible_ml/named_losses"


class StepOutcome(NamedTuple):
    """What one step gives, as tensors of the same ``session.run`` or as their values.

    Attributes:
        step: int64 scalar, the number of completed steps, this one included.
        losses: Name -> float32 scalar.
    """

    step: Any
    losses: dict[str, Any]


def publish_outcome(outcome: StepOutcome) -> None:
    """Put a step's outcome where hooks find it.

    Every replica of a distribution strategy comes here; all of them publish the same.
    """
    tensors = tf.compat.v1.get_collection_ref(_TENSORS)
    if not tensors:
        tensors.extend([outcome.step, *outcome.losses.values()])
        tf.compat.v1.get_collection_ref(_NAMES).extend(outcome.losses)


def publish_losses(losses: Mapping[str, Any]) -> None:
    """Name the losses that each step of the present graph is to log; call it in a ``model_fn``.

    Without it, the loss of the ``EstimatorSpec`` is logged as ``loss``.

    Args:
        losses: Name -> float scalar. They are computed in the step's own ``session.run``, so they
            must not read a variable that the step updates after its loss is known.
    """
    if not tf.compat.v1.get_collection(_NAMED):
        tf.compat.v1.get_collection_ref(_NAMED).extend(losses.items())


def outcome_of(spec: Any) -> StepOutcome:
    """Return the outcome of the training step that an ``EstimatorSpec`` describes.

    Under a distribution strategy a loss is the mean of the replicas' losses.
    """
    named = dict(tf.compat.v1.get_collection(_NAMED)) or {"loss": spec.loss}
    values = mean_of_replicas([tf.cast(loss, tf.float32) for loss in named.values()])
    # The counter is read after the update that increments it. It waits for the losses, too: a mean
    # of replicas is there once each of them has executed its part, and only one is asked for it.
    with tf.control_dependencies([spec.train_op, *values]):
        step = tf.identity(tf.compat.v1.train.get_global_step().read_value(), name="step")
    return StepOutcome(step, dict(zip(named, values)))


def mean_of_replicas(losses: list[tf.Tensor]) -> list[tf.Tensor]:
    """Average the losses that the replicas of a distribution strategy found on their batches."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return losses
    return list(replica.all_reduce(tf.distribute.ReduceOp.MEAN, losses))


def has_outcome() -> bool:
    """Tell whether the present graph's model function has published an outcome."""
    return bool(tf.compat.v1.get_collection(_TENSORS))


def published_outcome() -> StepOutcome:
    """Return the outcome that the present graph's model function has published."""
    step, *losses = tf.compat.v1.get_collection(_TENSORS)
    return StepOutcome(step, dict(zip(tf.compat.v1.get_collection(_NAMES), losses)))
