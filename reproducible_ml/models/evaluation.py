"""Judge a trained GAN: draw samples, see them through a classifier, compare with the test split.

What is judged are N samples, and as the floor N training images: those of one half of the train
split. Real images judged as if they were samples show how good a figure gets at this N. Both are
compared with the whole test split, and with training images for copies: the samples with all of
them, the floor with those of the other half.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.models.classifier import Classifier, Outputs, split_batches
from reproducible_ml.models.figures import (
    FEWEST_SAMPLES,
    LAYERS,
    SAMPLES,
    Figure,
    figures_of,
    judge,
    need_samples,
    references,
    small_figures,
    split_outputs,
)
from reproducible_ml.models.fused_step import StepOutcome
from reproducible_ml.models.hooks import StepHook
from reproducible_ml.models.neighbours import Neighbours
from reproducible_ml.models.sampling import TrainedGAN, image_shape, latents_of_batch
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.images import save_grid

SMALL_SAMPLES = 250
_PAIRS = 16
_PAIRS_A_ROW = 4


@dataclass(frozen=True)
class Evaluation:
    """What judging a GAN gave.

    Attributes:
        step: The GAN's global step.
        figures: All figures.
        digests: Digests of ``generator`` (weights), ``classifier``, ``samples`` (pixels) and
            ``figures``, and of all, ``run``.
        grid: PNG of samples, each with its nearest training image to its right.
    """

    step: int
    figures: tuple[Figure, ...]
    digests: dict[str, str]
    grid: str


def evaluate_gan(
    record_dir: str | Path,
    model_dir: str | Path,
    classifier_dir: str | Path,
    evaluation_dir: str | Path,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Judge a trained GAN against the test split.

    ``evaluation_dir`` then holds ``figures.json`` and ``neighbours.png``.

    Args:
        record_dir: The data set that it was trained on.
        model_dir: Folder of its checkpoints.
        classifier_dir: Folder of a classifier of such images.
        evaluation_dir: Folder to write; made when missing.
        samples: N, at least ``FEWEST_SAMPLES``.
        seed: Root seed of the latents.

    Raises:
        ConfigError: N is too small, or GAN, classifier and data do not fit together.
        DataError: One of the folders is missing or damaged.
    """
    need_samples(samples)
    shape = image_shape(record_dir)
    gan = TrainedGAN(model_dir, record_dir)
    classifier = Classifier.load(classifier_dir)
    classifier.check_images(shape, str(record_dir))

    test = split_outputs(classifier, record_dir, "test")
    train = split_outputs(classifier, record_dir, "train")
    if len(test.features) < FEWEST_SAMPLES or len(train.features) < 2 * FEWEST_SAMPLES:
        raise ConfigError(
            f"{record_dir} has {len(train.features)} training and {len(test.features)} test "
            f"images; judging takes {2 * FEWEST_SAMPLES} and {FEWEST_SAMPLES} at least."
        )
    half, other_half = _halves(len(train.features))
    floor_rows = half[np.arange(min(samples, len(half))) * len(half) // min(samples, len(half))]

    drawn = gan.draw(samples, seed)
    judged = judge(classifier.outputs(drawn), test, train.features)
    floor = judge(
        Outputs(train.features[floor_rows], train.logits[floor_rows]),
        test,
        train.features[other_half],
    )
    classifier.close()
    values, floors = figures_of(judged, test), figures_of(floor, test)
    figures = tuple(
        Figure(
            name=name,
            value=values[name],
            samples=samples,
            floor=floors[name],
            floor_samples=len(floor_rows),
            references=references(name, len(test.features), len(train.features)),
            layer=LAYERS[name],
            classifier=classifier.digest,
        )
        for name in values
    )
    digests = {
        "generator": gan.digest,
        "classifier": classifier.digest,
        "samples": array_digest(drawn),
        "figures": combined_digest(
            {one.name: f"{one.value.hex()} {one.floor.hex()}" for one in figures}
        ),
    }
    digests["run"] = combined_digest(digests)
    folder = Path(evaluation_dir)
    grid = _neighbour_grid(drawn, judged.neighbours, record_dir, folder / "neighbours.png")
    result = Evaluation(gan.step, figures, digests, str(grid))
    (folder / "figures.json").write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    return result


class SmallEvaluationHook(StepHook):
    """Logs the figures that need no training images every so many steps, at a small N.

    The generator is added once more to the training graph, as it is when it predicts; the
    classifier runs in a graph of its own. Nothing is written to the training's state, so training
    gives the same bits with and without the hook.

    Args:
        generator: The generator network, ``generator(latents, mode=...)``.
        noise_dims: Length of a latent vector.
        classifier: What sees the samples.
        real: Real images as the classifier sees them.
        write: Called as ``write(name, value, step)``.
        every_steps: Steps between two evaluations.
        samples: N.
        seed: Root seed of the latents, which are the same each time.
        classes: Number of classes that the generator is told, in turn; 0 for none.
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
    ) -> None:
        self._classes = classes
        self._generator = generator
        self._noise_dims = noise_dims
        self._classifier = classifier
        self._real = real
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
        if self._classes:
            inputs = {"latents": latents, "labels": tf.range(latents.shape[0]) % self._classes}
        with tf.compat.v1.variable_scope("Generator", reuse=True):
            self._samples = self._generator(inputs, mode=tf.estimator.ModeKeys.PREDICT)

    def after_step(self, outcome: StepOutcome, session: tf.compat.v1.Session) -> None:
        """Draw and judge when it is time."""
        step = int(outcome.step)
        if step % self._every_steps:
            return
        drawn: list[Any] = []
        while sum(map(len, drawn)) < self._count:
            drawn.append(session.run(self._samples, {self._batch: len(drawn)}))
        samples = np.concatenate(drawn)[: self._count]
        figures = small_figures(self._classifier.outputs(samples), self._real)
        for name, value in figures.items():
            self._write(f"small_{name}", value, step)

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
    """Make the hook that judges a GAN while it trains; put it before ``ExactSaverHook``.

    The values are named ``small_frechet_distance`` and so on: they are for watching one training,
    not for comparing with figures at N = 10,000. They are taken against the eval split, so that
    the test split stays unseen until the end.

    Args:
        generator: The generator network, ``generator(latents, mode=...)``.
        noise_dims: Length of a latent vector.
        record_dir: The data set.
        classifier_dir: Folder of a classifier of such images.
        write: Called as ``write(name, value, step)``.
        every_steps: Steps between two evaluations.
        samples: N, at least ``FEWEST_SAMPLES``; as many real images are taken.
        seed: Root seed of the latents.
        split: Split of the real images.
        classes: Number of classes that the generator is told, in turn; 0 for none.

    Raises:
        ConfigError: N or ``every_steps`` is too small, or the classifier takes other images.
        DataError: One of the folders is missing or damaged.
    """
    need_samples(samples)
    if every_steps < 1:
        raise ConfigError(f"every_steps must be 1 or more, found {every_steps}.")
    classifier = Classifier.load(classifier_dir)
    classifier.check_images(image_shape(record_dir), str(record_dir))
    real = split_outputs(classifier, record_dir, split, limit=samples)
    if len(real.features) < FEWEST_SAMPLES:
        raise ConfigError(
            f"The {split} split of {record_dir} has {len(real.features)} images; judging takes "
            f"{FEWEST_SAMPLES} at least."
        )
    return SmallEvaluationHook(
        generator, noise_dims, classifier, real, write, every_steps, samples, seed, classes
    )


def _halves(count: int) -> tuple[Any, Any]:
    """Return two halves of the rows, alternating: sorted data are then in both."""
    return np.arange(0, count, 2), np.arange(1, count, 2)


def _neighbour_grid(drawn: Any, neighbours: Neighbours, record_dir: str | Path, path: Path) -> Path:
    """Write pairs (sample, nearest training image): first those nearest to any, then the first."""
    nearest = np.argsort(neighbours.distances, kind="stable")[:_PAIRS]
    shown = np.concatenate([nearest, np.arange(_PAIRS)])
    wanted = neighbours.indices[shown]
    found: dict[int, Any] = {}
    start = 0
    for images, _ in split_batches(record_dir, "train"):
        for row in set(wanted.tolist()) & set(range(start, start + len(images))):
            found[row] = images[row - start]
        start += len(images)
    pairs = [tile for row, index in zip(shown, wanted) for tile in (drawn[row], found[int(index)])]
    return save_grid(np.stack(pairs), path, columns=2 * _PAIRS_A_ROW)
