"""Deterministic training of the classifier that judges samples, which takes minutes.

TensorFlow's checkpoint and summaries go into the same folder; ``Classifier.load`` needs neither.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.input_fn import count_classes, image_shape, session_config, split_batches
from reproducible_ml.models.evaluation.classifier import (
    CLASSIFIER_FORMAT,
    DESCRIPTION_FILE,
    LAYER,
    Classifier,
    export_classifier,
    network,
    weights_digest,
)
from reproducible_ml.models.exact import Determinism, apply_determinism, without_cluster
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.disk import writing
from reproducible_ml.utils.errors import ConfigError, ReproducibleMLError, need_count, need_number
from reproducible_ml.utils.running import recorded_elsewhere, root_seed
from reproducible_ml.utils.seeds import child_seed

_WARM_UP_SHARE = 0.05
_PLAIN_LINE_SECONDS = 10.0
_LOSS = "classifier_loss"


@dataclass(frozen=True)
class ClassifierSettings:
    """Everything that the weights depend on besides data and code.

    Attributes:
        learning_rate: Adam's highest rate, reached after a twentieth of the steps and then lowered
            to 0 along a half cosine (Loshchilov and Hutter, 2016, arXiv:1608.03983).
        batch_size: Images per step.
        max_steps: Number of steps.
        shift_pixels: Largest random shift of an image in both directions; 0 for none.
        seed: Root seed; that of the running experiment by default, and 0 outside of one.
        determinism: Threads and kernels.
    """

    learning_rate: float = 2e-3
    batch_size: int = 128
    max_steps: int = 2500
    shift_pixels: int = 2
    seed: int = field(default_factory=root_seed)
    determinism: Determinism = field(default_factory=Determinism)

    def __post_init__(self) -> None:
        need_number("learning_rate", self.learning_rate, above=0)
        for name in ("batch_size", "max_steps"):
            need_count(name, getattr(self, name))
        need_count("shift_pixels", self.shift_pixels, least=0)


@dataclass(frozen=True)
class ClassifierResult:
    """The result of a training.

    Attributes:
        step: Completed steps.
        loss: Loss of the last step.
        accuracy: Share of the test split's images that are classified correctly; None without such
            a split.
        eval_accuracy: The same for the eval split.
        digests: Digests of ``weights`` and ``losses``, and of both as ``run``.
        checkpoint: Prefix of the final checkpoint.
    """

    step: int
    loss: float
    accuracy: float | None
    eval_accuracy: float | None
    digests: dict[str, str]
    checkpoint: str


def train_classifier(
    record_dir: str | Path,
    classifier_dir: str | Path,
    settings: ClassifierSettings,
    log_every_steps: int = 50,
    scalar: Any = None,
    label_key: str = "label",
) -> ClassifierResult:
    """Train a classifier on the train split, measure it on the others and export it.

    It takes minutes, so an interrupted training is not resumed, but started again in a new folder.

    Args:
        record_dir: A serialized data set with the features ``image`` and ``label``.
        classifier_dir: Folder to write; it must not hold a checkpoint yet.
        settings: Everything that the weights depend on.
        log_every_steps: Steps between two points of the loss.
        scalar: Called as ``scalar(name, value, step)``, or None.
        label_key: Feature that holds the label.

    Raises:
        ConfigError: A setting is invalid, or the folder is in use.
        DataError: The data set is missing, damaged or has no labels.
    """
    apply_determinism(settings.determinism, settings.seed)
    need_count("log_every_steps", log_every_steps)

    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    classifier_dir = Path(classifier_dir)
    if (classifier_dir / DESCRIPTION_FILE).exists() or tf.train.latest_checkpoint(classifier_dir):
        raise ConfigError(
            f"{classifier_dir} already holds a classifier, or a part of one. Choose another "
            "classifier_dir, or delete it."
        )
    train_input = input_fn(
        str(record_dir),
        split="train",
        batch_size=settings.batch_size,
        seed=settings.seed,
        label_key=label_key,
        augment=[("shift", settings.shift_pixels)] if settings.shift_pixels else None,
    )
    manifest = train_input.manifest
    classes = count_classes(record_dir, label_key, "a classifier")
    with without_cluster():
        estimator = tf.estimator.Estimator(
            _model_fn,
            str(classifier_dir),
            tf.estimator.RunConfig(
                tf_random_seed=child_seed(settings.seed, "weights"),
                save_checkpoints_steps=settings.max_steps,
                save_summary_steps=log_every_steps,
                log_step_count_steps=None,
                session_config=session_config(),
            ),
            params={"settings": settings, "classes": classes},
        )
    losses = _losses_hook(settings.max_steps, log_every_steps, scalar)
    try:
        with writing(f"The training in {classifier_dir}", classifier_dir), recorded_elsewhere():
            estimator.train(train_input, max_steps=settings.max_steps, hooks=[losses])
    finally:
        tf.compat.v1.summary.FileWriterCache.clear()

    names = [name for name in estimator.get_variable_names() if name.startswith("classifier/")]
    # Adam's own variables have the same prefix.
    names = [name for name in names if "/Adam" not in name]
    weights = {name: estimator.get_variable_value(name) for name in sorted(names)}
    shape = list(image_shape(record_dir))
    digest = weights_digest(weights)
    description = {
        "format": CLASSIFIER_FORMAT,
        "image_shape": shape,
        "classes": classes,
        "layer": LAYER,
        "digest": digest,
        "data": {"fingerprint": manifest.fingerprint},
        "settings": {**asdict(settings), "determinism": settings.determinism.as_dict()},
    }
    classifier = Classifier(description, weights)
    accuracies = {
        split: measure_accuracy(classifier, record_dir, split, label_key)
        for split in ("eval", "test")
        if split in manifest.splits and manifest.splits[split].records
    }
    classifier.close()
    with writing(f"The classifier {classifier_dir}", classifier_dir):
        export_classifier(classifier_dir, {**description, "accuracy": accuracies}, weights)
    digests = {
        "weights": digest,
        "losses": array_digest(np.asarray(losses.losses, np.float32)),
    }
    digests["run"] = combined_digest(digests)
    return ClassifierResult(
        step=settings.max_steps,
        loss=losses.losses[-1],
        accuracy=accuracies.get("test"),
        eval_accuracy=accuracies.get("eval"),
        digests=digests,
        checkpoint=estimator.latest_checkpoint(),
    )


def measure_accuracy(
    classifier: Classifier, record_dir: str | Path, split: str, label_key: str = "label"
) -> float:
    """Return the share of a split's images that are classified correctly."""
    right = count = 0
    for images, labels in split_batches(record_dir, split, label_key):
        right += int((classifier.outputs(images).logits.argmax(axis=1) == labels).sum())
        count += len(labels)
    return right / count


def _model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    """Build the Estimator's training graph."""
    import tensorflow as tf

    # The input_fn yields (latents and labels, images), so the images come as ``labels``.

    settings = params["settings"]
    outputs = network(labels, params["classes"], settings.seed)
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(features["labels"], outputs.logits)
    )
    loss = tf.identity(loss, name=_LOSS)
    step = tf.compat.v1.train.get_or_create_global_step()
    optimizer = tf.compat.v1.train.AdamOptimizer(_rate(settings, step))
    return tf.estimator.EstimatorSpec(
        mode=mode, loss=loss, train_op=optimizer.minimize(loss, global_step=step)
    )


def _rate(settings: ClassifierSettings, step: Any) -> Any:
    import tensorflow as tf

    done = tf.cast(step, tf.float32) / settings.max_steps
    warm = tf.minimum((done + 1.0 / settings.max_steps) / _WARM_UP_SHARE, 1.0)
    return settings.learning_rate * warm * 0.5 * (1.0 + tf.cos(math.pi * done))


def _losses_hook(last_step: int, every_steps: int, scalar: Any) -> Any:
    import tensorflow as tf

    class LossesHook(tf.estimator.SessionRunHook):
        """Keeps the loss of every step, reports some of them, and prints the progress."""

        def __init__(self) -> None:
            self.losses: list[float] = []
            self._printed = time.perf_counter()

        def before_run(self, run_context: Any) -> Any:
            return tf.estimator.SessionRunArgs(f"{_LOSS}:0")

        def after_run(self, run_context: Any, run_values: Any) -> None:
            loss = float(run_values.results)
            self.losses.append(loss)
            step, now = len(self.losses), time.perf_counter()
            if not math.isfinite(loss):
                raise ReproducibleMLError(
                    f"The classifier's loss is {loss} at step {step}. Try a lower learning_rate."
                )
            if scalar is not None and (step % every_steps == 0 or step == last_step):
                scalar("loss", loss, step)
            if now - self._printed >= _PLAIN_LINE_SECONDS or step == last_step:
                self._printed = now
                print(f"step {step}/{last_step}  loss {loss:.4f}", file=sys.stderr, flush=True)

    return LossesHook()
