"""Spectral normalization against NumPy's singular values, and when its vectors move."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models import GANEstimator, GANSettings, critic_fn, make_gan_estimator
from reproducible_ml.models.gan.networks.spectral import power_iterations, spectral_norm

BATCH, DIMS, SHAPE = 4, 6, (10, 10, 1)


def read_weight(value):
    """Read a variable through the normalization, as a layer does."""
    with spectral_norm(seed=3):
        return tf.compat.v1.get_variable(
            "layer/weights", value.shape, initializer=tf.constant_initializer(value)
        )


@pytest.mark.parametrize("shape", [(5, 4), (4, 4, 3, 7), (3, 3, 8, 1)])
def test_after_power_iterations_the_largest_singular_value_is_one(shape):
    value = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        normalized = read_weight(value)
        moves = power_iterations()
        session.run(tf.compat.v1.global_variables_initializer())
        for _ in range(200):
            session.run(moves)
        found = session.run(normalized)
    largest = np.linalg.svd(value.reshape(-1, shape[-1]), compute_uv=False)[0]
    np.testing.assert_allclose(found, value / largest, rtol=1e-4, atol=1e-6)


def test_reading_a_weight_moves_nothing():
    value = np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        normalized = read_weight(value)
        session.run(tf.compat.v1.global_variables_initializer())
        first, again = session.run(normalized), session.run(normalized)
    np.testing.assert_array_equal(first, again)


def test_the_gradient_is_that_of_the_quotient_with_the_vector_held():
    value = np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        total = tf.reduce_sum(tf.square(read_weight(value)))
        weight, vector = tf.compat.v1.global_variables()
        (gradient,) = tf.gradients(total, weight)
        session.run(tf.compat.v1.global_variables_initializer())
        found, u = session.run((gradient, vector))

    def by_hand(w):
        return ((w / np.linalg.norm(w @ u)) ** 2).sum()

    expected = np.zeros((5, 4))
    for place in np.ndindex(5, 4):
        moved = np.zeros((5, 4))
        moved[place] = 1e-5
        wide = value.astype(np.float64)
        expected[place] = (by_hand(wide + moved) - by_hand(wide - moved)) / 2e-5
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def batches(count):
    draw = np.random.default_rng(5)
    latents = draw.standard_normal((count, BATCH, DIMS)).astype(np.float32)
    real = draw.uniform(-1, 1, (count, BATCH, *SHAPE)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((latents, real))


def hinge(model_dir, critic_steps) -> GANEstimator:
    settings = GANSettings("hinge", critic_steps=critic_steps, batch_size=BATCH, noise_dims=DIMS)
    return make_gan_estimator(model_dir, settings, SHAPE)


def vectors_and_weights(estimator):
    names = estimator.get_variable_names()
    return {
        name: estimator.get_variable_value(name)
        for name in names
        if name.endswith(("spectral_u", "weights")) and name.startswith("Discriminator")
    }


def one_iteration(weight, vector):
    matrix = weight.reshape(-1, weight.shape[-1])
    left = matrix @ vector
    right = matrix.T @ (left / np.linalg.norm(left))
    return right / np.linalg.norm(right)


def test_the_vectors_move_once_a_critic_update_and_not_with_the_generator(tmp_path):
    estimator = hinge(tmp_path, critic_steps=1)
    estimator.train(lambda: batches(4), max_steps=1)
    before = vectors_and_weights(estimator)
    estimator.train(lambda: batches(4), max_steps=2)
    after = vectors_and_weights(estimator)
    vectors = [name for name in before if name.endswith("spectral_u")]
    # Of the one convolution of 10 x 10 images, and of the two layers of the head.
    assert len(vectors) == 3
    for name in vectors:
        # The critic's weights are those that the step before has left.
        weight = before[name.replace("spectral_u", "weights")]
        expected = one_iteration(weight, before[name])
        np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-6)


def test_every_weight_of_the_hinge_critic_is_normalized_and_no_vector_is_trained():
    with tf.Graph().as_default():
        with tf.compat.v1.variable_scope("Discriminator"):
            critic_fn("hinge", SHAPE, seed=1)(tf.zeros([BATCH, *SHAPE]))
        trained = {variable.op.name for variable in tf.compat.v1.trainable_variables()}
        every = {variable.op.name for variable in tf.compat.v1.global_variables()}
    weights = {name for name in trained if name.endswith("weights")}
    assert every - trained == {name.replace("weights", "spectral_u") for name in weights}
