"""Exactly resumable training of a GAN on a serialized data set, with a digest of the result.

The folder ``model_dir`` then holds TensorFlow's checkpoints and summaries, ``training.json`` (the
identity of the training), ``steps.log`` and ``tensors.jsonl`` (see ``step_log``), the sample grids
in ``samples/``, and ``result.json`` after the last step.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reproducible_ml
from reproducible_ml.models.exact import MULTI_WORKER, apply_determinism, open_strategy
from reproducible_ml.models.gan.grids import GRID_COLUMNS, grid_inputs
from reproducible_ml.models.gan.result import TrainingResult, finish_training
from reproducible_ml.models.gan.settings import Cadence, GANSettings
from reproducible_ml.models.gan.types import gan_type_row
from reproducible_ml.process import between_steps, hold, stop_if_asked
from reproducible_ml.utils.disk import writing
from reproducible_ml.utils.errors import ConfigError, need_bool
from reproducible_ml.utils.running import recorded_elsewhere

if TYPE_CHECKING:
    from reproducible_ml.input_fn import GANInputFn

# Warnings of TensorFlow about its own calls. The networks can't silence the second one, since
# replicas are built in threads.
_SAID_BY_STRATEGIES = ("To make it possible to preserve tf.data options", "`layer.apply` is depr")

_WHAT_TO_TRY = (
    "Try lower learning rates (gen_lr, crit_lr), for wgan a smaller critic_weight_clip, for "
    "wgan_gp and dragan another penalty_weight, another gan_type, or another seed if it happens "
    "once only."
)
_THEN = "start it again to resume from the last checkpoint"


class Watcher:
    """Receives the events of a training; subclasses decide what to do with them."""

    def scalar(self, name: str, value: float, step: int) -> None:
        """Receive a point of a metric."""

    def grid(self, path: Path, step: int) -> None:
        """Receive the path of a sample grid that was written."""

    def judged_by(self, basis: Mapping[str, Any]) -> None:
        """Receive what the figures computed during training are based on."""


def train_gan(
    record_dir: str | Path,
    model_dir: str | Path,
    settings: GANSettings,
    cadence: Cadence,
    watcher: Watcher | None = None,
    allow_changed: bool = False,
    classifier_dir: str | Path | None = None,
    *,
    judge: Callable[..., Any] | None = None,
) -> TrainingResult:
    """Train a GAN up to ``cadence.max_steps``, or resume the training in ``model_dir``.

    Args:
        record_dir: A serialized data set with images as feature ``image``.
        model_dir: Folder of checkpoints; created if missing.
        settings: What the weights depend on.
        cadence: When training ends, and the intervals of its outputs.
        watcher: Receives points and grids.
        allow_changed: Resume even if settings, data or code differ.
        classifier_dir: Deprecated; use ``judge`` with ``evaluate_small`` and this folder.
        judge: Makes the hook that evaluates samples during training, such as
            ``functools.partial(evaluate_small, classifier_dir=...)``; called with ``generator``,
            ``noise_dims``, ``record_dir``, ``write``, ``every_steps``, ``seed`` and ``classes``.
            None for no evaluation.

    Returns:
        The losses of the last step, digests and files.

    Raises:
        ConfigError: A setting is invalid, ``model_dir`` belongs to another run, or another process
            trains there.
        DataError: The data set is missing or damaged.
        TrainingDiverged: A loss is not finite.
    """
    need_bool("allow_changed", allow_changed)
    with hold(model_dir):
        return _train_held(
            record_dir,
            Path(model_dir),
            settings,
            cadence,
            watcher or Watcher(),
            allow_changed,
            judge if classifier_dir is None else _judge_of(classifier_dir),
        )


def _train_held(
    record_dir: str | Path,
    model_dir: Path,
    settings: GANSettings,
    cadence: Cadence,
    watcher: Watcher,
    allow_changed: bool,
    judge: Callable[..., Any] | None,
) -> TrainingResult:
    parts = _prepare(record_dir, model_dir, settings, cadence.max_steps)
    restored_step = parts.restored_step or 0

    import tensorflow as tf

    from reproducible_ml.models.exact import (
        ExactSaverHook,
        FigureLog,
        GridHook,
        ProgressHook,
        ScalarHook,
        StepLog,
        StepLogHook,
        StopHook,
        check_identity,
        replay,
    )
    from reproducible_ml.models.gan.event_log import EventLog
    from reproducible_ml.models.gan.sampling import add_samples

    events = EventLog(model_dir, restored_step)

    def scalar(name: str, value: float, step: int) -> None:
        events.scalar(name, value, step)
        watcher.scalar(name, value, step)

    def figure(name: str, value: float, step: int) -> None:
        figures.write(name, value, step)
        scalar(name, value, step)

    def grid(path: Path, step: int) -> None:
        events.grid(path, step)
        watcher.grid(path, step)

    judging = []
    if judge is not None:
        # Before anything is written, since the folder may not hold a classifier.
        hook = judge(
            generator=parts.estimator.generator,
            noise_dims=settings.noise_dims,
            record_dir=record_dir,
            write=figure,
            every_steps=cadence.evaluate_every_steps,
            seed=settings.seed,
            classes=parts.classes,
        )
        watcher.judged_by(hook.basis)
        judging.append(hook)
    with writing(f"The training in {model_dir}", model_dir, _THEN):
        model_dir.mkdir(parents=True, exist_ok=True)
        check_identity(model_dir, parts.identity, parts.restored_step, allow_changed)
    if restored_step:
        steps = f"step {restored_step} of {cadence.max_steps}"
        print(f"Continuing {model_dir} at {steps}.", file=sys.stderr, flush=True)
    shown = grid_inputs(settings.seed, settings.noise_dims, parts.classes)
    with (
        writing(f"The training in {model_dir}", model_dir, _THEN),
        closing(StepLog(model_dir, restored_step)) as log,
        closing(FigureLog(model_dir, restored_step)) as figures,
    ):
        replay(log.steps, cadence.log_every_steps, watcher.scalar)
        for point in figures.points:
            watcher.scalar(*point)
        hooks = [
            StepLogHook(log, cadence.digest_every_steps, _WHAT_TO_TRY),
            ScalarHook(scalar, cadence.log_every_steps, cadence.max_steps),
            GridHook(
                lambda: add_samples(
                    parts.estimator.generator, tf.nest.map_structure(tf.constant, shown)
                ),
                model_dir / "samples",
                cadence.grid_every_steps,
                grid,
                columns=GRID_COLUMNS,
            ),
            ProgressHook(cadence.max_steps),
            *judging,
            ExactSaverHook(model_dir, log, cadence.checkpoint_every_steps, advice=_WHAT_TO_TRY),
        ]
        try:
            with between_steps() as begin:
                stop = StopHook(begin, model_dir)
                _train(parts, settings, cadence.max_steps, [stop, *hooks])
        finally:
            # Otherwise the estimator's summary writers would keep their files open.
            tf.compat.v1.summary.FileWriterCache.clear()
    stop_if_asked()
    with writing(f"The result of {model_dir}", model_dir, _THEN):
        result = finish_training(parts.estimator, shown, model_dir, restored_step)
        grid(Path(result.grid), result.step)
        tf.compat.v1.summary.FileWriterCache.clear()
    return result


def _judge_of(classifier_dir: str | Path) -> Callable[..., Any]:
    """Return the judge for the deprecated ``classifier_dir``; removed with it in 1.2."""
    warnings.warn(
        "train_gan(classifier_dir=...) is deprecated; pass judge=functools.partial(evaluate_small, "
        "classifier_dir=...) with evaluate_small from reproducible_ml.models.evaluation.",
        DeprecationWarning,
        stacklevel=3,
    )
    evaluation = importlib.import_module("reproducible_ml.models.evaluation")
    return functools.partial(evaluation.evaluate_small, classifier_dir=classifier_dir)


def follow_training(
    record_dir: str | Path,
    model_dir: str | Path,
    settings: GANSettings,
    max_steps: int,
    wait_seconds: float = 120.0,
) -> None:
    """Train as a worker other than the chief, which calls ``train_gan`` with the same values.

    Args:
        record_dir: The data set, with the same fingerprint as the chief's.
        model_dir: The chief's folder, which this worker must see to resume from a checkpoint.
        settings: Everything that the weights depend on, with ``strategy="multi_worker"``.
        max_steps: The step at which training ends.
        wait_seconds: How long to wait for the chief to start.

    Raises:
        ConfigError: Settings, data or code differ from the chief's, or its folder is not visible.
        DataError: The data set is missing or damaged.
        ReproducibleMLError: Training diverged, or another worker is gone.
    """
    from reproducible_ml.models.exact import StopHook, wait_for_identity

    parts = _prepare(record_dir, Path(model_dir), settings, max_steps)
    wait_for_identity(model_dir, parts.identity, wait_seconds)
    with between_steps() as begin:
        _train(parts, settings, max_steps, hooks=[StopHook(begin, model_dir, follows=True)])
    stop_if_asked()


def training_classes(record_dir: str | Path, settings: GANSettings) -> int:
    """Return the number of classes of a conditional type's data; 0 for the other types."""
    from reproducible_ml.input_fn import count_classes

    if not gan_type_row(settings.gan_type).conditional:
        return 0
    return count_classes(record_dir, settings.label_key, f"gan_type {settings.gan_type!r}")


def training_input(
    record_dir: str | Path, settings: GANSettings, critic_steps: int | None
) -> GANInputFn:
    """Return the input function of a training, with labels for a conditional type.

    Args:
        record_dir: Folder of the data set.
        settings: Settings of the training.
        critic_steps: Critic updates per element; None for plain batches.
    """
    from reproducible_ml.input_fn import input_fn

    conditional = gan_type_row(settings.gan_type).conditional
    return input_fn(
        str(record_dir),
        split="train",
        batch_size=settings.batch_size,
        noise_dims=settings.noise_dims,
        seed=settings.seed,
        critic_steps=critic_steps,
        label_key=settings.label_key if conditional else None,
    )


@dataclass(frozen=True)
class _Parts:
    """The parts that every process of a training has; the step is None without a checkpoint."""

    estimator: Any
    train_input: Any
    identity: dict[str, Any]
    classes: int
    restored_step: int | None


def _prepare(
    record_dir: str | Path, model_dir: Path, settings: GANSettings, max_steps: int
) -> _Parts:
    apply_determinism(settings.determinism, settings.seed)
    strategy = open_strategy(settings.strategy, settings.replicas)

    from reproducible_ml.input_fn import image_shape
    from reproducible_ml.models.exact import checkpoint_step, code_digests
    from reproducible_ml.models.gan.build import make_gan_estimator
    from reproducible_ml.utils.images import check_channels

    classes = training_classes(record_dir, settings)
    train_input = training_input(record_dir, settings, settings.critic_steps)
    manifest = train_input.manifest
    shape = image_shape(record_dir)
    check_channels(shape, f"The images of {record_dir}")
    restored_step = checkpoint_step(model_dir)
    if restored_step is not None and restored_step > max_steps:
        raise ConfigError(
            f"{model_dir} is already at step {restored_step}, beyond max_steps={max_steps}. "
            "Raise max_steps or choose another model_dir."
        )
    identity = {
        "settings": {**asdict(settings), **settings.determinism.as_dict(), "determinism": None},
        # Shape and classes determine the networks' size, as an export needs without the data set.
        "data": {
            "fingerprint": manifest.fingerprint,
            "image_shape": list(shape),
            **({"classes": classes} if classes else {}),
        },
        "code": code_digests(),
        **_own_code(settings),
    }
    estimator = make_gan_estimator(model_dir, settings, shape, classes, strategy)
    return _Parts(estimator, train_input, identity, classes, restored_step)


def _own_code(settings: GANSettings) -> dict[str, Any]:
    """Digest the modules outside this library that add the networks and optimizers in use."""
    from reproducible_ml.models.exact import parsed_code
    from reproducible_ml.models.gan.networks import chosen_networks
    from reproducible_ml.models.gan.optimizers import OPTIMIZERS

    row = gan_type_row(settings.gan_type)
    pair = chosen_networks(settings.networks or row.networks)
    names = [settings.gen_optimizer or row.optimizer, settings.crit_optimizer or row.optimizer]
    # An unknown optimizer is refused where it is built.
    used: list[Any] = [OPTIMIZERS[name] for name in names if name in OPTIMIZERS]
    used += [pair.generator, pair.critic]
    functions = [one for one in map(inspect.unwrap, used) if inspect.isfunction(one)]
    files = {inspect.getsourcefile(one) for one in functions}
    library = Path(reproducible_ml.__file__).parent
    paths = [Path(file) for file in files if file and library not in Path(file).parents]
    # Code of a notebook is in no file.
    own = sorted(path for path in paths if path.is_file())
    return {"own_code": parsed_code(own)} if own else {}


def _train(parts: _Parts, settings: GANSettings, max_steps: int, hooks: list[Any]) -> None:
    import tensorflow as tf

    from reproducible_ml.models.exact import read_task
    from reproducible_ml.models.exact.any_estimator import (
        ends_with_the_cluster,
        make_draws_stateless,
    )

    worker = read_task().index if settings.strategy == MULTI_WORKER else 0

    class StatelessDraws(tf.estimator.SessionRunHook):
        """Makes the draws of networks that are not this library's exact, or refuses them."""

        def begin(self) -> None:
            # The losses wait for all draws, and the global step for the losses.
            make_draws_stateless(settings.seed, worker=worker)

    # Last, since other hooks add to the graph, such as samples to draw.
    hooks = [*hooks, StatelessDraws()]
    with recorded_elsewhere(), warnings.catch_warnings():
        for said in _SAID_BY_STRATEGIES:
            warnings.filterwarnings("ignore", said, UserWarning)
        if settings.strategy != MULTI_WORKER:
            parts.estimator.train(parts.train_input, max_steps=max_steps, hooks=hooks)
            return
        # Only this call joins a cluster; without an evaluator in it, nothing is evaluated.
        with ends_with_the_cluster(
            parts.estimator.model_dir, _WHAT_TO_TRY, "critic_loss"
        ) as watching:
            tf.estimator.train_and_evaluate(
                parts.estimator,
                tf.estimator.TrainSpec(
                    parts.train_input, max_steps=max_steps, hooks=[*watching, *hooks]
                ),
                tf.estimator.EvalSpec(parts.train_input, steps=1),
            )
