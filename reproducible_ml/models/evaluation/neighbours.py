"""Figures from nearest neighbours: precision, recall, and the nearest training images.

They are computed with NumPy in float64 from all pairs, block by block to bound memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.models.evaluation.vectors import (
    Array,
    blocks,
    checked_vectors,
    column_slices,
    need_rows,
    row_slices,
)

# Kynkaanniemi et al., section 3.1: "k = 3" is their choice for all experiments.
NEIGHBOURS = 3
# Samples count as copies if they are as near to a training image as 1% of the test images.
MEMORIZED_QUANTILE = 0.01


class PrecisionRecall(NamedTuple):
    """Shares of each distribution within the other's manifold.

    Attributes:
        precision: Share of the samples within the manifold of the real images.
        recall: Share of the real images within the manifold of the samples.
    """

    precision: float
    recall: float


def squared_radii(points: Any, neighbours: int = NEIGHBOURS) -> Array:
    """Return each point's squared distance to its k-th nearest other point.

    Args:
        points: [n, dims], n above ``neighbours``.
        neighbours: k.
    """
    x = checked_vectors(points)
    need_rows(neighbours + 1, x)
    return _squared_radii(x, neighbours)


def precision_recall(
    real: Any, generated: Any, neighbours: int = NEIGHBOURS, real_radii: Array | None = None
) -> PrecisionRecall:
    """Compute improved precision and recall.

    A manifold is the union of balls around its points, each with the distance to the point's k-th
    nearest neighbour in the same set as radius. Source: Kynkaanniemi et al., "Improved Precision
    and Recall Metric for Assessing Generative Models", 2019, arXiv:1904.06991, equations 1 and 2.

    Args:
        real: [n, dims], n above ``neighbours``.
        generated: [m, dims], m above ``neighbours``.
        neighbours: k.
        real_radii: ``squared_radii(real, neighbours)`` if they are known already.
    """
    x = checked_vectors(real)
    y = checked_vectors(generated, x.shape[1])
    need_rows(neighbours + 1, x, y)
    radii = _squared_radii(x, neighbours) if real_radii is None else real_radii
    return PrecisionRecall(
        _share_within(y, x, radii), _share_within(x, y, _squared_radii(y, neighbours))
    )


class Neighbours(NamedTuple):
    """The nearest reference of each query.

    Attributes:
        indices: int64 array [n], indices of the references.
        distances: float64 array [n], Euclidean distances.
    """

    indices: np.ndarray[Any, np.dtype[np.int64]]
    distances: Array


def nearest_neighbours(queries: Any, references: Any, left_out: Any | None = None) -> Neighbours:
    """Find the nearest reference of each query; for ties, usually the first.

    Args:
        queries: [n, dims].
        references: [m, dims], m at least 1, or 2 with ``left_out``.
        left_out: Integers [n]: a reference that is not compared with the query at the same place,
            such as the query itself. None for none.
    """
    x = checked_vectors(queries)
    y = checked_vectors(references, x.shape[1])
    need_rows(1 if left_out is None else 2, y)
    indices = np.zeros(len(x), np.int64)
    best = np.full(len(x), np.inf)
    for rows, columns in blocks(len(x), len(y)):
        squared = _squared_distances(x[rows], y[columns])
        if left_out is not None:
            place = np.asarray(left_out)[rows] - columns.start
            inside = np.flatnonzero((place >= 0) & (place < squared.shape[1]))
            squared[inside, place[inside]] = np.inf
        nearest = squared.argmin(axis=1)
        found = squared[np.arange(len(nearest)), nearest]
        nearer = found < best[rows]
        indices[rows] = np.where(nearer, nearest + columns.start, indices[rows])
        best[rows] = np.where(nearer, found, best[rows])
    # Computed again without the cancellation of the expanded square, so that a copy has distance 0.
    distances = np.concatenate(
        [np.linalg.norm(x[rows] - y[indices[rows]], axis=1) for rows in row_slices(len(x))]
        or [np.zeros(0)]
    )
    return Neighbours(indices, distances)


def memorized_share(
    sample_distances: Any, test_distances: Any, quantile: float = MEMORIZED_QUANTILE
) -> float:
    """Compute the share of samples that are nearer to the training set than real images are.

    A sample counts if the distance to its nearest training image is below the given quantile of
    that distance among the test set's images. So samples that are not copies give about
    ``quantile``, and a larger share indicates copies. Comparing with the test set's distances is
    the idea of Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in
    Generative Models", AISTATS 2020, arXiv:2004.05675; the share below a quantile is this project's
    own measure.

    Args:
        sample_distances: [n], from ``nearest_neighbours(samples, training)``.
        test_distances: [m], from ``nearest_neighbours(test, training)``.
        quantile: Between 0 and 1.
    """
    samples, test = np.asarray(sample_distances, float), np.asarray(test_distances, float)
    need_rows(1, samples, test)
    return float((samples < np.quantile(test, quantile)).mean())


def _squared_distances(x: Array, y: Array) -> Array:
    """Return |x_i - y_j|^2 [n, m], as |x|^2 + |y|^2 - 2 x.y clipped at 0."""
    # A matrix product is fastest: SciPy's cdist takes 4 to 8 times as long, its k-d tree 11 times.
    squared = x @ y.T
    squared *= -2.0
    squared += np.einsum("ij,ij->i", x, x)[:, None]
    squared += np.einsum("ij,ij->i", y, y)[None, :]
    return np.maximum(squared, 0.0, out=squared)


def _squared_radii(points: Array, neighbours: int) -> Array:
    radii = np.empty(len(points))
    for rows in row_slices(len(points)):
        kept = np.empty((rows.stop - rows.start, 0))
        for columns in column_slices(len(points)):
            squared = _squared_distances(points[rows], points[columns])
            own = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
            squared[own - rows.start, own - columns.start] = np.inf
            nearest = min(neighbours, squared.shape[1])
            nearest_here = np.partition(squared, nearest - 1, axis=1)[:, :nearest]
            kept = np.sort(np.concatenate([kept, nearest_here], axis=1), axis=1)[:, :neighbours]
        radii[rows] = kept[:, neighbours - 1]
    return radii


def _share_within(queries: Array, points: Array, radii: Array) -> float:
    """Return the share of queries that lie in at least one ball of the points."""
    within = np.zeros(len(queries), bool)
    for rows, columns in blocks(len(queries), len(points)):
        squared = _squared_distances(queries[rows], points[columns])
        within[rows] |= (squared <= radii[columns]).any(axis=1)
    return float(within.mean())
