"""Exactly resumable training of any ``tf.estimator.Estimator``.

The Estimator's own ``train`` is called with its input and its model function wrapped: elements are
counted (``counted_data``), random operations become stateless (``stateless_draws``), and each
step's losses are published to hooks. The ``model_dir`` then holds, beside TensorFlow's files,
``training.json`` (the identity of the training), ``steps.log`` and ``tensors.jsonl`` (see
``step_log``), and ``calls.json``, the steps at which each call of ``train`` began and ends.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from reproducible_ml.datasets.serialize.checking import odd_values
from reproducible_ml.input_fn import called_at
from reproducible_ml.models.exact.any_estimator.counted_data import (
    CountedData,
    ElementsListener,
    read_elements,
)
from reproducible_ml.models.exact.any_estimator.lost_cluster import ends_with_the_cluster
from reproducible_ml.models.exact.any_estimator.stateless_draws import make_draws_stateless
from reproducible_ml.models.exact.checkpoints import ExactSaverHook, StepLogHook
from reproducible_ml.models.exact.hooks import ProgressHook, ScalarHook, StopHook, replay
from reproducible_ml.models.exact.identity import CALLS_FILE, check_identity, checkpoint_step
from reproducible_ml.models.exact.step import (
    has_outcome,
    outcome_of,
    publish_outcome,
    published_outcome,
)
from reproducible_ml.models.exact.step_log import StepLog, losses_digest, read_steps
from reproducible_ml.process import between_steps, stop_if_asked
from reproducible_ml.utils.digests import combined_digest, variable_digests
from reproducible_ml.utils.disk import writing
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.files import write_json
from reproducible_ml.utils.running import recorded_elsewhere

_NEVER = 2**62
_THEN = "start it again to resume from the last checkpoint"
_TRAIN = tf.estimator.ModeKeys.TRAIN


@dataclass(frozen=True)
class Watched:
    """What a training is watched for.

    Attributes:
        seed: The run's root seed, by which random operations draw.
        identity: Called once the graph is built with the manifest of the data set, None for data
            of another kind; returns groups of named values, see ``check_identity``.
        write: Called as ``write(name, value, step)`` with the points of metrics.
        log_every_steps: Steps between two points.
        digest_every_steps: Steps between two digests of all variables.
        allow_changed: Resume even if the identity differs.
        advice: What to try when a loss is not finite.
        hooks: Called with the training's graph built; returns further hooks that look at steps.
    """

    seed: int
    identity: Callable[[Any], dict[str, Any]]
    write: Callable[[str, float, int], None]
    log_every_steps: int = 10
    digest_every_steps: int = 200
    allow_changed: bool = False
    advice: str = "Try a lower learning rate."
    hooks: Callable[[], Sequence[Any]] = tuple


@dataclass(frozen=True)
class TrainingEnd:
    """The state of a training after a call of ``train``.

    Attributes:
        step: Completed steps.
        resumed_from: Step of the checkpoint at which the call began; 0 for a fresh start.
        losses: Losses of the last step by name.
        digests: Digests of ``weights`` and ``losses``, and of both as ``run``.
        tensors: Variable -> digest.
        checkpoint: Prefix of the last checkpoint.
    """

    step: int
    resumed_from: int
    losses: dict[str, float]
    digests: dict[str, str]
    tensors: dict[str, str]
    checkpoint: str


class ExactTraining:
    """The trainings of one Estimator in one process, each of which resumes exactly.

    Args:
        estimator: Any Estimator.
        watched: What its trainings are watched for.

    Attributes:
        folder: Its ``model_dir``.
        manifest: Manifest of the data set that it reads, once an input function of this project
            has been called; None for other data.
    """

    def __init__(self, estimator: Any, watched: Watched) -> None:
        self.folder = Path(estimator.model_dir)
        self.manifest: Any = None
        self._watched = watched
        self._calls = 0
        self._start = 0
        self._listener = ElementsListener(self.folder)
        self._log: StepLog | None = None
        self._number: tf.Tensor | None = None
        self._positioned = False
        self._restored: int | None = None
        self._final: int | None = None
        self._replayed = False
        self.continue_with(estimator)

    def continue_with(self, estimator: Any) -> None:
        """Train an Estimator, which may be another object for the same ``model_dir``."""
        self._estimator = estimator
        if estimator.config.tf_random_seed is None:
            estimator._config = estimator.config.replace(
                tf_random_seed=self._watched.seed & 0x7FFFFFFF
            )

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
        """Train as ``tf.estimator.Estimator.train`` does, with the same arguments.

        Args:
            input_fn: Returns a ``tf.data.Dataset``.
            hooks: Further hooks.
            steps: Steps of this call. A call that was interrupted does what it still lacks.
            max_steps: The step at which training ends.
            saving_listeners: As in TensorFlow.
            train: The Estimator's own method, if its class's ``train`` has been replaced.
            final_step: The step at which a training ends of which this call is a part: it has a
                point of each metric, whatever its number. None: that of this call.

        Returns:
            The state at the end.

        Raises:
            ConfigError: The folder belongs to another training, or this one can't be exact.
            DataError: The folder was altered.
            TrainingDiverged: A loss or a weight is not finite.
        """
        self._restored = checkpoint_step(self.folder)
        last = self._last_step(steps, max_steps)
        self._final = final_step or last
        self._start = self._elements()
        if self._restored is not None and last is not None and self._restored >= last:
            with tf.Graph().as_default(), self._wrapped(None):
                self._estimator._create_global_step(tf.compat.v1.get_default_graph())
                self._estimator._get_features_and_labels_from_input_fn(input_fn, _TRAIN)
            self._check_identity()
            # A script that calls train several times comes by its earlier calls again.
            if self._restored > last and self._calls >= len(self._starts):
                raise ConfigError(
                    f"{self.folder} is already at step {self._restored}, beyond max_steps={last}. "
                    "Raise max_steps or choose another model_dir."
                )
            self._say_where()
            self._replay(read_steps(self.folder)[: self._restored])
            return self.end()
        self._say_where()
        saver = self._saver()
        cluster: Any = nullcontext([])
        if self._estimator.config.num_worker_replicas > 1:
            cluster = ends_with_the_cluster(self.folder, self._advice)
        try:
            with (
                writing(f"The training in {self.folder}", self.folder, _THEN),
                recorded_elsewhere(),
                self._wrapped(saver),
                cluster as watching,
                between_steps() as begin,
            ):
                stop = StopHook(begin, self.folder)
                (train or self._estimator.train)(
                    input_fn,
                    hooks=[*watching, stop, ExactHook(self), *(hooks or ()), saver],
                    max_steps=last,
                    saving_listeners=saving_listeners,
                )
        finally:
            if self._log is not None:
                self._log.close()
            # Otherwise the estimator's summary writers would keep their files open.
            tf.compat.v1.summary.FileWriterCache.clear()
        stop_if_asked()
        return self.end()

    def end(self) -> TrainingEnd:
        """Return the state of the newest checkpoint.

        Raises:
            ConfigError: No step was made.
        """
        # A process that was killed may have logged steps beyond its last checkpoint.
        steps = read_steps(self.folder)[: checkpoint_step(self.folder) or 0]
        if not len(steps):
            raise ConfigError(
                f"The training in {self.folder} made no step: its data ended before the first one."
            )
        tensors = variable_digests(self._estimator)
        digests = {"weights": combined_digest(tensors), "losses": losses_digest(steps)}
        digests["run"] = combined_digest(digests)
        return TrainingEnd(
            step=int(steps["step"][-1]),
            resumed_from=self._restored or 0,
            losses={
                name: float(steps[-1][name]) for name in steps.dtype.names or () if name != "step"
            },
            digests=digests,
            tensors=tensors,
            checkpoint=self._estimator.latest_checkpoint(),
        )

    def begin(self) -> list[Any]:
        """Check and open everything once the graph is built.

        Returns:
            The hooks that look at each step.
        """
        watched = self._watched
        self._need_position()
        make_draws_stateless(watched.seed, self._number)
        # TensorFlow makes it before this only where it writes summaries.
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_identity()
        write_json(self.folder / CALLS_FILE, self._starts)
        self._log = StepLog(self.folder, self._restored or 0, tuple(published_outcome().losses))
        self._replay(self._log.steps)
        return [
            StepLogHook(self._log, watched.digest_every_steps, self._advice),
            ScalarHook(watched.write, watched.log_every_steps, self._final),
            ProgressHook(self._final),
            *watched.hooks(),
        ]

    def _need_position(self) -> None:
        """Say or refuse what a resumed training could not do: read on where it stopped."""
        if self._positioned:
            return
        if self._restored:
            raise ConfigError(
                f"{self.folder} is at step {self._restored} of a training on several devices, "
                "whose input_fn is not one of this project, so nothing tells where its data "
                "goes on. Use reproducible_ml.input_fn, or start in another model_dir."
            )
        self._say(
            "This training can't be resumed, since nothing tells the position in its data: "
            "return a tf.data.Dataset from input_fn, on several devices one of this project."
        )

    def _replay(self, steps: Any) -> None:
        """Write the points of earlier processes again; this process has written its own."""
        if self._replayed:
            return
        self._replayed = True
        watched = self._watched
        replay(steps, watched.log_every_steps, watched.write)
        if len(steps) == self._final and len(steps) % watched.log_every_steps:
            replay(steps, len(steps), watched.write)

    def sync(self) -> None:
        """Flush the step log to the disk, before a checkpoint is written."""
        if self._log is not None:
            self._log.sync()

    def _say_where(self) -> None:
        """Say at which step of an earlier process this one begins."""
        if not self._restored or self._replayed:
            return
        if self._final is not None and self._restored >= self._final:
            self._say(f"{self.folder} is already at step {self._restored}.")
            return
        of = "" if self._final is None else f" of {self._final}"
        self._say(f"Continuing {self.folder} at step {self._restored}{of}.")

    @staticmethod
    def _say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def _last_step(self, steps: int | None, max_steps: int | None) -> int | None:
        """Return the step at which a call ends, counted from where it first began."""
        if steps is not None and max_steps is not None:
            raise ConfigError("train takes steps or max_steps, and both are given.")
        starts = self._read_starts()
        if self._calls >= len(starts):
            starts = [*starts[: self._calls], self._restored or 0]
        self._starts = starts
        start = starts[self._calls]
        self._calls += 1
        return max_steps if steps is None else start + steps

    def _read_starts(self) -> list[int]:
        path = self.folder / CALLS_FILE
        # Without a checkpoint nothing of an earlier process counts.
        if self._restored is None or not path.exists():
            return []
        try:
            return [int(start) for start in json.loads(path.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path} does not list the steps at which calls of train began ({error!r}). "
                "Restore it from a backup, or start in another model_dir."
            ) from error

    def _elements(self) -> int:
        """Return how many elements were consumed up to the checkpoint to resume from."""
        if self._restored is None or self._estimator._train_distribution is not None:
            return 0
        found = read_elements(self.folder, self._restored)
        if found is None and not self._watched.allow_changed:
            raise ConfigError(
                f"{self.folder} holds a checkpoint of step {self._restored}, and nothing tells how "
                "much data its training has read: it was not recorded, or its input_fn returned "
                "tensors. Choose another model_dir, or start from its weights: warm_start_from="
                f"{str(self.folder)!r}."
            )
        return found or 0

    def _check_identity(self) -> None:
        identity = self._watched.identity(self.manifest)
        check_identity(self.folder, identity, self._restored, self._watched.allow_changed)

    def _advice(self) -> str:
        """Return what to try: to mend the data, if it is the data."""
        odd = None if self.manifest is None else odd_values(self.manifest)
        if odd is None:
            return self._watched.advice
        return (
            f"{odd}: fill in such values, or leave the feature out, and serialize the data again."
        )

    def _saver(self) -> ExactSaverHook:
        config = self._estimator.config
        every_steps, every_seconds = config.save_checkpoints_steps, config.save_checkpoints_secs
        if not every_steps and not every_seconds:
            # Only the first and the last checkpoint.
            every_steps = _NEVER
        return ExactSaverHook(
            self.folder,
            self,
            every_steps or None,
            every_seconds or None,
            self._advice,
            [self._listener],
        )

    @contextmanager
    def _wrapped(self, saver: Any) -> Iterator[None]:
        """Replace what the Estimator calls to get its data and to build its graph."""
        estimator = self._estimator
        read, call_input_fn = (
            estimator._get_features_and_labels_from_input_fn,
            estimator._call_input_fn,
        )
        call_model_fn = estimator._call_model_fn

        def counted(input_fn: Any, mode: str) -> Any:
            if mode != _TRAIN:
                return read(input_fn, mode)
            data = CountedData(lambda: call_input_fn(input_fn, mode), self._start)
            self._number, self.manifest = data.number, data.manifest
            self._listener.counter = data.counter
            self._positioned = data.number is not None
            return data.features, data.labels, data.hooks

        def of_a_strategy(input_fn: Any, mode: str, input_context: Any = None) -> Any:
            if mode != _TRAIN:
                return call_input_fn(input_fn, mode, input_context)
            step = tf.cast(tf.compat.v1.train.get_or_create_global_step(), tf.int64)
            data, place = called_at(lambda: call_input_fn(input_fn, mode, input_context), step)
            self._positioned, self.manifest = place.taken, place.manifest
            return data

        def published(features: Any, labels: Any, mode: str, config: Any) -> Any:
            spec = call_model_fn(features, labels, mode, config)
            if mode != _TRAIN:
                return spec
            if saver is not None and spec.scaffold.saver is not None:
                saver._scaffold = spec.scaffold
            if has_outcome():
                return spec
            outcome = outcome_of(spec)
            publish_outcome(outcome)
            return spec._replace(train_op=outcome.step.op)

        replaced: dict[str, Any] = {"_call_model_fn": published}
        if estimator._train_distribution is None:
            replaced["_get_features_and_labels_from_input_fn"] = counted
        else:
            replaced["_call_input_fn"] = of_a_strategy
            # The Estimator makes the counter after the data, which need it here.
            replaced["_create_global_step"] = tf.compat.v1.train.get_or_create_global_step
        estimator.__dict__.update(replaced)
        try:
            yield
        finally:
            for name in replaced:
                del estimator.__dict__[name]


class ExactHook(tf.estimator.SessionRunHook):
    """Opens a training once its graph is built, and passes each step on to the hooks that look.

    Args:
        training: The training.

    Attributes:
        step: The last completed step of this process; None before the first.
    """

    def __init__(self, training: ExactTraining) -> None:
        self._training = training
        self.step: int | None = None

    def begin(self) -> None:
        """Open the training, and begin the hooks that look at its steps."""
        self._hooks = self._training.begin()
        for hook in self._hooks:
            hook.begin()
        self._outcome = published_outcome()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Pass it on."""
        for hook in self._hooks:
            hook.after_create_session(session, coord)

    def before_run(self, run_context: Any) -> Any:
        """Ask for the step's number and losses."""
        return tf.estimator.SessionRunArgs(self._outcome)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Check that it was one step, and pass it on."""
        step = int(run_values.results.step)
        if self.step is None:
            self.step = self._training._restored or 0
        if step != self.step + 1:
            raise ConfigError(
                f"global_step went from {self.step} to {step} in one step of the training. "
                "Increment it by one in train_op: minimize(loss, global_step=...)."
            )
        self.step = step
        for hook in self._hooks:
            hook.after_run(run_context, run_values)

    def end(self, session: Any) -> None:
        """Pass it on."""
        for hook in self._hooks:
            hook.end(session)
