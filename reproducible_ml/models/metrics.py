"""Figures that judge samples by a classifier's outputs: formulas in NumPy, float64, bounded memory.

Every figure is computed over all N samples at once: none is an average over splits or batches,
whose value depends on the batch. Two are still biased for finite N: the Frechet distance is too
high and the classifier score too low, both roughly by a term of order 1/N (Chong and Forsyth,
"Effectively Unbiased FID and Inception Score", CVPR 2020, arXiv:1911.07023), so figures of
different N can't be compared. The kernel distance has no such bias.

Means and covariances, and the score's sums, are taken in one pass over batches of any size. What
compares all pairs holds one block of ``_BLOCK_ROWS`` x ``_BLOCK_COLUMNS`` distances at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.utils.errors import ConfigError, DataError

Array = np.ndarray[Any, np.dtype[np.float64]]

_BLOCK_ROWS = 1024
_BLOCK_COLUMNS = 4096
# Kynkaanniemi et al., section 3.1: "k = 3" is their choice for all experiments.
NEIGHBOURS = 3
KERNEL_DEGREE = 3
# One real test image in a hundred is this near to a training image.
MEMORIZED_QUANTILE = 0.01
TUTORIAL_BATCH = 32


class MeanCovariance:
    """Mean and covariance of vectors that arrive in batches, in one pass.

    The sums of squares are kept around the running mean and two parts are combined by
    ``M = M_a + M_b + (mean_b - mean_a)(mean_b - mean_a)^T n_a n_b / (n_a + n_b)``, so no large
    numbers are subtracted from each other. Source: Chan, Golub, LeVeque, "Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances", 1979, equation 2.1b, in matrix form; Welford
    1962 is the case of one vector at a time.

    Attributes:
        count: Vectors so far.
        mean: float64 array [dims].
    """

    def __init__(self, dims: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(dims)
        self._squares: Array = np.zeros((dims, dims))

    def update(self, batch: Any) -> MeanCovariance:
        """Take in a batch [n, dims]; returns itself.

        Raises:
            DataError: The batch has another length of vectors, or values that are not finite.
        """
        vectors = _vectors(batch, len(self.mean))
        if len(vectors):
            mean = vectors.mean(axis=0)
            centred = vectors - mean
            total = self.count + len(vectors)
            difference = mean - self.mean
            # One array a term, so that no rounding makes the matrix unsymmetric.
            between = np.outer(difference, difference) * (self.count * len(vectors) / total)
            self._squares = self._squares + centred.T @ centred + between
            self.mean = self.mean + difference * (len(vectors) / total)
            self.count = total
        return self

    @property
    def covariance(self) -> Array:
        """Unbiased covariance [dims, dims], divided by count - 1.

        Raises:
            DataError: There are fewer than two vectors.
        """
        if self.count < 2:
            raise DataError(f"A covariance takes 2 vectors or more, found {self.count}.")
        return self._squares / (self.count - 1)


def frechet_distance(first: MeanCovariance, second: MeanCovariance) -> float:
    """Compute the squared Frechet distance of two normal distributions.

    ``|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2))``. Source: Dowson and Landau, "The Frechet
    distance between multivariate normal distributions", 1982; as a figure for samples: Heusel et
    al., "GANs Trained by a Two Time-Scale Update Rule...", 2017, arXiv:1706.08500, equation 6.

    ``Tr((C1 C2)^(1/2))`` is the sum of the square roots of the eigenvalues of the symmetric matrix
    ``C1^(1/2) C2 C1^(1/2)``, which has those of ``C1 C2``; so everything stays real, also for
    singular matrices.

    Returns:
        The distance, 0 or above.
    """
    root = _symmetric_root(first.covariance)
    eigenvalues = np.linalg.eigvalsh(_symmetric(root @ second.covariance @ root))
    cross = float(np.sqrt(np.clip(eigenvalues, 0.0, None)).sum())
    difference = first.mean - second.mean
    traces = float(np.trace(first.covariance) + np.trace(second.covariance))
    return max(float(difference @ difference) + traces - 2.0 * cross, 0.0)


class ClassifierScore:
    """The score of Salimans et al. over all samples at once, in one pass.

    ``exp(mean_x KL(p(y|x) || p(y)))`` with ``p(y) = mean_x p(y|x)``, between 1 and the number of
    classes. Source: Salimans et al., "Improved Techniques for Training GANs", 2016,
    arXiv:1606.03498, section 4, there with the Inception network and averaged over splits. In sums
    it is ``exp(H(p(y)) - mean_x H(p(y|x)))``.
    """

    def __init__(self, classes: int) -> None:
        self.count = 0
        self._probabilities: Array = np.zeros(classes)
        self._negative_entropy = 0.0

    def update(self, logits: Any) -> ClassifierScore:
        """Take in a batch of logits [n, classes]; returns itself."""
        values = _vectors(logits, len(self._probabilities))
        shifted = values - values.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        self._probabilities = self._probabilities + p.sum(axis=0)
        self._negative_entropy += float((p * log_p).sum())
        self.count += len(values)
        return self

    @property
    def value(self) -> float:
        """The score.

        Raises:
            DataError: There are no samples.
        """
        if self.count == 0:
            raise DataError("A classifier score takes 1 sample or more, found 0.")
        mean = self._probabilities / self.count
        used = mean[mean > 0]
        divergence = self._negative_entropy / self.count - float((used * np.log(used)).sum())
        return math.exp(max(divergence, 0.0))


def kernel_distance(first: Any, second: Any, degree: int = KERNEL_DEGREE) -> float:
    """Compute the squared maximum mean discrepancy with a polynomial kernel, unbiased.

    ``mean_{i!=j} k(x_i, x_j) + mean_{i!=j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)`` with
    ``k(x, y) = (x.y / dims + 1)^degree``. Source: Binkowski et al., "Demystifying MMD GANs", 2018,
    arXiv:1801.01401, section 4; the estimator is equation 3 of Gretton et al., JMLR 13, 2012.

    Args:
        first: [n, dims], n at least 2.
        second: [m, dims], m at least 2.
        degree: The kernel's degree.

    Returns:
        The estimate; it is unbiased and so below 0 at times.
    """
    x = _vectors(first)
    y = _vectors(second, x.shape[1])
    _need_rows(2, x, y)

    def kernel_sum(a: Array, b: Array) -> float:
        # Each block's sum is taken alone: fsum makes the whole independent of their order.
        return math.fsum(
            float(((a[rows] @ b[columns].T / a.shape[1] + 1.0) ** degree).sum())
            for rows, columns in _blocks(len(a), len(b))
        )

    def off_diagonal_mean(a: Array) -> float:
        diagonal = ((np.einsum("ij,ij->i", a, a) / a.shape[1] + 1.0) ** degree).sum()
        return (kernel_sum(a, a) - float(diagonal)) / (len(a) * (len(a) - 1))

    cross = kernel_sum(x, y) / (len(x) * len(y))
    return off_diagonal_mean(x) + off_diagonal_mean(y) - 2.0 * cross


class PrecisionRecall(NamedTuple):
    """How much of each distribution lies within the other's manifold.

    Attributes:
        precision: Share of the samples that lie among the real images.
        recall: Share of the real images that lie among the samples.
    """

    precision: float
    recall: float


def precision_recall(real: Any, generated: Any, neighbours: int = NEIGHBOURS) -> PrecisionRecall:
    """Compute improved precision and recall.

    A manifold is the union of balls around its points, each as large as the distance to the point's
    k-th nearest neighbour of the same set. Source: Kynkaanniemi et al., "Improved Precision and
    Recall Metric for Assessing Generative Models", 2019, arXiv:1904.06991, equations 1 and 2.

    Args:
        real: [n, dims], n above ``neighbours``.
        generated: [m, dims], m above ``neighbours``.
        neighbours: k.
    """
    x = _vectors(real)
    y = _vectors(generated, x.shape[1])
    _need_rows(neighbours + 1, x, y)
    return PrecisionRecall(_share_within(y, x, neighbours), _share_within(x, y, neighbours))


class Neighbours(NamedTuple):
    """Each query's nearest reference.

    Attributes:
        indices: int64 array [n], rows of the references.
        distances: float64 array [n], Euclidean.
    """

    indices: np.ndarray[Any, np.dtype[np.int64]]
    distances: Array


def nearest_neighbours(queries: Any, references: Any) -> Neighbours:
    """Find the nearest reference of each query; of equally near ones mostly the first.

    Args:
        queries: [n, dims].
        references: [m, dims], m at least 1.
    """
    x = _vectors(queries)
    y = _vectors(references, x.shape[1])
    _need_rows(1, y)
    indices = np.zeros(len(x), np.int64)
    best = np.full(len(x), np.inf)
    for rows, columns in _blocks(len(x), len(y)):
        squared = _squared_distances(x[rows], y[columns])
        nearest = squared.argmin(axis=1)
        found = squared[np.arange(len(nearest)), nearest]
        nearer = found < best[rows]
        indices[rows] = np.where(nearer, nearest + columns.start, indices[rows])
        best[rows] = np.where(nearer, found, best[rows])
    # Once more without the cancellation of the expanded square: a copy has distance 0 exactly.
    distances = np.concatenate(
        [
            np.linalg.norm(x[rows] - y[indices[rows]], axis=1)
            for rows in _slices(len(x), _BLOCK_ROWS)
        ]
        or [np.zeros(0)]
    )
    return Neighbours(indices, distances)


def memorized_share(
    sample_distances: Any, test_distances: Any, quantile: float = MEMORIZED_QUANTILE
) -> float:
    """Compute the share of samples that are nearer to the training set than real images are.

    A sample counts when the distance to its nearest training image is below the given quantile of
    that distance among the test set's images, so about ``quantile`` is what honest samples give,
    and more tells of copies. Comparing with the test set's distances is the idea of Meehan,
    Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models",
    AISTATS 2020, arXiv:2004.05675; the share below a quantile is this project's own measure.

    Args:
        sample_distances: [n], from ``nearest_neighbours(samples, training)``.
        test_distances: [m], from ``nearest_neighbours(test, training)``.
        quantile: Between 0 and 1.
    """
    samples, test = np.asarray(sample_distances, float), np.asarray(test_distances, float)
    _need_rows(1, samples, test)
    return float((samples < np.quantile(test, quantile)).mean())


class BatchwiseFigures(NamedTuple):
    """Means over small batches, to compare with figures that were made so; not for judging.

    Attributes:
        classifier_score: Mean of the batches' scores.
        frechet_distance: Mean of the batches' distances.
        batches: Number of batches; what is left over is not used.
    """

    classifier_score: float
    frechet_distance: float
    batches: int


def batchwise_figures(
    logits: Any, real_logits: Any, batch_size: int = TUTORIAL_BATCH
) -> BatchwiseFigures:
    """Compute score and Frechet distance batch by batch, as TF-GAN's MNIST tutorial does.

    There each evaluation step compares the logits of a batch of samples with those of a batch of
    real images, and the values are averaged. Batches of 32 give lower scores and higher distances
    than N = 10,000. Source: ``mnist_score`` and ``mnist_frechet_distance`` of
    ``tensorflow_gan/examples/mnist/util.py``, there with a classifier of their own.

    Args:
        logits: The samples' [n, classes].
        real_logits: The real images' [m, classes].
        batch_size: Samples a batch, at least 2.
    """
    x = _vectors(logits)
    y = _vectors(real_logits, x.shape[1])
    _need_rows(batch_size, x, y)
    batches = min(len(x), len(y)) // batch_size
    scores, distances = [], []
    for batch in _slices(batches * batch_size, batch_size):
        scores.append(ClassifierScore(x.shape[1]).update(x[batch]).value)
        pair = [MeanCovariance(x.shape[1]).update(part[batch]) for part in (x, y)]
        distances.append(frechet_distance(*pair))
    return BatchwiseFigures(math.fsum(scores) / batches, math.fsum(distances) / batches, batches)


def _vectors(values: Any, dims: int | None = None) -> Array:
    """Return float64 [n, dims], checked."""
    array: Array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or (dims is not None and array.shape[1] != dims):
        expected = "[n, dims]" if dims is None else f"[n, {dims}]"
        raise DataError(f"The vectors have shape {array.shape}, expected {expected}.")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise DataError(
            f"Vector {row} holds values that are not finite, so no figure can be computed: look "
            "whether the GAN's weights are finite."
        )
    return array


def _need_rows(count: int, *arrays: Any) -> None:
    fewest = min(len(array) for array in arrays)
    if fewest < count:
        raise ConfigError(
            f"This figure takes {count} vectors or more of each kind, found {fewest}."
        )


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    for row_slice in _slices(rows, _BLOCK_ROWS):
        for column_slice in _slices(columns, _BLOCK_COLUMNS):
            yield row_slice, column_slice


def _squared_distances(x: Array, y: Array) -> Array:
    """Return |x_i - y_j|^2 as |x|^2 + |y|^2 - 2 x.y, cut at 0, [n, m]."""
    squared = x @ y.T
    squared *= -2.0
    squared += np.einsum("ij,ij->i", x, x)[:, None]
    squared += np.einsum("ij,ij->i", y, y)[None, :]
    return np.maximum(squared, 0.0, out=squared)


def _squared_radii(points: Array, neighbours: int) -> Array:
    """Return each point's squared distance to its k-th nearest other point."""
    radii = np.empty(len(points))
    for rows in _slices(len(points), _BLOCK_ROWS):
        kept = np.empty((rows.stop - rows.start, 0))
        for columns in _slices(len(points), _BLOCK_COLUMNS):
            squared = _squared_distances(points[rows], points[columns])
            own = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
            squared[own - rows.start, own - columns.start] = np.inf
            nearest = min(neighbours, squared.shape[1])
            nearest_here = np.partition(squared, nearest - 1, axis=1)[:, :nearest]
            kept = np.sort(np.concatenate([kept, nearest_here], axis=1), axis=1)[:, :neighbours]
        radii[rows] = kept[:, neighbours - 1]
    return radii


def _share_within(queries: Array, points: Array, neighbours: int) -> float:
    """Return the share of queries that lie in at least one ball of the points."""
    radii = _squared_radii(points, neighbours)
    within = np.zeros(len(queries), bool)
    for rows, columns in _blocks(len(queries), len(points)):
        squared = _squared_distances(queries[rows], points[columns])
        within[rows] |= (squared <= radii[columns]).any(axis=1)
    return float(within.mean())


def _symmetric(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2.0


def _symmetric_root(matrix: Array) -> Array:
    """Return the positive square root of a positive semi-definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(_symmetric(matrix))
    root: Array = (vectors * np.sqrt(np.clip(eigenvalues, 0.0, None))) @ vectors.T
    return root
