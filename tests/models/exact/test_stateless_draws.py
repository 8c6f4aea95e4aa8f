"""Random operations of a graph draw by seed, name and number, or are refused by name and line."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models.exact.any_estimator import make_draws_stateless
from reproducible_ml.utils.errors import ConfigError

COUNT = 4000


def draws(seed, numbers):
    """Build every kind of draw, and execute it in a new session at each number."""
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(3)
        number = tf.compat.v1.placeholder(tf.int64, [])
        weights = tf.compat.v1.get_variable("weights", [2], use_resource=True)
        made = {
            "uniform": tf.random.uniform([COUNT]),
            "integers": tf.random.uniform([COUNT], 3, 7, dtype=tf.int32),
            "normal": tf.random.normal([COUNT]),
            "truncated": tf.random.truncated_normal([COUNT]),
            "categorical": tf.random.categorical([[0.0, np.log(3.0)]], COUNT)[0],
            "shuffled": tf.random.shuffle(tf.range(COUNT)),
            "gamma": tf.random.gamma([COUNT], [2.0])[:, 0],
            "poisson": tf.random.poisson([COUNT], [3.0])[:, 0],
            "dropout": tf.nn.dropout(tf.ones([COUNT]), 0.25),
        }
        outputs = {name: tf.identity(one) for name, one in made.items()}
        initial = weights.initializer
        replaced = make_draws_stateless(seed, number)
        found = []
        for value in numbers:
            with tf.compat.v1.Session() as session:
                session.run(initial)
                found.append(session.run(outputs, {number: value}))
        return replaced, found


@pytest.fixture(scope="module")
def drawn():
    return draws(1, [0, 1, 0])


def test_a_draw_depends_on_seed_and_number_alone(drawn):
    _, (first, second, again) = drawn
    _, (other,) = draws(2, [0])
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], second[name]), name
        assert not np.array_equal(first[name], other[name]), name


def test_a_replaced_draw_has_the_same_distribution(drawn):
    found = drawn[1][0]
    # Five standard errors of a mean of 4,000.
    bounds = 5 / np.sqrt(COUNT)
    means = {"uniform": (0.5, np.sqrt(1 / 12)), "normal": (0, 1), "truncated": (0, 0.88)}
    means |= {"integers": (4.5, np.sqrt(15 / 12)), "categorical": (0.75, np.sqrt(3 / 16))}
    means |= {"gamma": (2, np.sqrt(2)), "poisson": (3, np.sqrt(3)), "dropout": (1, np.sqrt(1 / 3))}
    for name, (mean, deviation) in means.items():
        assert abs(found[name].mean() - mean) < bounds * deviation, name
    assert set(found["integers"]) == {3, 4, 5, 6}
    assert np.abs(found["truncated"]).max() <= 2
    assert sorted(found["shuffled"]) == list(range(COUNT))
    np.testing.assert_allclose(np.unique(found["dropout"]), [0, 4 / 3], rtol=1e-6)


def test_initial_values_are_left_alone(drawn):
    replaced = drawn[0]
    assert len(replaced) == 9
    assert not any("weights" in name for name in replaced)


def test_a_draw_in_a_branch_is_refused_by_its_line():
    with tf.Graph().as_default():
        chosen = tf.compat.v1.placeholder(tf.bool, [])
        tf.cond(chosen, lambda: tf.random.uniform([]), lambda: tf.constant(1.0), name="noise")
        with pytest.raises(ConfigError, match=r"^noise.* \(.*test_stateless_draws.py:\d+\) draws"):
            make_draws_stateless(1, tf.constant(0, tf.int64))


def test_a_draw_without_a_stateless_twin_is_refused_by_name():
    with tf.Graph().as_default():
        tf.random.uniform_candidate_sampler([[1]], 1, 1, True, 10, seed=1, name="sampled")
        with pytest.raises(ConfigError, match=r"sampled.*UniformCandidateSampler"):
            make_draws_stateless(1, tf.constant(0, tf.int64))
