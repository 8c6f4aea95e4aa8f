"""Labels of class-conditional GANs: how many classes there are, and a grid with a row for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.utils.errors import ConfigError, DataError

# A grid shows this many samples of a class, of the first classes.
GRID_COLUMNS = 8
_MOST_ROWS = 16


def count_classes(record_dir: str | Path, gan_type: str, label_key: str) -> int:
    """Count the classes in the train split.

    Args:
        record_dir: A serialized data set.
        gan_type: Who asks, for the error.
        label_key: Feature that holds the label.

    Returns:
        The largest label plus 1.

    Raises:
        DataError: The data set has no such feature, or its labels are not classes 0, 1 and so on.
    """
    features = read_manifest(record_dir).features
    if label_key not in features:
        raise DataError(
            f"gan_type {gan_type!r} learns from labels, but {record_dir} has no feature "
            f"{label_key!r}; its features are {', '.join(sorted(features))}. Serialize the labels "
            "too (LabelHandler), set label_key, or choose a gan_type without labels."
        )
    from reproducible_ml.models.classifier import split_batches

    lowest, highest = 0, -1
    for _, labels in split_batches(record_dir, "train", label_key):
        lowest, highest = min(lowest, int(labels.min())), max(highest, int(labels.max()))
    if lowest < 0 or highest < 1:
        raise DataError(
            f"{record_dir}: the labels of feature {label_key!r} reach from {lowest} to {highest}; "
            f"gan_type {gan_type!r} takes classes 0, 1 and so on, two at least."
        )
    return highest + 1


def check_labels(labels: Any, count: int, classes: int) -> np.ndarray[Any, Any] | None:
    """Refuse labels that a generator would take for something else, or for none at all.

    Args:
        labels: The class of each sample, or None.
        count: Number of samples.
        classes: Number of classes that the GAN was told, 0 for one without labels.

    Returns:
        int32 array [count]; None for a GAN without labels.

    Raises:
        ConfigError: The labels are not ``count`` classes, or there are some where there may be
            none, or the other way round.
    """
    if not classes:
        if labels is not None:
            raise ConfigError(
                "This GAN draws no chosen class, and labels are given. Leave them out, or train a "
                "conditional gan_type: cgan or acgan."
            )
        return None
    if labels is None:
        raise ConfigError(
            f"This GAN draws a chosen class, and no labels are given: pass {count} integers from 0 "
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


def class_rows(latents: np.ndarray[Any, Any], classes: int) -> dict[str, Any]:
    """Make the inputs of a grid with one row a class and the same latents in every row.

    Args:
        latents: float32 array [columns, dims].
        classes: Number of classes; the first 16 are shown.

    Returns:
        ``latents`` [rows * columns, dims] and ``labels`` [rows * columns], row by row.
    """
    rows = min(classes, _MOST_ROWS)
    return {
        "latents": np.tile(latents, (rows, 1)),
        "labels": np.repeat(np.arange(rows, dtype=np.int32), len(latents)),
    }
