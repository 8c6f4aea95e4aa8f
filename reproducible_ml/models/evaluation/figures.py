"""Figures of a set of images, computed from a classifier's outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.models.evaluation.classifier import FEATURES, LAYER, Outputs
from reproducible_ml.models.evaluation.formulas import (
    TUTORIAL_BATCH,
    BatchwiseFigures,
    ClassifierScore,
    MeanCovariance,
    batchwise_figures,
    frechet_distance,
    kernel_distance,
    kernel_mean,
    label_agreement,
)
from reproducible_ml.models.evaluation.neighbours import (
    NEIGHBOURS,
    Neighbours,
    PrecisionRecall,
    memorized_share,
    nearest_neighbours,
    precision_recall,
    squared_radii,
)
from reproducible_ml.models.evaluation.vectors import Array
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.seeds import child_seed

# A covariance of 128 features has full rank from 129 vectors on.
FEWEST_SAMPLES = max(FEATURES, TUTORIAL_BATCH, NEIGHBOURS) + 1
SAMPLES = 10_000
_LOGITS = "logits"
# Real images with which a figure compares.
TEST, TRAIN, NOTHING = "test", "train", ""


@dataclass(frozen=True)
class Figure:
    """One value and what it is based on.

    Attributes:
        name: Name of the figure, such as ``frechet_distance``.
        value: Value for the samples.
        samples: N, the number of samples.
        floor: Value for training images, drawn at random, instead of samples.
        floor_samples: Number of these training images; N, unless there are fewer.
        references: Number of real images with which the samples are compared; 0 for none.
        floor_references: The same for the floor: one less if these are the training images, since
            each of them is compared with all others.
        layer: Layer of the classifier that is compared, ``features`` or ``logits``.
        classifier: Digest of the classifier's weights.
        against: Split of the references, ``test`` or ``train``; empty for none.
        seed: Root seed of the samples' latents and of the draw of the floor's images.
    """

    name: str
    value: float
    samples: int
    floor: float
    floor_samples: int
    references: int
    floor_references: int
    layer: str
    classifier: str
    against: str
    seed: int


class RealOutputs(Outputs):
    """Outputs for real images, with what only they enter: it is computed once for all figures."""

    @classmethod
    def of(cls, outputs: Outputs) -> RealOutputs:
        """Return the same outputs; themselves if they are of this kind."""
        return outputs if isinstance(outputs, cls) else cls(*outputs)

    @cached_property
    def kernel_mean(self) -> float:
        """The mean of the kernel over all pairs of them."""
        return kernel_mean(self.features)

    @cached_property
    def squared_radii(self) -> Array:
        """Radii of the balls that are their manifold."""
        return squared_radii(self.features)


class Judged(NamedTuple):
    """The classifier's outputs for images, and their distances to training images.

    Attributes:
        outputs: Features and logits.
        neighbours: The nearest training image of each image.
        test_distances: Distances of the test split's images to the same training images.
    """

    outputs: Outputs
    neighbours: Neighbours
    test_distances: np.ndarray[Any, np.dtype[np.float64]]


def judge(outputs: Outputs, test: Outputs, training: Any) -> Judged:
    """Find the nearest training images of the judged images and of the test split.

    Args:
        outputs: Outputs for the judged images.
        test: Outputs for the test split.
        training: Features of the training images, [n, dims].
    """
    return Judged(
        outputs,
        nearest_neighbours(outputs.features, training),
        nearest_neighbours(test.features, training).distances,
    )


def need_samples(samples: int) -> None:
    """Refuse an N that is too small for the figures.

    Raises:
        ConfigError: N is too small.
    """
    if samples < FEWEST_SAMPLES:
        raise ConfigError(
            f"samples={samples} is too small: the covariance of {FEATURES} features "
            f"needs at least {FEWEST_SAMPLES}. Figures are usually compared at {SAMPLES:,}."
        )


def figures_of(judged: Judged, real: Outputs, labels: Any | None = None) -> dict[str, float]:
    """Compute all figures.

    Args:
        judged: The judged images.
        real: Outputs for the test split; ``RealOutputs`` if several sets are compared with them.
        labels: The class that each judged image should show, or None.

    Returns:
        Name -> value, in the order of the table.
    """
    seen = _Seen(judged.outputs, RealOutputs.of(real), labels, judged)
    return {name: FIGURES[name].compute(seen) for name in figure_names(labels is not None)}


def small_figures(judged: Outputs, real: Outputs, labels: Any | None = None) -> dict[str, float]:
    """Compute the figures that are useful with few samples and need no training images.

    Args:
        judged: Outputs for the judged images.
        real: Outputs for real images; ``RealOutputs`` if several sets are compared with them.
        labels: The class that each judged image should show, or None.

    Returns:
        Name -> value.
    """
    seen = _Seen(judged, RealOutputs.of(real), labels)
    names = figure_names(labels is not None, small=True)
    return {name: FIGURES[name].compute(seen) for name in names}


def figure_names(labelled: bool, small: bool = False) -> list[str]:
    """Return the names of the figures of a GAN.

    Args:
        labelled: Whether the GAN is conditional.
        small: Only return figures that are useful with few samples and need no training images.
    """
    return [
        name
        for name, one in FIGURES.items()
        if (labelled or not one.labelled) and (one.small or not small)
    ]


def references(name: str, test: int, train: int) -> int:
    """Return with how many real images a figure compares, given the sizes of the splits."""
    return {TEST: test, TRAIN: train, NOTHING: 0}[FIGURES[name].against]


@dataclass
class _Seen:
    """Inputs of the figures; intermediate results that several figures share are cached.

    Attributes:
        outputs: Outputs for the judged images.
        real: Outputs for real images.
        labels: The class that each judged image should show, or None.
        judged: The judged images with their distances to training images; None for small figures.
    """

    outputs: Outputs
    real: RealOutputs
    labels: Any | None
    judged: Judged | None = None

    @cached_property
    def overlap(self) -> PrecisionRecall:
        real = self.real
        return precision_recall(real.features, self.outputs.features, real_radii=real.squared_radii)

    @cached_property
    def batchwise(self) -> BatchwiseFigures:
        # A batch in written order may hold a single class, and conditional samples have each class
        # in turn. So both are shuffled, differently, or else batches could match in their classes.
        draw = np.random.RandomState(child_seed(0, "rows"))
        logits, real = (draw.permutation(one.logits) for one in (self.outputs, self.real))
        return batchwise_figures(logits, real)

    @property
    def distances(self) -> Any:
        assert self.judged is not None
        return self.judged.neighbours.distances

    @property
    def test_distances(self) -> Any:
        assert self.judged is not None
        return self.judged.test_distances


def _score(seen: _Seen) -> float:
    logits = seen.outputs.logits
    return ClassifierScore(logits.shape[1]).update(logits).value


def _frechet(seen: _Seen) -> float:
    moments = [MeanCovariance(FEATURES).update(one.features) for one in (seen.outputs, seen.real)]
    return frechet_distance(*moments)


@dataclass(frozen=True)
class FigureKind:
    """How a figure is computed, and what its value is based on.

    Attributes:
        compute: Function from the classifier's outputs to the value.
        layer: Layer of the classifier that is compared, ``features`` or ``logits``.
        against: Real images with which it compares.
        small: Whether it is useful with few samples and needs no training images.
        labelled: Whether it is for conditional GANs only.
    """

    compute: Callable[[_Seen], float]
    layer: str
    against: str = NOTHING
    small: bool = False
    labelled: bool = False


# In the order of tables.
FIGURES: dict[str, FigureKind] = {
    "classifier_score": FigureKind(_score, _LOGITS, small=True),
    "frechet_distance": FigureKind(_frechet, LAYER, TEST, small=True),
    "kernel_distance": FigureKind(
        lambda seen: kernel_distance(
            seen.outputs.features, seen.real.features, second_mean=seen.real.kernel_mean
        ),
        LAYER,
        TEST,
        small=True,
    ),
    "precision": FigureKind(lambda seen: seen.overlap.precision, LAYER, TEST, small=True),
    "recall": FigureKind(lambda seen: seen.overlap.recall, LAYER, TEST, small=True),
    "label_agreement": FigureKind(
        lambda seen: label_agreement(seen.outputs.logits, seen.labels),
        _LOGITS,
        small=True,
        labelled=True,
    ),
    "nearest_training_distance": FigureKind(
        lambda seen: float(np.median(seen.distances)), LAYER, TRAIN
    ),
    "memorized_share": FigureKind(
        lambda seen: memorized_share(seen.distances, seen.test_distances), LAYER, TRAIN
    ),
    f"classifier_score_batches_of_{TUTORIAL_BATCH}": FigureKind(
        lambda seen: seen.batchwise.classifier_score, _LOGITS
    ),
    f"frechet_distance_batches_of_{TUTORIAL_BATCH}": FigureKind(
        lambda seen: seen.batchwise.frechet_distance, _LOGITS, TEST
    ),
}
