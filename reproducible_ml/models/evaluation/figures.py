"""The figures of a set of images, as a classifier sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.input_fn import split_batches
from reproducible_ml.models.evaluation.classifier import FEATURES, LAYER, Classifier, Outputs
from reproducible_ml.models.evaluation.formulas import (
    TUTORIAL_BATCH,
    BatchwiseFigures,
    ClassifierScore,
    MeanCovariance,
    batchwise_figures,
    frechet_distance,
    kernel_distance,
    label_agreement,
)
from reproducible_ml.models.evaluation.neighbours import (
    NEIGHBOURS,
    Neighbours,
    PrecisionRecall,
    memorized_share,
    nearest_neighbours,
    precision_recall,
)
from reproducible_ml.utils.errors import ConfigError

# A covariance of 128 features has full rank from 129 vectors on.
FEWEST_SAMPLES = max(FEATURES, TUTORIAL_BATCH, NEIGHBOURS) + 1
SAMPLES = 10_000
_LOGITS = "logits"
# Which real images a figure compares with.
TEST, TRAIN, NOTHING = "test", "train", ""


@dataclass(frozen=True)
class Figure:
    """One value and what it rests on.

    Attributes:
        name: Such as ``frechet_distance``.
        value: Of the samples.
        samples: N, how many samples.
        floor: The same figure of real training images.
        floor_samples: How many of those.
        references: How many real images they are compared with; 0 for none.
        floor_references: With how many the floor's are: of the training images one half, as the
            other half is what is judged.
        layer: What of the classifier is compared: ``features`` or ``logits``.
        classifier: Digest of the classifier's weights.
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


class Judged(NamedTuple):
    """Images as the classifier sees them, and how near they are to training images.

    Attributes:
        outputs: Features and logits.
        neighbours: The nearest training image of each.
        test_distances: Distances of the test split's images to the same training images.
    """

    outputs: Outputs
    neighbours: Neighbours
    test_distances: np.ndarray[Any, np.dtype[np.float64]]


def judge(outputs: Outputs, test: Outputs, training: Any) -> Judged:
    """Find the nearest training images of what is judged, and of the test split.

    Args:
        outputs: What is judged.
        test: The test split.
        training: Features of the training images, [n, dims].
    """
    return Judged(
        outputs,
        nearest_neighbours(outputs.features, training),
        nearest_neighbours(test.features, training).distances,
    )


def need_samples(samples: int) -> None:
    """Refuse an N that the figures can't be computed with.

    Raises:
        ConfigError: It is too small.
    """
    if samples < FEWEST_SAMPLES:
        raise ConfigError(
            f"samples={samples} is too small: the covariance of {FEATURES} features "
            f"takes {FEWEST_SAMPLES} at least. {SAMPLES:,} is what figures are compared at."
        )


def split_outputs(
    classifier: Classifier, record_dir: str | Path, split: str, limit: int | None = None
) -> Outputs:
    """See a split's images through the classifier, in their written order.

    Args:
        classifier: What sees them.
        record_dir: The data set.
        split: Its split.
        limit: Take the first so many images only; None takes all.
    """
    found: list[Outputs] = []
    count = 0
    for images, _ in split_batches(record_dir, split):
        found.append(classifier.outputs(images))
        count += len(images)
        if limit is not None and count >= limit:
            break
    parts = zip(*found)
    return Outputs(*(np.concatenate(part)[:limit] for part in parts))


def split_labels(
    record_dir: str | Path, split: str, label_key: str
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return a split's labels, in their written order."""
    return np.concatenate([labels for _, labels in split_batches(record_dir, split, label_key)])


def figures_of(judged: Judged, real: Outputs, labels: Any | None = None) -> dict[str, float]:
    """Compute all figures.

    Args:
        judged: What is judged.
        real: The test split.
        labels: The class that each of what is judged should show, or None.

    Returns:
        Name -> value, in the order of the table.
    """
    seen = _Seen(judged.outputs, real, labels, judged)
    return {name: FIGURES[name].compute(seen) for name in figure_names(labels is not None)}


def small_figures(judged: Outputs, real: Outputs, labels: Any | None = None) -> dict[str, float]:
    """Compute the figures that make sense of few samples and need no training images.

    Args:
        judged: What is judged.
        real: Real images.
        labels: The class that each of what is judged should show, or None.

    Returns:
        Name -> value.
    """
    seen = _Seen(judged, real, labels)
    names = figure_names(labels is not None, small=True)
    return {name: FIGURES[name].compute(seen) for name in names}


def figure_names(labelled: bool, small: bool = False) -> list[str]:
    """Name the figures of a GAN.

    Args:
        labelled: Whether the GAN is told classes.
        small: Only those that make sense of few samples and need no training images.
    """
    return [
        name
        for name, one in FIGURES.items()
        if (labelled or not one.labelled) and (one.small or not small)
    ]


def references(name: str, test: int, train: int) -> int:
    """Return how many real images a figure compares with, of the numbers that there are."""
    return {TEST: test, TRAIN: train, NOTHING: 0}[FIGURES[name].against]


@dataclass
class _Seen:
    """What figures are computed from; what several of them need is computed once.

    Attributes:
        outputs: What is judged.
        real: Real images.
        labels: The class that each of what is judged should show, or None.
        judged: What is judged, with its distances to training images; None for small figures.
    """

    outputs: Outputs
    real: Outputs
    labels: Any | None
    judged: Judged | None = None

    @cached_property
    def overlap(self) -> PrecisionRecall:
        return precision_recall(self.real.features, self.outputs.features)

    @cached_property
    def batchwise(self) -> BatchwiseFigures:
        return batchwise_figures(self.outputs.logits, self.real.logits)

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
    """How a figure is computed, and what its value rests on.

    Attributes:
        compute: From what the classifier sees to the value.
        layer: What of the classifier is compared, ``features`` or ``logits``.
        against: Which real images it is compared with.
        small: Whether it makes sense of few samples, and without training images.
        labelled: Whether it is only of a GAN that is told classes.
    """

    compute: Callable[[_Seen], float]
    layer: str
    against: str = NOTHING
    small: bool = False
    labelled: bool = False


# In the order in which they are shown.
FIGURES: dict[str, FigureKind] = {
    "classifier_score": FigureKind(_score, _LOGITS, small=True),
    "frechet_distance": FigureKind(_frechet, LAYER, TEST, small=True),
    "kernel_distance": FigureKind(
        lambda seen: kernel_distance(seen.outputs.features, seen.real.features),
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
