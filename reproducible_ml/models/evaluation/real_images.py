"""Real images in an evaluation: a classifier's outputs for them, rows drawn at random, the floor.

Wherever a part of some rows stands for all of them, the part is drawn. Data is written sorted by
class, by author or by day, or with every original followed by its mirror image, so the first rows,
or every second one, need not be like the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn import split_batches
from reproducible_ml.models.evaluation.classifier import Classifier, Outputs
from reproducible_ml.models.evaluation.figures import Judged
from reproducible_ml.models.evaluation.neighbours import nearest_neighbours
from reproducible_ml.utils.seeds import drawn_rows


def classes_in_turn(count: int, classes: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return the class that each sample of a conditional GAN should show.

    Args:
        count: Number of samples.
        classes: Number of classes; if there are more than samples, those to show are drawn.

    Returns:
        int32 array [count].
    """
    if classes > count:
        return drawn_rows(classes, count, 0).astype(np.int32)
    return (np.arange(count) % classes).astype(np.int32)


def split_outputs(
    classifier: Classifier,
    record_dir: str | Path,
    split: str,
    limit: int | None = None,
    seed: int = 0,
) -> Outputs:
    """Compute the classifier's outputs for a split's images, in their written order.

    Args:
        classifier: The classifier.
        record_dir: The data set.
        split: Name of the split.
        limit: Number of images to draw from the split; None for all.
        seed: Root seed of the draw.

    Raises:
        ConfigError: The data set has no such split.
        DataError: It is missing or damaged.
    """
    splits = read_manifest(record_dir).splits
    # A split that is not there is refused where it is read.
    records = splits[split].records if split in splits else 0
    rows = drawn_rows(records, records if limit is None else limit, seed)
    found: list[Outputs] = []
    start = 0
    for images, _ in split_batches(record_dir, split):
        stop = start + len(images)
        wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
        if len(wanted):
            found.append(classifier.outputs(images[wanted - start]))
        start = stop
    return Outputs(*(np.concatenate(part) for part in zip(*found)))


def split_labels(
    record_dir: str | Path, split: str, label_key: str
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return a split's labels, in their written order."""
    return np.concatenate([labels for _, labels in split_batches(record_dir, split, label_key)])


def judge_floor(train: Outputs, rows: Any, test_distances: Any) -> Judged:
    """Judge training images as if they were samples.

    Each is compared with the same training images as a sample is, except for itself.

    Args:
        train: Outputs for the train split.
        rows: int64 array [n], the images to judge, from ``utils.seeds.drawn_rows``.
        test_distances: Distances of the test split's images to their nearest training images.
    """
    outputs = Outputs(train.features[rows], train.logits[rows])
    nearest = nearest_neighbours(outputs.features, train.features, left_out=rows)
    return Judged(outputs, nearest, np.asarray(test_distances, np.float64))
