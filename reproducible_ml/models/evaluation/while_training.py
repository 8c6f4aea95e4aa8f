"""Evaluation of a GAN during its training, by the figures that need no training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.input_fn import image_shape
from reproducible_ml.models.evaluation.classifier import Classifier, Outputs, note_other_data
from reproducible_ml.models.evaluation.figures import (
    FEWEST_SAMPLES,
    FIGURES,
    RealOutputs,
    figure_names,
    need_samples,
    small_figures,
)
from reproducible_ml.models.evaluation.real_images import classes_in_turn, split_outputs
from reproducible_ml.models.exact import StepHook, StepOutcome
from reproducible_ml.models.gan import add_samples, latents_of_batch
from reproducible_ml.utils.errors import ConfigError, need_count

SMALL_SAMPLES = 250
PREFIX = "small_"


class SmallEvaluationHook(StepHook):
    """Logs the figures that need no training images at regular steps, with a small N.

    The generator is added to the training graph a second time, in its prediction mode. The
    classifier runs in its own graph. The training's state is never changed, so training gives the
    same bits with and without the hook.

    Args:
        generator: The generator network, ``generator(latents, mode=...)``.
        noise_dims: Length of a latent vector.
        classifier: The classifier of the samples.
        real: The classifier's outputs for real images.
        write: Called as ``write(name, value, step)``.
        every_steps: Steps between two evaluations.
        samples: N.
        seed: Root seed of the latents, which are the same each time.
        classes: Number of classes from which the generator gets labels in turn; 0 for none.
        basis: What the figures are based on: counts, split, layers and classifier.

    Attributes:
        basis: The argument of this name.
    """

    def __init__(
        self,
        generator: Callable[..., Any],
        noise_dims: int,
        classifier: Classifier,
        real: Outputs,
        write: Callable[[str, float, int], None],
        every_steps: int,
        samples: int,
        seed: int,
        classes: int = 0,
        basis: Mapping[str, Any] | None = None,
    ) -> None:
        self.basis = dict(basis or {})
        self._asked_for = classes_in_turn(samples, classes) if classes else None
        self._generator = generator
        self._noise_dims = noise_dims
        self._classifier = classifier
        self._real = RealOutputs.of(real)
        self._write = write
        self._every_steps = every_steps
        self._count = samples
        self._seed = seed

    def begin(self) -> None:
        """Add the generator to the graph."""
        super().begin()
        self._batch = tf.compat.v1.placeholder(tf.int64, [])
        latents = latents_of_batch(self._seed, self._batch, self._noise_dims)
        inputs = latents
        if self._asked_for is not None:
            size = int(latents.shape[0])
            places = tf.range(size) + tf.cast(self._batch, tf.int32) * size
            # What the last batch draws beyond N is cut off, whatever its class.
            labels = tf.gather(self._asked_for, places % self._count)
            inputs = {"latents": latents, "labels": labels}
        self._samples = add_samples(self._generator, inputs)

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Draw and judge samples at every ``every_steps``-th step."""
        step = int(outcome.step)
        if step % self._every_steps:
            return
        drawn: list[Any] = []
        while sum(map(len, drawn)) < self._count:
            drawn.append(session.run(self._samples, {self._batch: len(drawn)}))
        samples = np.concatenate(drawn)[: self._count]
        figures = small_figures(self._classifier.outputs(samples), self._real, self._asked_for)
        for name, value in figures.items():
            self._write(f"{PREFIX}{name}", value, step)

    def end(self, session: tf.compat.v1.Session) -> None:
        """Free the classifier."""
        del session
        self._classifier.close()


def evaluate_small(
    generator: Callable[..., Any],
    noise_dims: int,
    record_dir: str | Path,
    classifier_dir: str | Path,
    write: Callable[[str, float, int], None],
    every_steps: int,
    samples: int = SMALL_SAMPLES,
    seed: int = 0,
    split: str = "eval",
    classes: int = 0,
) -> SmallEvaluationHook:
    """Make the hook that evaluates a GAN during training; it must come before ``ExactSaverHook``.

    The values are named ``small_frechet_distance`` and so on: they are for watching one training,
    not for comparison with figures at N = 10,000. They are computed against the eval split, so that
    the test split stays unseen until the end.

    Args:
        generator: The generator network, ``generator(latents, mode=...)``.
        noise_dims: Length of a latent vector.
        record_dir: The data set.
        classifier_dir: Folder of a classifier for such images.
        write: Called as ``write(name, value, step)``.
        every_steps: Steps between two evaluations.
        samples: N, at least ``FEWEST_SAMPLES``; as many real images are drawn from the split, the
            same ones in every training.
        seed: Root seed of the latents.
        split: Split of the real images.
        classes: Number of classes from which the generator gets labels in turn; 0 for none.

    Raises:
        ConfigError: N or ``every_steps`` is too small, or the classifier takes other images.
        DataError: One of the folders is missing or damaged.
    """
    need_samples(samples)
    need_count("every_steps", every_steps)
    classifier = Classifier.load(classifier_dir)
    classifier.check_images(image_shape(record_dir), str(record_dir))
    note_other_data(classifier, classifier_dir, record_dir)
    real = split_outputs(classifier, record_dir, split, limit=samples)
    if len(real.features) < FEWEST_SAMPLES:
        raise ConfigError(
            f"The {split} split of {record_dir} has {len(real.features)} images; an evaluation "
            f"needs at least {FEWEST_SAMPLES}."
        )
    basis = {
        "samples": samples,
        "references": len(real.features),
        "split": split,
        "layers": {
            f"{PREFIX}{name}": FIGURES[name].layer
            for name in figure_names(bool(classes), small=True)
        },
        "classifier": classifier.digest,
    }
    return SmallEvaluationHook(
        generator, noise_dims, classifier, real, write, every_steps, samples, seed, classes, basis
    )
