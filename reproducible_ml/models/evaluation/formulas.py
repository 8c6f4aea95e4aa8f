"""Figures of samples from a classifier's outputs: formulas in NumPy, float64, bounded memory.

Every figure is computed over all N samples at once, not as an average over splits or batches, whose
value would depend on the batch size. Two figures are still biased for finite N: the Frechet
distance is too high and the classifier score too low, both by roughly a term of order 1/N (Chong
and Forsyth, "Effectively Unbiased FID and Inception Score", CVPR 2020, arXiv:1911.07023), so
figures for different N can't be compared. The kernel distance has no such bias.

Means, covariances and the score's sums are computed in one pass over batches of any size.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from reproducible_ml.models.evaluation.vectors import (
    Array,
    blocks,
    checked_vectors,
    need_rows,
    slices,
)
from reproducible_ml.utils.errors import DataError

KERNEL_DEGREE = 3
TUTORIAL_BATCH = 32


class MeanCovariance:
    """Mean and covariance of vectors that arrive in batches, in one pass.

    Sums of squares are kept around the running mean, and two parts are combined by
    ``M = M_a + M_b + (mean_b - mean_a)(mean_b - mean_a)^T n_a n_b / (n_a + n_b)``, so no large
    numbers are subtracted from each other. Source: Chan, Golub, LeVeque, "Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances", 1979, equation 2.1b, in matrix form; Welford
    1962 is the case of one vector at a time.

    Attributes:
        count: Number of vectors so far.
        mean: float64 array [dims].
    """

    def __init__(self, dims: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(dims)
        self._squares: Array = np.zeros((dims, dims))

    def update(self, batch: Any) -> MeanCovariance:
        """Add a batch [n, dims], and return this object.

        Raises:
            DataError: The batch has vectors of another length, or values that are not finite.
        """
        vectors = checked_vectors(batch, len(self.mean))
        if len(vectors):
            mean = vectors.mean(axis=0)
            centred = vectors - mean
            total = self.count + len(vectors)
            difference = mean - self.mean
            # Each term is symmetric on its own, so that rounding keeps the sum symmetric.
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
            raise DataError(f"A covariance needs at least 2 vectors, found {self.count}.")
        return self._squares / (self.count - 1)


def frechet_distance(first: MeanCovariance, second: MeanCovariance) -> float:
    """Compute the squared Frechet distance between two normal distributions.

    ``|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2))``. Source: Dowson and Landau, "The Frechet
    distance between multivariate normal distributions", 1982; as a figure for samples: Heusel et
    al., "GANs Trained by a Two Time-Scale Update Rule...", 2017, arXiv:1706.08500, equation 6.

    ``Tr((C1 C2)^(1/2))`` is the sum of the square roots of the eigenvalues of the symmetric matrix
    ``C1^(1/2) C2 C1^(1/2)``, which has those of ``C1 C2``. So all values stay real, even for
    singular matrices. ``scipy.linalg.sqrtm`` of the product takes 4 s instead of 5 ms for 128
    dimensions, and returns complex numbers for few samples.

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
        """Add a batch of logits [n, classes], and return this object."""
        # Imported here, since SciPy is slow to load and only needed for evaluation.
        from scipy.special import log_softmax

        values = checked_vectors(logits, len(self._probabilities))
        log_p = log_softmax(values, axis=1)
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
            raise DataError("A classifier score needs at least 1 sample, found 0.")
        mean = self._probabilities / self.count
        used = mean[mean > 0]
        divergence = self._negative_entropy / self.count - float((used * np.log(used)).sum())
        return math.exp(max(divergence, 0.0))


def label_agreement(logits: Any, labels: Any) -> float:
    """Compute the share of images for which the classifier predicts the requested class.

    Args:
        logits: [n, classes], n at least 1.
        labels: Integers [n].
    """
    values, wanted = checked_vectors(logits), np.asarray(labels)
    need_rows(1, values)
    if wanted.shape != (len(values),):
        raise DataError(f"The labels have shape {wanted.shape}, expected ({len(values)},).")
    return float((values.argmax(axis=1) == wanted).mean())


def kernel_mean(vectors: Any, degree: int = KERNEL_DEGREE) -> float:
    """Compute the mean of the polynomial kernel over all pairs of different vectors.

    Args:
        vectors: [n, dims], n at least 2.
        degree: The kernel's degree; see ``kernel_distance``.
    """
    a = checked_vectors(vectors)
    need_rows(2, a)
    diagonal = ((np.einsum("ij,ij->i", a, a) / a.shape[1] + 1.0) ** degree).sum()
    return (_kernel_sum(a, a, degree) - float(diagonal)) / (len(a) * (len(a) - 1))


def kernel_distance(
    first: Any, second: Any, degree: int = KERNEL_DEGREE, second_mean: float | None = None
) -> float:
    """Compute the squared maximum mean discrepancy with a polynomial kernel, unbiased.

    ``mean_{i!=j} k(x_i, x_j) + mean_{i!=j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)`` with
    ``k(x, y) = (x.y / dims + 1)^degree``. Source: Binkowski et al., "Demystifying MMD GANs", 2018,
    arXiv:1801.01401, section 4; the estimator is equation 3 of Gretton et al., JMLR 13, 2012.

    Args:
        first: [n, dims], n at least 2.
        second: [m, dims], m at least 2.
        degree: The kernel's degree.
        second_mean: ``kernel_mean(second, degree)`` if it is known already.

    Returns:
        The estimate; since it is unbiased, it may be below 0.
    """
    x = checked_vectors(first)
    y = checked_vectors(second, x.shape[1])
    need_rows(2, x, y)

    own = kernel_mean(y, degree) if second_mean is None else second_mean
    cross = _kernel_sum(x, y, degree) / (len(x) * len(y))
    return kernel_mean(x, degree) + own - 2.0 * cross


def _kernel_sum(a: Array, b: Array, degree: int) -> float:
    # fsum makes the total independent of the order of the blocks.
    return math.fsum(
        float(((a[rows] @ b[columns].T / a.shape[1] + 1.0) ** degree).sum())
        for rows, columns in blocks(len(a), len(b))
    )


class BatchwiseFigures(NamedTuple):
    """Means over small batches, only for comparison with figures that were computed that way.

    Attributes:
        classifier_score: Mean score of the batches.
        frechet_distance: Mean distance of the batches.
        batches: Number of batches; an incomplete last batch is not used.
    """

    classifier_score: float
    frechet_distance: float
    batches: int


def batchwise_figures(
    logits: Any, real_logits: Any, batch_size: int = TUTORIAL_BATCH
) -> BatchwiseFigures:
    """Compute score and Frechet distance batch by batch, as TF-GAN's MNIST tutorial does.

    Each evaluation step there compares the logits of a batch of samples with those of a batch of
    real images, and the values are averaged. Batches of 32 give lower scores and higher distances
    than N = 10,000. Source: ``mnist_score`` and ``mnist_frechet_distance`` of
    ``tensorflow_gan/examples/mnist/util.py``, which uses another classifier.

    Args:
        logits: Logits of the samples, [n, classes].
        real_logits: Logits of the real images, [m, classes].
        batch_size: Samples per batch, at least 2.
    """
    x = checked_vectors(logits)
    y = checked_vectors(real_logits, x.shape[1])
    need_rows(batch_size, x, y)
    batches = min(len(x), len(y)) // batch_size
    scores, distances = [], []
    for batch in slices(batches * batch_size, batch_size):
        scores.append(ClassifierScore(x.shape[1]).update(x[batch]).value)
        pair = [MeanCovariance(x.shape[1]).update(part[batch]) for part in (x, y)]
        distances.append(frechet_distance(*pair))
    return BatchwiseFigures(math.fsum(scores) / batches, math.fsum(distances) / batches, batches)


def _symmetric(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2.0


def _symmetric_root(matrix: Array) -> Array:
    """Return the positive square root of a positive semi-definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(_symmetric(matrix))
    root: Array = (vectors * np.sqrt(np.clip(eigenvalues, 0.0, None))) @ vectors.T
    return root
