"""Hooks that show a training: scalars, progress and grids of samples.

They read a step's outcome from the ``session.run`` that makes it, so watching costs no further run.
None of them writes to the graph's state: training gives the same bits with and without them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from reproducible_ml.models.exact.step import StepOutcome, published_outcome
from reproducible_ml.process import asked_to_stop, lease_of, listen_again
from reproducible_ml.utils.images import save_grid
from reproducible_ml.utils.progress import open_bar

_PLAIN_LINE_SECONDS = 10.0


class StepHook(tf.estimator.SessionRunHook):
    """Base of hooks that look at every step's outcome."""

    def begin(self) -> None:
        """Find the outcome's tensors in the graph that is about to run."""
        self._outcome = published_outcome()

    def before_run(self, run_context: Any) -> Any:
        """Ask for the outcome in the step's own run."""
        del run_context
        return tf.estimator.SessionRunArgs(self._outcome)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Pass the values on."""
        self.after_step(run_values.results, run_context.session)

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Do the hook's work; ``outcome`` holds NumPy scalars."""
        raise NotImplementedError


class StopHook(tf.estimator.SessionRunHook):
    """Ends a training after its present step, with a checkpoint, if a signal asks for it.

    It also ends one whose folder another process has taken over; see ``process.lease``.

    Args:
        begin: Called before the first step; see ``process.between_steps``.
        model_dir: Folder of the checkpoints.
        follows: Leave the end to the chief of a cluster, which hears the same signal. A worker that
            ended first would take the last checkpoint from it.
    """

    def __init__(
        self, begin: Callable[[], None], model_dir: str | Path, follows: bool = False
    ) -> None:
        self._begin = begin
        self._lease = lease_of(model_dir)
        self._follows = follows

    def begin(self) -> None:
        """Hear signals again that TensorFlow has taken: a worker of a cluster takes SIGTERM."""
        listen_again()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """From here on signals wait for the end of a step."""
        del session, coord
        self._begin()

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Ask the training to end, which writes a checkpoint."""
        del run_values
        if self._lease is not None:
            self._lease.check()
        if asked_to_stop() and not self._follows:
            run_context.request_stop()


def replay(
    steps: np.ndarray[Any, Any], every_steps: int, write: Callable[[str, float, int], None]
) -> None:
    """Write the points of an interrupted training again, so that its metrics are complete.

    Args:
        steps: Logged steps, see ``read_steps``.
        every_steps: Steps between two points.
        write: Called as ``write(name, value, step)``.
    """
    for entry in steps[every_steps - 1 :: every_steps]:
        for name in steps.dtype.names[1:]:
            write(name, float(entry[name]), int(entry["step"]))


class ScalarHook(StepHook):
    """Writes losses and speed at regular steps, with the true global step.

    Args:
        write: Called as ``write(name, value, step)``.
        every_steps: Steps between two points.
        last_step: This step is written too, whatever its number; None if it is unknown.
    """

    def __init__(
        self, write: Callable[[str, float, int], None], every_steps: int, last_step: int | None
    ) -> None:
        self._write = write
        self._every_steps = every_steps
        self._last_step = last_step
        self._previous: tuple[int, float] | None = None
        self._unwritten: StepOutcome | None = None

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Write the losses of this step, and steps per second since the point before."""
        step = int(outcome.step)
        if step % self._every_steps and step != self._last_step:
            self._unwritten = outcome
            return
        self._unwritten = None
        self._write_losses(outcome)
        now = time.perf_counter()
        if self._previous is not None:
            steps, seconds = step - self._previous[0], now - self._previous[1]
            self._write("steps_per_second", steps / seconds, step)
        self._previous = (step, now)

    def end(self, session: tf.compat.v1.Session) -> None:
        """Write the losses of the last step, if only now it is known to be the last."""
        del session
        if self._last_step is None and self._unwritten is not None:
            self._write_losses(self._unwritten)

    def _write_losses(self, outcome: StepOutcome) -> None:
        for name, loss in outcome.losses.items():
            self._write(name, float(loss), int(outcome.step))


class ProgressHook(StepHook):
    """Shows losses and time left: a bar on a terminal or in a notebook, plain lines elsewhere.

    Args:
        last_step: The step at which training ends; None if it is unknown.
    """

    def __init__(self, last_step: int | None) -> None:
        self._last_step = last_step
        self._bar: Any | None = None
        self._began: tuple[int, float] | None = None
        self._printed = 0.0

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Move the bar, or print a line if the last one is old."""
        step, now = int(outcome.step), time.perf_counter()
        losses = "  ".join(
            f"{name.removesuffix('_loss')} {loss:+.4f}" for name, loss in outcome.losses.items()
        )
        if self._began is None:
            self._began = (step, now)
            self._bar = open_bar(total=self._last_step, initial=step - 1, unit="step")
        if self._bar is not None:
            self._bar.set_postfix_str(losses, refresh=False)
            self._bar.update(step - self._bar.n)
        elif now - self._printed >= _PLAIN_LINE_SECONDS or step == self._last_step:
            self._printed = now
            print(self._plain_line(step, now, losses), file=sys.stderr, flush=True)

    def _plain_line(self, step: int, now: float, losses: str) -> str:
        assert self._began is not None
        line = f"step {step}{'' if self._last_step is None else f'/{self._last_step}'}  {losses}"
        if step > self._began[0]:
            speed = (step - self._began[0]) / (now - self._began[1])
            line += f"  {speed:.1f} steps/s"
            if self._last_step is not None:
                left = tqdm.format_interval((self._last_step - step) / speed)
                line += f"  {left} left"
        return line

    def end(self, session: tf.compat.v1.Session) -> None:
        """Close the bar."""
        del session
        if self._bar is not None:
            self._bar.close()


class GridHook(StepHook):
    """Draws the same samples at regular steps and writes them as a PNG grid.

    Args:
        draw: Adds the drawing to the graph that is about to run and returns the samples, a tensor
            [count, height, width, channels] in [-1, 1].
        folder: Where ``step-00000100.png`` and so on are written.
        every_steps: Steps between two grids.
        written: Called as ``written(path, step)`` after each grid.
        columns: Samples per row; 0 makes the grid as square as possible.
        last_too: Write a grid after the last step, whatever its number.
    """

    def __init__(
        self,
        draw: Callable[[], tf.Tensor],
        folder: str | Path,
        every_steps: int,
        written: Callable[[Path, int], None],
        columns: int = 0,
        last_too: bool = False,
    ) -> None:
        self._draw = draw
        self._columns = columns
        self._folder = Path(folder)
        self._every_steps = every_steps
        self._written = written
        self._last_too = last_too
        self._step = 0

    def begin(self) -> None:
        """Add the drawing to the graph."""
        super().begin()
        self._samples = self._draw()

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Draw and write when it is time."""
        self._step = int(outcome.step)
        if self._step % self._every_steps == 0:
            self._write(session)

    def end(self, session: tf.compat.v1.Session) -> None:
        """Draw and write after the last step."""
        if self._last_too and self._step % self._every_steps:
            self._write(session)

    def _write(self, session: tf.compat.v1.Session) -> None:
        path = self._folder / f"step-{self._step:08d}.png"
        samples = session.run(self._samples)
        self._written(save_grid(samples, path, self._columns), self._step)
