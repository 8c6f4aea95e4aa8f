"""Hooks that make a resume exact: the step log, the rolling digests and the checkpoint order.

They go into ``train(hooks=…)`` in this order: ``StepLogHook``, any others, ``ExactSaverHook`` last.
A step's losses are then logged before its checkpoint can be written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Union

import crc32c
import numpy as np
import tensorflow as tf

from reproducible_ml.models.exact.hooks import StepHook
from reproducible_ml.models.exact.identity import checkpoint_step
from reproducible_ml.models.exact.step import StepOutcome
from reproducible_ml.models.exact.step_log import StepLog
from reproducible_ml.utils.errors import ReproducibleMLError


class TrainingDiverged(ReproducibleMLError):
    """A loss or a weight is not finite."""


# What to try, or a function that finds it out when it is needed.
Advice = Union[str, Callable[[], str]]
_WHAT_TO_TRY = "Try a lower learning rate, or another seed if it happens once only."


def what_is_kept(model_dir: str | Path, advice: Advice = _WHAT_TO_TRY) -> str:
    """Say which checkpoint a diverged training leaves, and what to try."""
    advice = advice() if callable(advice) else advice
    kept, step = tf.train.latest_checkpoint(str(model_dir)), checkpoint_step(model_dir)
    if kept is None:
        return f"No checkpoint was written. {advice}"
    untrained = "" if step else ", which is untrained: the next try may start in another model_dir"
    return f"The checkpoint of step {step} is kept, {kept}{untrained}. {advice}"


class StepLogHook(StepHook):
    """Logs every step's losses, and digests of all variables at regular steps.

    Args:
        log: Where to write.
        digest_every_steps: Steps between two digests of the variables; 0 for no digests.
        advice: What to try when a loss is not finite.

    Raises:
        TrainingDiverged: At the first step with a loss that is not finite, before a checkpoint of
            that step can be written.
    """

    def __init__(
        self, log: StepLog, digest_every_steps: int, advice: Advice = _WHAT_TO_TRY
    ) -> None:
        self._log = log
        self._digest_every_steps = digest_every_steps
        self._advice = advice

    def begin(self) -> None:
        """Remember the variables, in the order of their names."""
        super().begin()
        variables = tf.compat.v1.global_variables()
        self._variables = {
            variable.op.name: variable.read_value()
            for variable in sorted(variables, key=lambda variable: variable.op.name)
        }

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Append the step."""
        step = int(outcome.step)
        for name, loss in outcome.losses.items():
            if not math.isfinite(loss):
                kept = what_is_kept(self._log.folder, self._advice)
                raise TrainingDiverged(f"The {name} is {loss} at step {step}. {kept}")
        self._log.append(step, outcome.losses)
        if self._digest_every_steps and step % self._digest_every_steps == 0:
            values = session.run(self._variables)
            self._log.append_tensors(step, {name: _crc(values[name]) for name in values})

    def end(self, session: tf.compat.v1.Session) -> None:
        """Flush the log to the disk before the last checkpoint is written."""
        del session
        self._log.sync()


class ExactSaverHook(tf.compat.v1.train.CheckpointSaverHook):
    """TensorFlow's checkpoint hook, with the step log on disk before each checkpoint.

    The step that spoils the weights still has finite losses, which were computed before it. So the
    variables are checked before they are saved.

    Args:
        model_dir: Folder of the checkpoints.
        log: The step log of the same folder, or what has its ``folder`` and ``sync``.
        every_steps: Steps between two checkpoints; None to count seconds.
        every_seconds: Seconds between two checkpoints; None to count steps.
        advice: What to try when a variable is not finite.
        listeners: Further listeners, which act before each checkpoint after the log is on disk.

    Raises:
        TrainingDiverged: A variable is not finite; no checkpoint is written then.
    """

    def __init__(
        self,
        model_dir: str | Path,
        log: Any,
        every_steps: int | None,
        every_seconds: float | None = None,
        advice: Advice = _WHAT_TO_TRY,
        listeners: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            str(model_dir),
            save_secs=every_seconds,
            save_steps=every_steps,
            listeners=[_LookAndSyncFirst(log, advice), *listeners],
            # The graph as text takes a second to write, and the model is rebuilt from code.
            save_graph_def=False,
        )
        # Without this the hook asks for the step in a session.run of its own after each step.
        self._set_steps_per_run(1)


class _LookAndSyncFirst(tf.compat.v1.train.CheckpointSaverListener):
    def __init__(self, log: Any, advice: Advice) -> None:
        self._log = log
        self._advice = advice

    def begin(self) -> None:
        self._finite = {
            variable.op.name: tf.reduce_all(tf.math.is_finite(variable.read_value()))
            for variable in tf.compat.v1.global_variables()
            if variable.dtype.is_floating
        }

    def before_save(self, session: tf.compat.v1.Session, global_step_value: int) -> None:
        finite = session.run(self._finite)
        spoiled = sorted(name for name in finite if not finite[name])
        if spoiled:
            raise TrainingDiverged(
                f"{spoiled[0]} holds values that are not finite after step {global_step_value} "
                f"({len(spoiled)} variables in all). "
                f"{what_is_kept(self._log.folder, self._advice)}"
            )
        self._log.sync()


def _crc(value: Any) -> str:
    array = np.ascontiguousarray(value)
    return f"{crc32c.crc32c(array.reshape(-1).view(np.uint8).data):08x}"
