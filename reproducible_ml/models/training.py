"""Training a GAN on a serialized data set, exactly resumable, with a digest of what came out.

The folder ``model_dir`` then holds TensorFlow's checkpoints and summaries, ``training.json`` (what
the weights were made with), ``steps.log`` and ``tensors.jsonl`` (see ``step_log``), the sample
grids in ``samples/``, and ``result.json`` once the last step is done.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.models.conditioning import GRID_COLUMNS, class_rows, count_classes
from reproducible_ml.models.determinism import apply_determinism
from reproducible_ml.models.distribution import MULTI_WORKER, open_strategy
from reproducible_ml.models.gan_types import gan_type_row
from reproducible_ml.models.settings import Cadence, GANSettings
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.seeds import child_seed

GRID_SAMPLES = 64
# What TensorFlow says of its own calls; the second since replicas are built in threads, where the
# networks can't silence it.
_SAID_BY_STRATEGIES = ("To make it possible to preserve tf.data options", "`layer.apply` is depr")


class Watcher:
    """Told of what happens during training; does nothing by itself."""

    def scalar(self, name: str, value: float, step: int) -> None:
        """A point of a metric."""

    def grid(self, path: Path, step: int) -> None:
        """A sample grid was written."""


@dataclass(frozen=True)
class TrainingResult:
    """What training ended with.

    Attributes:
        step: Completed steps.
        resumed_from: Step of the checkpoint that this process continued, 0 for a fresh start.
        generator_loss: The last step's loss of the generator.
        critic_loss: The last step's loss of the critic.
        digests: Digests of ``weights``, ``losses`` and ``samples``, and the one of all, ``run``.
        grid: PNG of the final samples.
        checkpoint: Prefix of the final checkpoint.
    """

    step: int
    resumed_from: int
    generator_loss: float
    critic_loss: float
    digests: dict[str, str]
    grid: str
    checkpoint: str


def train_gan(
    record_dir: str | Path,
    model_dir: str | Path,
    settings: GANSettings,
    cadence: Cadence,
    watcher: Watcher | None = None,
    allow_changed: bool = False,
    classifier_dir: str | Path | None = None,
) -> TrainingResult:
    """Train, or continue what ``model_dir`` holds, up to ``cadence.max_steps``.

    Args:
        record_dir: A serialized data set with images as feature ``image``.
        model_dir: Folder of checkpoints; made when missing.
        settings: What the weights depend on.
        cadence: How long, and how often to look.
        watcher: Told of points and grids.
        allow_changed: Continue a run of other settings, data or code.
        classifier_dir: Folder of a classifier that judges samples every
            ``cadence.evaluate_every_steps`` steps; None for no such figures.

    Returns:
        The final step's losses, digests and files.

    Raises:
        ConfigError: A setting can't work, or ``model_dir`` is of another run.
        DataError: The data set is missing or damaged.
        TrainingDiverged: A loss is not finite.
    """
    model_dir = Path(model_dir)
    parts = _prepare(record_dir, model_dir, settings, cadence.max_steps)

    import tensorflow as tf

    from reproducible_ml.models.exact_hooks import ExactSaverHook, StepLogHook
    from reproducible_ml.models.figure_log import FigureLog
    from reproducible_ml.models.hooks import GridHook, ProgressHook, ScalarHook
    from reproducible_ml.models.resume import check_identity
    from reproducible_ml.models.step_log import StepLog

    watcher = watcher or Watcher()
    model_dir.mkdir(parents=True, exist_ok=True)
    check_identity(model_dir, parts.identity, parts.restored_step, allow_changed)
    if parts.restored_step:
        steps = f"step {parts.restored_step} of {cadence.max_steps}"
        print(f"Continuing {model_dir} at {steps}.", file=sys.stderr, flush=True)
    log = StepLog(model_dir, parts.restored_step)
    _replay(log.steps, cadence.log_every_steps, watcher)
    figures = FigureLog(model_dir, parts.restored_step)
    for point in figures.points:
        watcher.scalar(*point)

    def figure(name: str, value: float, step: int) -> None:
        figures.write(name, value, step)
        watcher.scalar(name, value, step)

    generator = parts.estimator.generator
    shown = grid_inputs(settings.seed, settings.noise_dims, parts.classes)
    hooks = [
        StepLogHook(log, cadence.digest_every_steps),
        ScalarHook(watcher.scalar, cadence.log_every_steps, cadence.max_steps),
        GridHook(
            generator,
            shown,
            model_dir / "samples",
            cadence.grid_every_steps,
            watcher.grid,
            columns=GRID_COLUMNS,
        ),
        ProgressHook(cadence.max_steps),
    ]
    if classifier_dir is not None:
        from reproducible_ml.models.evaluation import evaluate_small

        hooks.append(
            evaluate_small(
                generator,
                settings.noise_dims,
                record_dir,
                classifier_dir,
                figure,
                cadence.evaluate_every_steps,
                seed=settings.seed,
                classes=parts.classes,
            )
        )
    hooks.append(ExactSaverHook(model_dir, log, cadence.checkpoint_every_steps))
    try:
        _train(parts, settings, cadence.max_steps, hooks)
    finally:
        log.close()
        figures.close()
        # The estimator's own summary writers hold their files open otherwise.
        tf.compat.v1.summary.FileWriterCache.clear()
    return _finish(parts.estimator, shown, model_dir, parts.restored_step, watcher)


def follow_training(
    record_dir: str | Path,
    model_dir: str | Path,
    settings: GANSettings,
    max_steps: int,
    wait_seconds: float = 120.0,
) -> None:
    """Compute as a worker that is not the chief, which calls ``train_gan`` with the same values.

    Args:
        record_dir: The data set, with the chief's fingerprint.
        model_dir: The chief's folder, seen from here too: a resume reads its checkpoint.
        settings: What the weights depend on, with ``strategy="multi_worker"``.
        max_steps: The step at which training ends.
        wait_seconds: How long to wait for the chief to begin.

    Raises:
        ConfigError: Settings, data or code are not the chief's, or its folder is not seen.
        DataError: The data set is missing or damaged.
    """
    from reproducible_ml.models.resume import wait_for_identity

    parts = _prepare(record_dir, Path(model_dir), settings, max_steps)
    wait_for_identity(model_dir, parts.identity, wait_seconds)
    _train(parts, settings, max_steps, hooks=[])


@dataclass(frozen=True)
class _Parts:
    """What every process of a training has."""

    estimator: Any
    train_input: Any
    identity: dict[str, Any]
    classes: int
    restored_step: int


def _prepare(
    record_dir: str | Path, model_dir: Path, settings: GANSettings, max_steps: int
) -> _Parts:
    apply_determinism(settings.determinism, settings.seed)
    strategy = open_strategy(settings.strategy, settings.replicas)

    from reproducible_ml.input_fn import input_fn
    from reproducible_ml.models.gan_estimator import make_gan_estimator
    from reproducible_ml.models.resume import code_digests

    conditional = gan_type_row(settings.gan_type).conditional
    classes = 0
    if conditional:
        classes = count_classes(record_dir, settings.gan_type, settings.label_key)
    train_input = input_fn(
        str(record_dir),
        split="train",
        batch_size=settings.batch_size,
        noise_dims=settings.noise_dims,
        seed=settings.seed,
        critic_steps=settings.critic_steps,
        label_key=settings.label_key if conditional else None,
    )
    manifest = train_input.manifest
    image_shape = manifest.features["image"].shape
    if image_shape is None:
        raise DataError(
            f"{record_dir}: the images have no common shape, which a GAN needs. Serialize "
            "them with a handler that resizes: ImageHandler(shape)."
        )
    restored_step = _restored_step(model_dir)
    if restored_step > max_steps:
        raise ConfigError(
            f"{model_dir} is already at step {restored_step}, beyond max_steps={max_steps}. "
            "Raise max_steps or choose another model_dir."
        )
    identity = {
        "settings": {**asdict(settings), **settings.determinism.as_dict(), "determinism": None},
        # Shape and classes say of what size the networks are where the data set is not at hand.
        "data": {
            "fingerprint": manifest.fingerprint,
            "image_shape": list(image_shape),
            **({"classes": classes} if classes else {}),
        },
        "code": code_digests(),
    }
    estimator = make_gan_estimator(model_dir, settings, image_shape, classes, strategy)
    return _Parts(estimator, train_input, identity, classes, restored_step)


def _train(parts: _Parts, settings: GANSettings, max_steps: int, hooks: list[Any]) -> None:
    import tensorflow as tf

    with warnings.catch_warnings():
        for said in _SAID_BY_STRATEGIES:
            warnings.filterwarnings("ignore", said, UserWarning)
        if settings.strategy != MULTI_WORKER:
            parts.estimator.train(parts.train_input, max_steps=max_steps, hooks=hooks)
            return
        # Only this joins a cluster; where that has no evaluator, it evaluates nothing.
        tf.estimator.train_and_evaluate(
            parts.estimator,
            tf.estimator.TrainSpec(parts.train_input, max_steps=max_steps, hooks=hooks),
            tf.estimator.EvalSpec(parts.train_input, steps=1),
        )


def evaluation_latents(seed: int, count: int, noise_dims: int) -> np.ndarray[Any, Any]:
    """Draw the latents of the sample grids, which no training step sees.

    Args:
        seed: The run's root seed.
        count: Number of samples.
        noise_dims: Length of a latent vector.

    Returns:
        float32 array [count, noise_dims], standard normal, from NumPy's Philox generator.
    """
    draw = np.random.Generator(np.random.Philox(child_seed(seed, "evaluation")))
    return draw.standard_normal((count, noise_dims), dtype=np.float32)


def grid_inputs(seed: int, noise_dims: int, classes: int = 0) -> Any:
    """Return the generator's inputs of the sample grids.

    Args:
        seed: The run's root seed.
        noise_dims: Length of a latent vector.
        classes: Number of classes, 0 for a GAN without labels.

    Returns:
        Latents [64, noise_dims]; or for a conditional GAN a dictionary of ``latents`` and
        ``labels``, eight samples a class, from the same eight latents for each.
    """
    if not classes:
        return evaluation_latents(seed, GRID_SAMPLES, noise_dims)
    return class_rows(evaluation_latents(seed, GRID_COLUMNS, noise_dims), classes)


def _restored_step(model_dir: Path) -> int:
    import tensorflow as tf

    checkpoint = tf.train.latest_checkpoint(str(model_dir))
    if checkpoint is None:
        return 0
    found = re.search(r"-(\d+)$", checkpoint)
    return int(found.group(1)) if found else 0


def _replay(steps: np.ndarray[Any, Any], every_steps: int, watcher: Watcher) -> None:
    """Tell of the points that the interrupted run had reached, so that the metrics are whole."""
    for entry in steps[every_steps - 1 :: every_steps]:
        for name in ("generator_loss", "critic_loss"):
            watcher.scalar(name, float(entry[name]), int(entry["step"]))


def _finish(
    estimator: Any,
    shown: Any,
    model_dir: Path,
    restored_step: int,
    watcher: Watcher,
) -> TrainingResult:
    from reproducible_ml.models.step_log import losses_digest, read_steps
    from reproducible_ml.utils.digests import array_digest, combined_digest
    from reproducible_ml.utils.images import save_grid

    steps = read_steps(model_dir)
    step = int(steps["step"][-1])
    inputs = shown if isinstance(shown, dict) else {"latents": shown}
    samples = draw_samples(estimator, **inputs)
    path = model_dir / "samples" / f"step-{step:08d}.png"
    grid = save_grid(samples, path, columns=GRID_COLUMNS)
    watcher.grid(grid, step)
    weights = {
        name: array_digest(estimator.get_variable_value(name))
        for name in estimator.get_variable_names()
    }
    digests = {
        "weights": combined_digest(weights),
        "losses": losses_digest(steps),
        "samples": combined_digest(
            {
                **{name: array_digest(inputs[name]) for name in inputs},
                "pixels": array_digest(samples),
            }
        ),
    }
    digests["run"] = combined_digest(digests)
    result = TrainingResult(
        step=step,
        resumed_from=restored_step,
        generator_loss=float(steps["generator_loss"][-1]),
        critic_loss=float(steps["critic_loss"][-1]),
        digests=digests,
        grid=str(grid),
        checkpoint=estimator.latest_checkpoint(),
    )
    details = {**asdict(result), "tensors": weights}
    (model_dir / "result.json").write_text(json.dumps(details, indent=1), encoding="utf-8")
    return result


def draw_samples(
    estimator: Any, latents: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, Any]:
    """Draw samples with the newest checkpoint.

    Args:
        estimator: A trained ``GANEstimator``.
        latents: float32 array [count, dims].
        labels: Integer array [count], the class of each sample; None for a GAN without labels.

    Returns:
        float32 array [count, height, width, channels] in [-1, 1].
    """
    import tensorflow as tf

    inputs: Any = latents
    if labels is not None:
        inputs = {"latents": latents, "labels": np.asarray(labels, np.int32)}

    def one_batch() -> Any:
        return tf.data.Dataset.from_tensors(inputs)

    return np.stack(list(estimator.predict(one_batch)))
