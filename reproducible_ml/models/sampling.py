"""Draw samples of a trained GAN for judging, from a stream of latents of their own.

Sample i is a pure function of (weights, seed, i): neither the number of samples nor what was drawn
before changes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn.noise import stateless_normal, stream_key
from reproducible_ml.models.gan_estimator import make_gan_estimator
from reproducible_ml.models.resume import IDENTITY_FILE
from reproducible_ml.models.settings import settings_from
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError

STREAM = "evaluation/latents"
_DRAWN_BATCH = 250


class TrainedGAN:
    """The newest checkpoint of a training, to draw from.

    Attributes:
        settings: What it was trained with.
        step: The checkpoint's global step.
        digest: Digest of the generator's weights.
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
        identity = json.loads(path.read_text(encoding="utf-8"))
        manifest = read_manifest(record_dir)
        trained_on = identity["data"]["fingerprint"]
        if trained_on != manifest.fingerprint:
            raise ConfigError(
                f"The GAN in {model_dir} was trained on data of fingerprint {trained_on[:16]}, "
                f"{record_dir} has {manifest.fingerprint[:16]}. Give the record_dir of its "
                "training: only its own test split judges it."
            )
        self.settings = settings_from(identity["settings"])
        self._estimator = make_gan_estimator(model_dir, self.settings, image_shape(record_dir))
        names = self._estimator.get_variable_names()
        weights = {name: self._estimator.get_variable_value(name) for name in names}
        self.step = int(weights["global_step"])
        self.digest = combined_digest(
            {name: array_digest(weights[name]) for name in names if name.startswith("Generator/")}
        )

    def draw(self, count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Draw samples 0 to ``count - 1`` of a seed.

        Args:
            count: Number of samples.
            seed: Root seed of the evaluation.

        Returns:
            float32 array [count, height, width, channels] in [-1, 1].
        """

        def latents_input() -> Any:
            return tf.data.Dataset.range(-(-count // _DRAWN_BATCH)).map(
                lambda batch: latents_of_batch(seed, batch, self.settings.noise_dims)
            )

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
