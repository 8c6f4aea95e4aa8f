"""Samples of a trained GAN for evaluation, drawn from their own stream of latents.

Sample i is a pure function of (weights, seed, i): it depends neither on the number of samples nor
on earlier draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn import image_shape, stateless_normal, stream_key
from reproducible_ml.models.exact import IDENTITY_FILE, read_identity
from reproducible_ml.models.gan.build import make_gan_estimator
from reproducible_ml.models.gan.settings import settings_from
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.text import SHORT_DIGEST

STREAM = "evaluation/latents"
_DRAWN_BATCH = 250


class TrainedGAN:
    """The newest checkpoint of a training, from which samples are drawn.

    Attributes:
        settings: Settings of the training.
        step: The checkpoint's global step.
        digest: Digest of the generator's weights.
        classes: Number of classes, 0 for a GAN without labels.
    """

    def __init__(self, model_dir: str | Path, record_dir: str | Path) -> None:
        """Open the checkpoint.

        Args:
            model_dir: Folder of the checkpoints.
            record_dir: The data set of the training.

        Raises:
            DataError: There is no trained GAN in the folder.
            ConfigError: The GAN was trained on other data.
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
                f"{manifest.fingerprint[:SHORT_DIGEST]}. Use the record_dir of its training: a GAN "
                "is only compared with the test split of its own data."
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
        """Return the labels of samples 0 to ``count - 1``, which cycle through the classes.

        Raises:
            ConfigError: The GAN has no labels.
        """
        if not self.classes:
            raise ConfigError(
                f"gan_type {self.settings.gan_type!r} draws without labels. Train a conditional "
                "one: cgan or acgan."
            )
        return (np.arange(count) % self.classes).astype(np.int32)

    def draw(
        self, count: int, seed: int, labels: Any | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Draw samples 0 to ``count - 1`` for a seed.

        Args:
            count: Number of samples.
            seed: Root seed of the evaluation.
            labels: The class of each sample, integers [count]; None for ``labels(count)`` if the
                GAN is conditional.

        Returns:
            float32 array [count, height, width, channels] in [-1, 1].

        Raises:
            ConfigError: The labels are not ``count`` classes, or the GAN has no labels.
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


def add_samples(generator: Any, inputs: Any) -> Any:
    """Add the generator to the training graph a second time, in its prediction mode.

    Args:
        generator: The generator network, ``generator(inputs, mode=...)``.
        inputs: Latents [count, dims], or a dictionary of ``latents`` and ``labels``.

    Returns:
        The samples, a tensor [count, height, width, channels].
    """
    with tf.compat.v1.variable_scope("Generator", reuse=True):
        return generator(inputs, mode=tf.estimator.ModeKeys.PREDICT)


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

    Raises:
        ConfigError: The labels are not ``count`` classes, are missing for a conditional GAN, or are
            given for a GAN without labels.
    """
    # Only make_gan_estimator sets the number of classes; TF-GAN's estimator lacks the attribute.
    classes = getattr(estimator, "classes", None)
    if classes is not None:
        labels = check_labels(labels, len(latents), classes)
    inputs: Any = latents
    if labels is not None:
        inputs = {"latents": latents, "labels": np.asarray(labels, np.int32)}

    def one_batch() -> Any:
        return tf.data.Dataset.from_tensors(inputs)

    return np.stack(list(estimator.predict(one_batch)))


def check_labels(labels: Any, count: int, classes: int) -> np.ndarray[Any, Any] | None:
    """Refuse labels that a generator would misread or silently ignore.

    Args:
        labels: The class of each sample, or None.
        count: Number of samples.
        classes: Number of classes, 0 for a GAN without labels.

    Returns:
        int32 array [count]; None for a GAN without labels.

    Raises:
        ConfigError: The labels are not ``count`` classes, are missing, or are given for a GAN
            without labels.
    """
    if not classes:
        if labels is not None:
            raise ConfigError(
                "This GAN draws without labels, but labels are given. Leave them out, or train a "
                "conditional gan_type: cgan or acgan."
            )
        return None
    if labels is None:
        raise ConfigError(
            f"This GAN is conditional, but no labels are given: pass {count} integers from 0 "
            f"to {classes - 1}."
        )
    found = np.asarray(labels)
    fits = found.shape == (count,) and np.issubdtype(found.dtype, np.integer)
    if not fits or (count and (found.min() < 0 or found.max() >= classes)):
        raise ConfigError(
            f"labels must be {count} integers from 0 to {classes - 1}, found shape {found.shape} "
            f"of {found.dtype}" + (f" from {found.min()} to {found.max()}." if fits else ".")
        )
    return found.astype(np.int32)
