"""The figures against closed forms, plain loops and TF-GAN's own functions."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial

from reproducible_ml.models.evaluation import vectors
from reproducible_ml.models.evaluation.formulas import (
    ClassifierScore,
    MeanCovariance,
    batchwise_figures,
    frechet_distance,
    kernel_distance,
    label_agreement,
)
from reproducible_ml.models.evaluation.neighbours import (
    memorized_share,
    nearest_neighbours,
    precision_recall,
)
from reproducible_ml.utils.errors import ConfigError, DataError


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that no size in these tests is a multiple of."""
    monkeypatch.setattr(vectors, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(vectors, "_BLOCK_COLUMNS", 5)


def normal_of(mean, covariance):
    """Mean and covariance of exactly these values, from 2 * dims points."""
    mean, dims = np.asarray(mean, float), len(mean)
    root = np.linalg.cholesky(np.asarray(covariance, float))
    steps = root.T * math.sqrt((2 * dims - 1) / 2)
    return MeanCovariance(dims).update(np.concatenate([mean + steps, mean - steps]))


def distance(x, y):
    return math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(x, y)))


def streamed(points, sizes):
    seen = MeanCovariance(points.shape[1])
    ends = np.cumsum(sizes)
    for start, stop in zip(ends - sizes, ends):
        seen.update(points[start:stop])
    return seen


def test_mean_and_covariance_do_not_depend_on_the_batches(random):
    points = random.normal(size=(50, 4)) @ random.normal(size=(4, 4)) + 3
    for sizes in ([50], [1] * 50, [7, 0, 30, 13]):
        seen = streamed(points, sizes)
        np.testing.assert_allclose(seen.mean, points.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(seen.covariance, np.cov(points.T), rtol=1e-12)
        assert seen.count == 50


def test_a_large_offset_costs_no_digits(random):
    points = random.normal(size=(1000, 3))
    shifted = streamed(points + 1e8, [10] * 100).covariance
    # The usual E[x^2] - E[x]^2 is off by 1 and more here.
    np.testing.assert_allclose(shifted, np.cov(points.T), rtol=1e-6, atol=1e-8)


def test_the_frechet_distance_of_axis_parallel_normals_is_the_closed_form():
    first = normal_of([0, 1, 2], np.diag([1.0, 4.0, 9.0]))
    second = normal_of([1, 1, 0], np.diag([16.0, 4.0, 1.0]))
    # |(1, 0, 2)|^2 + (1 - 4)^2 + (2 - 2)^2 + (3 - 1)^2
    assert frechet_distance(first, second) == pytest.approx(5 + 9 + 0 + 4, rel=1e-12)


def test_the_frechet_distance_of_turned_normals_is_the_closed_form():
    # For 2 x 2: (tr sqrt(AB))^2 = tr(AB) + 2 sqrt(det(A) det(B)).
    a, b = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    cross = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    expected = 25 + np.trace(a) + np.trace(b) - 2 * cross
    assert frechet_distance(normal_of([3, 0], a), normal_of([0, 4], b)) == pytest.approx(
        expected, rel=1e-12
    )


def test_the_frechet_distance_stays_real_when_dimensions_never_vary(random):
    points = np.zeros((40, 6))
    points[:, :2] = random.normal(size=(40, 2))
    first = MeanCovariance(6).update(points)
    second = MeanCovariance(6).update(points + 2)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-7)
    assert frechet_distance(first, second) == pytest.approx(6 * 4, rel=1e-7)


def test_the_score_is_that_of_plain_loops(random):
    logits = random.normal(size=(23, 5)) * 3
    p = [[math.exp(one) / sum(map(math.exp, row)) for one in row] for row in logits.tolist()]
    marginal = [sum(column) / len(p) for column in zip(*p)]
    divergences = [sum(a * math.log(a / b) for a, b in zip(row, marginal)) for row in p]
    score = ClassifierScore(5)
    for batch in (logits[:10], logits[10:11], logits[11:]):
        score.update(batch)
    assert score.value == pytest.approx(math.exp(sum(divergences) / len(p)), rel=1e-12)


def test_the_score_has_its_known_ends():
    certain = np.eye(10)[np.arange(1000) % 10] * 2000.0
    assert ClassifierScore(10).update(certain).value == pytest.approx(10, rel=1e-12)
    assert ClassifierScore(10).update(np.zeros((9, 10))).value == pytest.approx(1, rel=1e-12)
    # Large logits of one class only: no overflow, no log of zero.
    assert ClassifierScore(10).update(certain[:1].repeat(5, 0)).value == pytest.approx(1)


def test_label_agreement_is_the_share_of_images_that_show_what_was_asked_for():
    logits = [[2, 1, 0], [0, 1, 2], [0, 5, 1], [9, 8, 7]]
    assert label_agreement(logits, [0, 2, 2, 1]) == 0.5
    with pytest.raises(DataError, match=r"labels have shape \(3,\), expected \(4,\)"):
        label_agreement(logits, [0, 2, 2])


def test_the_kernel_distance_is_that_of_plain_loops(random, small_blocks):
    x, y = random.normal(size=(16, 3)), random.normal(size=(11, 3)) + 0.5

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b)) / 3 + 1) ** 3

    within = [
        sum(k(a, b) for a, b in itertools.permutations(points, 2))
        / (len(points) * (len(points) - 1))
        for points in (x, y)
    ]
    across = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    assert kernel_distance(x, y) == pytest.approx(sum(within) - 2 * across, rel=1e-11)


def test_the_kernel_distance_of_one_distribution_averages_to_zero(random):
    values = [
        kernel_distance(random.normal(size=(30, 4)), random.normal(size=(30, 4)))
        for _ in range(300)
    ]
    assert min(values) < 0
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)


def covered(queries, points, k):
    """Count queries inside the manifold of points, by the definition."""
    inside = 0
    for query in queries:
        for i, point in enumerate(points):
            others = sorted(distance(point, other) for j, other in enumerate(points) if j != i)
            if distance(query, point) <= others[k - 1]:
                inside += 1
                break
    return inside / len(queries)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_precision_and_recall_are_those_of_plain_loops(random, small_blocks, k):
    real, generated = random.normal(size=(26, 3)), random.normal(size=(19, 3)) * 0.7 + 0.8
    found = precision_recall(real, generated, neighbours=k)
    assert found == (covered(generated, real, k), covered(real, generated, k))
    assert 0 < found.recall < 1


def test_precision_and_recall_tell_lost_modes_from_bad_samples(random):
    left, right = random.normal(size=(2, 60, 2)) + np.array([[[-40, 0]], [[40, 0]]])
    both = np.concatenate([left, right])
    lost = precision_recall(both, left)
    assert (lost.precision, lost.recall) == (1, pytest.approx(0.5, abs=0.05))
    bad = precision_recall(left, both)
    assert (bad.precision, bad.recall) == (pytest.approx(0.5, abs=0.05), 1)


def test_nearest_neighbours_are_those_of_plain_loops(random, small_blocks):
    queries, references = random.normal(size=(17, 3)), random.normal(size=(23, 3))
    found = nearest_neighbours(queries, references)
    for query, index, length in zip(queries, *found):
        lengths = [distance(query, reference) for reference in references]
        assert index == int(np.argmin(lengths))
        assert length == pytest.approx(min(lengths), rel=1e-14)


def test_copies_are_at_distance_zero_and_counted(random):
    training, test = random.normal(size=(300, 5)), random.normal(size=(200, 5))
    honest = nearest_neighbours(test, training).distances
    samples = np.concatenate([training[40:60], random.normal(size=(80, 5))])
    found = nearest_neighbours(samples, training)
    np.testing.assert_array_equal(found.indices[:20], np.arange(40, 60))
    np.testing.assert_array_equal(found.distances[:20], 0)
    assert 0.2 <= memorized_share(found.distances, honest) <= 0.25
    assert memorized_share(honest, honest) == 0.01


def test_the_figures_of_wide_vectors_agree_with_scipy(random, small_blocks):
    x = random.normal(size=(90, 16)) @ random.normal(size=(16, 16))
    y = random.normal(size=(70, 16)) @ random.normal(size=(16, 16)) + 0.5
    root = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T))
    mean = x.mean(axis=0) - y.mean(axis=0)
    expected = mean @ mean + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root.real)
    pair = [MeanCovariance(16).update(points) for points in (x, y)]
    assert frechet_distance(*pair) == pytest.approx(expected, rel=1e-9)

    lengths, indices = scipy.spatial.KDTree(y).query(x)
    found = nearest_neighbours(x, y)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, lengths, rtol=1e-14)

    def share(queries, points):
        # Of four neighbours a point itself is the first.
        radii = scipy.spatial.KDTree(points).query(points, 4)[0][:, 3]
        return (scipy.spatial.distance.cdist(queries, points) <= radii).any(axis=1).mean()

    assert precision_recall(x, y, neighbours=3) == (share(y, x), share(x, y))


def test_batchwise_figures_are_means_over_whole_batches(random):
    logits, real = random.normal(size=(70, 4)), random.normal(size=(90, 4))
    found = batchwise_figures(logits, real, batch_size=32)
    parts = [slice(0, 32), slice(32, 64)]
    scores = [ClassifierScore(4).update(logits[one]).value for one in parts]
    assert found.batches == 2
    assert found.classifier_score == pytest.approx(sum(scores) / 2)
    pairs = [(streamed(logits[one], [32]), streamed(real[one], [32])) for one in parts]
    assert found.frechet_distance == pytest.approx(sum(frechet_distance(*p) for p in pairs) / 2)


def test_the_figures_agree_with_those_of_tf_gan(random):
    import tensorflow as tf

    from reproducible_ml.models.gan.tf_gan import tfgan

    x = random.normal(size=(120, 6)) @ random.normal(size=(6, 6))
    y = random.normal(size=(100, 6)) + 0.3
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        score, frechet, kernel = session.run(
            [
                tfgan.eval.classifier_score_from_logits(tf.constant(x)),
                tfgan.eval.frechet_classifier_distance_from_activations(
                    tf.constant(x), tf.constant(y)
                ),
                # One block, so that it is no mean over blocks.
                tfgan.eval.kernel_classifier_distance_from_activations(
                    tf.constant(x), tf.constant(y), max_block_size=120
                ),
            ]
        )
    assert ClassifierScore(6).update(x).value == pytest.approx(float(score), rel=1e-9)
    pair = [MeanCovariance(6).update(points) for points in (x, y)]
    assert frechet_distance(*pair) == pytest.approx(float(frechet), rel=1e-7)
    assert kernel_distance(x, y) == pytest.approx(float(kernel), rel=1e-7)


def test_values_that_are_not_finite_are_named():
    points = np.zeros((4, 2))
    points[2, 1] = np.nan
    with pytest.raises(DataError, match="Vector 2 holds values that are not finite"):
        MeanCovariance(2).update(points)


def test_another_length_of_vectors_is_named():
    with pytest.raises(DataError, match=r"\(4, 2\), expected \[n, 3\]"):
        MeanCovariance(3).update(np.zeros((4, 2)))


def test_too_few_vectors_are_named():
    for figure in (
        lambda: precision_recall(np.zeros((3, 2)), np.zeros((9, 2))),
        lambda: batchwise_figures(np.zeros((31, 2)), np.zeros((90, 2))),
        lambda: kernel_distance(np.zeros((1, 2)), np.zeros((9, 2))),
    ):
        with pytest.raises(ConfigError, match=r"needs at least \d+ vectors of each kind, found"):
            figure()
    with pytest.raises(DataError, match="at least 2 vectors, found 1"):
        _ = MeanCovariance(2).update(np.zeros((1, 2))).covariance
