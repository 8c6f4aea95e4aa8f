"""A small classifier of a data set's images, whose features judge the samples of a GAN.

Training writes into a folder of its own: TensorFlow's checkpoint and summaries, then
``classifier.npz`` with the weights and last ``classifier.json``, which says what they are: image
shape, classes, accuracy, what they were trained on, and their digest. A folder without it holds no
classifier. ``Classifier.load`` needs these two files only.

The features are what the last layer before the logits gives, after its ReLU.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.models.determinism import Determinism, apply_determinism
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError, ReproducibleMLError
from reproducible_ml.utils.seeds import child_seed

WEIGHTS_FILE = "classifier.npz"
DESCRIPTION_FILE = "classifier.json"
LAYER = "features"
FEATURES = 128
_FORMAT = "reproducible-ml classifier 1"
_FIRST_CHANNELS = 32
# The features see the image at this side or below.
_LARGEST_LAST_SIDE = 8
_WARM_UP_SHARE = 0.05
# One shape for every call, so that an image's outputs do not depend on how many others there are.
_BATCH = 256
_PLAIN_LINE_SECONDS = 10.0
_LOSS = "classifier_loss"


@dataclass(frozen=True)
class ClassifierSettings:
    """Everything that the weights depend on besides data and code.

    Attributes:
        learning_rate: Adam's highest rate, reached after a twentieth of the steps and then taken
            down to 0 along a half cosine (Loshchilov and Hutter, 2016, arXiv:1608.03983).
        batch_size: Images a step.
        max_steps: The step at which training ends.
        shift_pixels: Each image is moved by up to so many pixels in both directions; 0 for none.
        seed: The run's root seed.
        determinism: Threads and kernels.
    """

    learning_rate: float = 2e-3
    batch_size: int = 128
    max_steps: int = 2500
    shift_pixels: int = 2
    seed: int = 0
    determinism: Determinism = field(default_factory=Determinism)

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "max_steps"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0, found {getattr(self, name)}.")
        if self.shift_pixels < 0:
            raise ConfigError(f"shift_pixels must be 0 or more, found {self.shift_pixels}.")


class Outputs(NamedTuple):
    """What a classifier says of images.

    Attributes:
        features: float32 array [n, 128], the penultimate layer.
        logits: float32 array [n, classes].
    """

    features: np.ndarray[Any, np.dtype[np.float32]]
    logits: np.ndarray[Any, np.dtype[np.float32]]

    @property
    def probabilities(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Probabilities of the classes, float64 [n, classes]."""
        logits = self.logits.astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: np.ndarray[Any, np.dtype[np.float64]] = powers / powers.sum(axis=1, keepdims=True)
        return result


class Classifier:
    """A trained classifier.

    Attributes:
        description: What ``classifier.json`` says.
        image_shape: (height, width, channels) that it takes.
        classes: Number of classes.
        digest: Digest of the weights.
    """

    def __init__(self, description: dict[str, Any], weights: dict[str, Any]) -> None:
        import tensorflow as tf

        self.description = description
        self.image_shape: tuple[int, ...] = tuple(description["image_shape"])
        self.classes = int(description["classes"])
        self.digest = str(description["digest"])
        with tf.Graph().as_default() as graph:
            self._images = tf.compat.v1.placeholder(tf.float32, [_BATCH, *self.image_shape])
            self._outputs = network(self._images, self.classes, seed=0)
            variables = {one.op.name: one for one in tf.compat.v1.global_variables()}
            if {name: tuple(one.shape) for name, one in variables.items()} != {
                name: value.shape for name, value in weights.items()
            }:
                raise DataError(
                    f"The weights of the classifier are not those of its network for images of "
                    f"{self.image_shape}. Train it again: python -m experiments.mnist_classifier"
                )
            self._session = tf.compat.v1.Session(graph=graph)
            for name, variable in variables.items():
                variable.load(weights[name], self._session)

    @classmethod
    def load(cls, folder: str | Path) -> Classifier:
        """Load what ``train_classifier`` wrote.

        Raises:
            DataError: There is no classifier, or its files were altered.
        """
        folder = Path(folder)
        path = folder / DESCRIPTION_FILE
        again = "Train one: python -m experiments.mnist_classifier"
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            with np.load(folder / WEIGHTS_FILE) as file:
                weights = {name: file[name] for name in file.files}
        except FileNotFoundError as error:
            raise DataError(
                f"{folder} holds no classifier: there is no {Path(error.filename).name}. {again} "
                f"with classifier_dir={folder}"
            ) from None
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"The classifier in {folder} can't be read: {error}. {again}") from None
        if not isinstance(description, dict) or description.get("format") != _FORMAT:
            raise DataError(f"{path} does not describe a classifier of this version. {again}")
        found = weights_digest(weights)
        if description.get("digest") != found:
            raise DataError(
                f"{folder / WEIGHTS_FILE} was altered: its digest is {found[:16]}, "
                f"{DESCRIPTION_FILE} says {str(description.get('digest'))[:16]}. {again}"
            )
        return cls(description, weights)

    def check_images(self, shape: Sequence[int], whose: str) -> None:
        """Refuse images that this classifier does not take.

        Args:
            shape: (height, width, channels).
            whose: Where the images come from, for the message.

        Raises:
            ConfigError: They have another shape.
        """
        if tuple(shape) != self.image_shape:
            raise ConfigError(
                f"The classifier takes images of {self.image_shape}, those of {whose} are "
                f"{tuple(shape)}. Give a classifier_dir that was trained on such images."
            )

    def outputs(self, images: Any) -> Outputs:
        """Compute features and logits.

        Args:
            images: float32 array [n, height, width, channels] in [-1, 1].
        """
        images = np.asarray(images, np.float32)
        self.check_images(images.shape[1:], "this call")
        count = len(images)
        features = np.empty((count, FEATURES), np.float32)
        logits = np.empty((count, self.classes), np.float32)
        batch = np.zeros((_BATCH, *self.image_shape), np.float32)
        for start in range(0, count, _BATCH):
            stop = min(start + _BATCH, count)
            batch[: stop - start] = images[start:stop]
            batch[stop - start :] = 0.0
            found = self._session.run(self._outputs, {self._images: batch})
            features[start:stop] = found.features[: stop - start]
            logits[start:stop] = found.logits[: stop - start]
        return Outputs(features, logits)

    def close(self) -> None:
        """Free the session."""
        self._session.close()


@dataclass(frozen=True)
class ClassifierResult:
    """What training ended with.

    Attributes:
        step: Completed steps.
        loss: The last step's loss.
        accuracy: Share of the test split's images that are classified right.
        eval_accuracy: The same of the eval split.
        digests: Digests of ``weights`` and ``losses``, and of both, ``run``.
        checkpoint: Prefix of the final checkpoint.
    """

    step: int
    loss: float
    accuracy: float
    eval_accuracy: float
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

    It takes minutes, so an interrupted training is not continued but started again elsewhere.

    Args:
        record_dir: A serialized data set with the features ``image`` and ``label``.
        classifier_dir: Folder to write; must hold no checkpoint yet.
        settings: What the weights depend on.
        log_every_steps: Steps between two points of the loss.
        scalar: Called as ``scalar(name, value, step)``, or None.
        label_key: Feature that holds the label.

    Raises:
        ConfigError: A setting can't work, or the folder is used.
        DataError: The data set is missing, damaged or has no labels.
    """
    apply_determinism(settings.determinism, settings.seed)
    if log_every_steps < 1:
        raise ConfigError(f"log_every_steps must be 1 or more, found {log_every_steps}.")

    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    classifier_dir = Path(classifier_dir)
    if (classifier_dir / DESCRIPTION_FILE).exists() or tf.train.latest_checkpoint(classifier_dir):
        raise ConfigError(
            f"{classifier_dir} holds a classifier already, or a part of one. Choose another "
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
    classes = _count_classes(record_dir, label_key)
    threads = settings.determinism
    estimator = tf.estimator.Estimator(
        _model_fn,
        str(classifier_dir),
        tf.estimator.RunConfig(
            tf_random_seed=child_seed(settings.seed, "weights"),
            save_checkpoints_steps=settings.max_steps,
            save_summary_steps=log_every_steps,
            log_step_count_steps=None,
            session_config=tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=threads.intra_op_threads,
                inter_op_parallelism_threads=threads.inter_op_threads,
            ),
        ),
        params={"settings": settings, "classes": classes},
    )
    losses = _losses_hook(settings.max_steps, log_every_steps, scalar)
    try:
        estimator.train(train_input, max_steps=settings.max_steps, hooks=[losses])
    finally:
        tf.compat.v1.summary.FileWriterCache.clear()

    names = [name for name in estimator.get_variable_names() if name.startswith("classifier/")]
    # Without Adam's own variables, which lie beside those that they belong to.
    names = [name for name in names if "/Adam" not in name]
    weights = {name: estimator.get_variable_value(name) for name in sorted(names)}
    image_shape = [int(size) for size in _image_shape(train_input)]
    description = {
        "format": _FORMAT,
        "image_shape": image_shape,
        "classes": classes,
        "layer": LAYER,
        "digest": weights_digest(weights),
        "data": {"fingerprint": manifest.fingerprint},
        "settings": {**asdict(settings), "determinism": threads.as_dict()},
    }
    classifier = Classifier(description, weights)
    accuracies = {
        split: measure_accuracy(classifier, record_dir, split, label_key)
        for split in ("eval", "test")
        if split in manifest.splits and manifest.splits[split].records
    }
    classifier.close()
    _export(classifier_dir, {**description, "accuracy": accuracies}, weights)
    digests = {
        "weights": description["digest"],
        "losses": array_digest(np.asarray(losses.losses, np.float32)),
    }
    digests["run"] = combined_digest(digests)
    return ClassifierResult(
        step=settings.max_steps,
        loss=losses.losses[-1],
        accuracy=accuracies.get("test", math.nan),
        eval_accuracy=accuracies.get("eval", math.nan),
        digests=digests,
        checkpoint=estimator.latest_checkpoint(),
    )


def network(images: Any, classes: int, seed: int) -> Outputs:
    """Build the classifier: convolutions that halve the side, one dense layer, the logits.

    For 28 x 28 images 32 channels at full size, then 64 at 14 and 128 at 7; 128 features.

    Args:
        images: float32 tensor [n, height, width, channels] in [-1, 1].
        classes: Number of classes.
        seed: Root seed that the weights start from.

    Returns:
        Tensors.
    """
    import tensorflow as tf

    from reproducible_ml.models.seeding import GlorotUniform, seeded_variables

    def weighted(layer: Any, name: str, shape: list[int], stride: int = 0) -> Any:
        weights = tf.compat.v1.get_variable(
            f"{name}/weights", shape, initializer=GlorotUniform(seed)
        )
        bias = tf.compat.v1.get_variable(
            f"{name}/bias", shape[-1:], initializer=tf.compat.v1.zeros_initializer()
        )
        if stride:
            return tf.nn.bias_add(tf.nn.conv2d(layer, weights, stride, "SAME"), bias)
        return tf.nn.bias_add(tf.matmul(layer, weights), bias)

    with tf.compat.v1.variable_scope("classifier", use_resource=True), seeded_variables():
        channels = _FIRST_CHANNELS
        layer = tf.nn.relu(weighted(images, "conv1", [3, 3, int(images.shape[-1]), channels], 1))
        number = 1
        while max(layer.shape[1:3]) > _LARGEST_LAST_SIDE:
            number, wider = number + 1, min(channels * 2, FEATURES)
            layer = tf.nn.relu(weighted(layer, f"conv{number}", [3, 3, channels, wider], 2))
            channels = wider
        size = int(np.prod(layer.shape[1:]))
        features = tf.nn.relu(
            weighted(tf.reshape(layer, [-1, size]), LAYER, [size, FEATURES]), name=LAYER
        )
        return Outputs(features, weighted(features, "logits", [FEATURES, classes]))


def measure_accuracy(
    classifier: Classifier, record_dir: str | Path, split: str, label_key: str = "label"
) -> float:
    """Return the share of a split's images that are classified right."""
    right = count = 0
    for images, labels in labelled_batches(record_dir, split, label_key):
        right += int((classifier.outputs(images).logits.argmax(axis=1) == labels).sum())
        count += len(labels)
    return right / count


def labelled_batches(record_dir: str | Path, split: str, label_key: str = "label") -> Any:
    """Yield (images, labels) of a split in its written order, as NumPy arrays."""
    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    read = input_fn(
        str(record_dir),
        split=split,
        batch_size=_BATCH,
        noise_dims=1,
        label_key=label_key,
        shuffle=False,
        repeat=False,
    )
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        iterator = tf.compat.v1.data.make_initializable_iterator(read())
        session.run(iterator.initializer)
        features, images = iterator.get_next()
        while True:
            try:
                yield session.run((images, features["labels"]))
            except tf.errors.OutOfRangeError:
                return


def weights_digest(weights: dict[str, Any]) -> str:
    """Digest named weights."""
    return combined_digest({name: array_digest(value) for name, value in weights.items()})


def _model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    """Build the Estimator's training graph; the images are its ``labels``, as the input_fn says."""
    import tensorflow as tf

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
        """Keeps every step's loss, hands some on, and says how far training is."""

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


def _image_shape(read: Any) -> tuple[int, ...]:
    shape = tuple(read.features[read.image_key].shape)
    return (*shape, 1) if len(shape) == 2 else shape


def _count_classes(record_dir: str | Path, label_key: str) -> int:
    lowest, highest = 0, 0
    for _, labels in labelled_batches(record_dir, "train", label_key):
        lowest, highest = min(lowest, int(labels.min())), max(highest, int(labels.max()))
    if lowest < 0 or highest == 0:
        raise DataError(
            f"{record_dir}: the labels of feature {label_key!r} reach from {lowest} to {highest}; "
            "a classifier takes classes 0, 1 and so on, two at least."
        )
    return highest + 1


def _export(folder: Path, description: dict[str, Any], weights: dict[str, Any]) -> None:
    temporary = folder / ("tmp-" + WEIGHTS_FILE)
    np.savez(temporary, **weights)
    os.replace(temporary, folder / WEIGHTS_FILE)
    temporary = folder / (DESCRIPTION_FILE + ".tmp")
    temporary.write_text(json.dumps(description, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(temporary, folder / DESCRIPTION_FILE)
