"""The outcome of one training step: its number and its losses by name, as hooks read them.

A model function publishes the outcome in the graph that it builds; hooks find it there and fetch it
in the step's own ``session.run``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

_TENSORS = "reproducible_ml/step_outcome"
# A graph's collections hold no dictionaries, so the names have a collection of their own.
_NAMES = "reproducible_ml/step_losses"


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


def published_outcome() -> StepOutcome:
    """Return the outcome that the present graph's model function has published."""
    step, *losses = tf.compat.v1.get_collection(_TENSORS)
    return StepOutcome(step, dict(zip(tf.compat.v1.get_collection(_NAMES), losses)))
