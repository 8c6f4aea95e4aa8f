"""The figures of a set of images, as a classifier sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.input_fn import split_batches
from reproducible_ml.models.evaluation.classifier import FEATURES, LAYER, Classifier, Outputs
from reproducible_ml.models.evaluation.formulas import (
    TUTORIAL_BATCH,
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
    memorized_share,
    nearest_neighbours,
    precision_recall,
)
from reproducible_ml.utils.errors import ConfigError

# A covariance of 128 features has full rank from 129 vectors on.
FEWEST_SAMPLES = max(FEATURES, TUTORIAL_BATCH, NEIGHBOURS) + 1
SAMPLES = 10_000
_LOGITS = "logits"
# Only of a GAN that is told classes.
_LABELLED = "label_agreement"
# What each figure compares, in the order in which they are shown.
LAYERS = {
    "classifier_score": _LOGITS,
    "frechet_distance": LAYER,
    "kernel_distance": LAYER,
    "precision": LAYER,
    "recall": LAYER,
    _LABELLED: _LOGITS,
    "nearest_training_distance": LAYER,
    "memorized_share": LAYER,
    f"classifier_score_batches_of_{TUTORIAL_BATCH}": _LOGITS,
    f"frechet_distance_batches_of_{TUTORIAL_BATCH}": _LOGITS,
}
_TRAINING_FIGURES = ("nearest_training_distance", "memorized_share")


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
    distances = judged.neighbours.distances
    return {
        **small_figures(judged.outputs, real, labels),
        "nearest_training_distance": float(np.median(distances)),
        "memorized_share": memorized_share(distances, judged.test_distances),
        **_batchwise(judged.outputs, real),
    }


def small_names(labelled: bool) -> list[str]:
    """Name the figures that need no training images.

    Args:
        labelled: Whether the GAN is told classes.
    """
    names = [name for name in LAYERS if name not in _TRAINING_FIGURES and "_batches_" not in name]
    return [name for name in names if labelled or name != _LABELLED]


def small_figures(judged: Outputs, real: Outputs, labels: Any | None = None) -> dict[str, float]:
    """Compute the figures that need no training images.

    Args:
        judged: What is judged.
        real: Real images.
        labels: The class that each of what is judged should show, or None.

    Returns:
        Name -> value.
    """
    found = precision_recall(real.features, judged.features)
    moments = [MeanCovariance(FEATURES).update(one.features) for one in (judged, real)]
    agreed = {} if labels is None else {_LABELLED: label_agreement(judged.logits, labels)}
    return {
        "classifier_score": ClassifierScore(judged.logits.shape[1]).update(judged.logits).value,
        "frechet_distance": frechet_distance(*moments),
        "kernel_distance": kernel_distance(judged.features, real.features),
        "precision": found.precision,
        "recall": found.recall,
        **agreed,
    }


def references(name: str, test: int, train: int) -> int:
    """Return how many real images a figure compares with, of the numbers that there are."""
    if name in _TRAINING_FIGURES:
        return train
    return 0 if name.startswith(("classifier_score", _LABELLED)) else test


def _batchwise(judged: Outputs, real: Outputs) -> dict[str, float]:
    found = batchwise_figures(judged.logits, real.logits)
    return {
        f"classifier_score_batches_of_{TUTORIAL_BATCH}": found.classifier_score,
        f"frechet_distance_batches_of_{TUTORIAL_BATCH}": found.frechet_distance,
    }
