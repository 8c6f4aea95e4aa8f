"""Draw samples of a trained GAN for judging, from a stream of latents of their own.

Sample i is a pure function of (weights, seed, i): neither the number of samples nor what was drawn
before changes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn.noise import stateless_normal, stream_key
from reproducible_ml.models.conditioning import check_labels
from reproducible_ml.models.gan_estimator import make_gan_estimator
from reproducible_ml.models.resume import IDENTITY_FILE, read_identity
from reproducible_ml.models.settings import settings_from
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.text import SHORT_DIGEST

STREAM = "evaluation/latents"
_DRAWN_BATCH = 250


class TrainedGAN:
    """The newest checkpoint of a training, to draw from.

    Attributes:
        settings: What it was trained with.
        step: The checkpoint's global step.
        digest: Digest of the generator's weights.
        classes: Number of classes that it was told, 0 for a GAN without labels.
    """

    def __init__(self, model_dir: str | Path, record_dir: str | Path) -> None:
        """Open it.

        Args:
            model_dir: Folder of the checkpoints.
            record_dir: The data set that it was trained on.

        Raises:
            DataError: There is no trained GAN in the folder.
            ConfigError: It was trained on other data.
        """
        path = Path(model_dir) / IDENTITY_FILE
        if not path.exists() or tf.train.latest_checkpoint(str(model_dir)) is None:
            missing = "checkpoint" if path.exists() else IDENTITY_FILE
            raise DataError(
                f"{model_dir} holds no trained GAN: there is no {missing}. Train one: "
                f"python -m experiments.mnist_wgan with model_dir={model_dir}"
            )
        identity = read_identity(model_dir)
        manifest = read_manifest(record_dir)
        trained_on = identity["data"]["fingerprint"]
        if trained_on != manifest.fingerprint:
            raise ConfigError(
                f"The GAN in {model_dir} was trained on data of fingerprint "
                f"{trained_on[:SHORT_DIGEST]}, {record_dir} has "
                f"{manifest.fingerprint[:SHORT_DIGEST]}. Give the record_dir of its training: only "
                "its own test split judges it."
            )
        self.settings = settings_from(identity["settings"])
        self.classes = int(identity["data"].get("classes", 0))
        self._estimator = make_gan_estimator(
            model_dir, self.settings, image_shape(record_dir), self.classes
        )
        names = self._estimator.get_variable_names()
        weights = {name: self._estimator.get_variable_value(name) for name in names}
        self.step = int(weights["global_step"])
        self.digest = combined_digest(
            {name: array_digest(weights[name]) for name in names if name.startswith("Generator/")}
        )

    def labels(self, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Return the labels of samples 0 to ``count - 1``: the classes in turn.

        Raises:
            ConfigError: The GAN draws without labels.
        """
        if not self.classes:
            raise ConfigError(
                f"gan_type {self.settings.gan_type!r} draws no chosen class. Train a conditional "
                "one: cgan or acgan."
            )
        return (np.arange(count) % self.classes).astype(np.int32)

    def draw(
        self, count: int, seed: int, labels: Any | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Draw samples 0 to ``count - 1`` of a seed.

        Args:
            count: Number of samples.
            seed: Root seed of the evaluation.
            labels: The class of each sample, integers [count]; None takes ``labels(count)`` where
                the GAN is conditional.

        Returns:
            float32 array [count, height, width, channels] in [-1, 1].

        Raises:
            ConfigError: The labels are not ``count`` classes, or the GAN draws without labels.
        """
        if labels is None and self.classes:
            labels = self.labels(count)
        labels = check_labels(labels, count, self.classes)
        batches = -(-count // _DRAWN_BATCH)

        def latents_input() -> Any:
            latents = tf.data.Dataset.range(batches).map(
                lambda batch: latents_of_batch(seed, batch, self.settings.noise_dims)
            )
            if labels is None:
                return latents
            padded = np.resize(labels, (batches, _DRAWN_BATCH))
            wanted = tf.data.Dataset.from_tensor_slices(padded)
            return tf.data.Dataset.zip({"latents": latents, "labels": wanted})

        samples = self._estimator.predict(latents_input)
        return np.stack([sample for sample, _ in zip(samples, range(count))])


def latents_of_batch(seed: int, batch: Any, noise_dims: int) -> Any:
    """Draw the latents of samples ``250 * batch`` to ``250 * batch + 249``.

    Args:
        seed: Root seed of the evaluation.
        batch: Number of the batch, an integer or an integer tensor.
        noise_dims: Length of a latent vector.

    Returns:
        float32 tensor [250, noise_dims].
    """
    return stateless_normal(stream_key(seed, STREAM, batch), [_DRAWN_BATCH, noise_dims])


def image_shape(record_dir: str | Path) -> tuple[int, ...]:
    """Return (height, width, channels) of a data set's images.

    Raises:
        DataError: They have no common shape.
    """
    shape = read_manifest(record_dir).features["image"].shape
    if shape is None:
        raise DataError(
            f"{record_dir}: the images have no common shape. Serialize them with a handler that "
            "resizes: ImageHandler(shape)."
        )
    return (*shape, 1) if len(shape) == 2 else tuple(shape)
