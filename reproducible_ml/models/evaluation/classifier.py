"""A small image classifier, whose features are used to judge the samples of a GAN.

A classifier consists of two files: ``classifier.npz`` holds the weights, and ``classifier.json``
describes them by image shape, classes, accuracy, training data and digest. The description is
written last, so a folder without it holds no classifier. ``classifier_training`` makes both.

The features are the output of the last layer before the logits, after its ReLU.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn import session_config
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.files import replacing, write_json
from reproducible_ml.utils.text import SHORT_DIGEST

WEIGHTS_FILE = "classifier.npz"
DESCRIPTION_FILE = "classifier.json"
LAYER = "features"
FEATURES = 128
CLASSIFIER_FORMAT = "reproducible-ml classifier 1"
_FIRST_CHANNELS = 32
# Convolutions halve the image until its side is at most this.
_LARGEST_LAST_SIDE = 8
# One shape for every call, so that an image's outputs do not depend on how many others there are.
_BATCH = 256


class Outputs(NamedTuple):
    """A classifier's output for some images.

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
        description: Content of ``classifier.json``.
        image_shape: (height, width, channels) of the images that it takes.
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
                    f"The weights of the classifier do not fit its network for images of shape "
                    f"{self.image_shape}. Train it again: python -m experiments.mnist_classifier"
                )
            self._session = tf.compat.v1.Session(graph=graph, config=session_config())
            for name, variable in variables.items():
                variable.load(weights[name], self._session)

    @classmethod
    def load(cls, folder: str | Path) -> Classifier:
        """Load a classifier that ``train_classifier`` wrote.

        Raises:
            DataError: There is no classifier, or its files were altered.
        """
        folder = Path(folder)
        path = folder / DESCRIPTION_FILE
        again = "Train one: python -m experiments.mnist_classifier"
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            # Opened here, since NumPy leaves a damaged file open.
            with open(folder / WEIGHTS_FILE, "rb") as file, np.load(file) as arrays:
                weights = {name: arrays[name] for name in arrays.files}
        except FileNotFoundError as error:
            raise DataError(
                f"{folder} holds no classifier: there is no {Path(error.filename).name}. {again} "
                f"with classifier_dir={folder}"
            ) from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"The classifier in {folder} can't be read: {error}. {again}") from None
        if not isinstance(description, dict) or description.get("format") != CLASSIFIER_FORMAT:
            raise DataError(f"{path} does not describe a classifier of this version. {again}")
        found = weights_digest(weights)
        if description.get("digest") != found:
            raise DataError(
                f"{folder / WEIGHTS_FILE} was altered: its digest is {found[:SHORT_DIGEST]}, "
                f"{DESCRIPTION_FILE} says {str(description.get('digest'))[:SHORT_DIGEST]}. {again}"
            )
        return cls(description, weights)

    def check_images(self, shape: Sequence[int], whose: str) -> None:
        """Refuse images of another shape than this classifier takes.

        Args:
            shape: (height, width, channels).
            whose: Where the images come from, for the message.

        Raises:
            ConfigError: The images have another shape.
        """
        if tuple(shape) != self.image_shape:
            raise ConfigError(
                f"The classifier takes images of shape {self.image_shape}, those of {whose} have "
                f"{tuple(shape)}. Choose a classifier_dir that was trained on such images."
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


def note_other_data(
    classifier: Classifier, classifier_dir: str | Path, record_dir: str | Path
) -> None:
    """Print a note if a classifier was trained on other data than it judges.

    This is not an error: images without labels can only be judged by a classifier of other images.

    Args:
        classifier: The classifier.
        classifier_dir: Folder of the classifier.
        record_dir: The data set whose images are judged.
    """
    trained_on = str((classifier.description.get("data") or {}).get("fingerprint"))
    here = read_manifest(record_dir).fingerprint
    if trained_on != here:
        print(
            f"The classifier in {classifier_dir} was trained on other data (fingerprint "
            f"{trained_on[:SHORT_DIGEST]}) than {record_dir} holds ({here[:SHORT_DIGEST]}): "
            "compare its figures with each other and with their floor, not with those of another "
            "classifier.",
            file=sys.stderr,
            flush=True,
        )


def network(images: Any, classes: int, seed: int) -> Outputs:
    """Build the classifier: convolutions that halve the side, one dense layer, the logits.

    For 28 x 28 images there are 32 channels at full size, 64 at 14 x 14 and 128 at 7 x 7.

    Args:
        images: float32 tensor [n, height, width, channels] in [-1, 1].
        classes: Number of classes.
        seed: Root seed of the initial weights.

    Returns:
        The outputs as tensors.
    """
    import tensorflow as tf

    from reproducible_ml.models.exact import GlorotUniform, seeded_variables

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


def weights_digest(weights: dict[str, Any]) -> str:
    """Digest named weights."""
    return combined_digest({name: array_digest(value) for name, value in weights.items()})


def export_classifier(folder: Path, description: dict[str, Any], weights: dict[str, Any]) -> None:
    """Write a classifier's files, the description last.

    Args:
        folder: Folder to write to.
        description: Content of ``classifier.json``, with the ``digest`` of the weights.
        weights: Weights by the names of the network's variables.
    """
    with replacing(folder / WEIGHTS_FILE) as file:
        np.savez(file, **weights)
    write_json(folder / DESCRIPTION_FILE, description, indent=1)
