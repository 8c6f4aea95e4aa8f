"""One training step's outcome, as the graph states it and as hooks read it."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

# The graph collection in which a step's outcome is found by hooks.
STEP_OUTCOME = "reproducible_ml/step_outcome"


class StepOutcome(NamedTuple):
    """What one step gives, as tensors of the same ``session.run``.

    Attributes:
        step: int64 scalar, the number of completed steps, this one included.
        generator_loss: float32 scalar, the loss whose gradient updated the generator.
        critic_loss: float32 scalar, that of the step's last critic update.
    """

    step: tf.Tensor
    generator_loss: tf.Tensor
    critic_loss: tf.Tensor
