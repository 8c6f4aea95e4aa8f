"""The losses of every GAN type against their formulas in NumPy, and the critic's penalties."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn.noise import stream_key
from reproducible_ml.models import GAN_TYPES, tfgan
from reproducible_ml.models.gan.penalties import critic_penalty, squared_slope_error

REAL = np.array([0.3, -1.2, 2.5, 0.9])
FAKE = np.array([-0.4, 0.7, -2.0, 1.6])
LABELS = np.array([2, 0, 1, 2])
REAL_LOGITS = np.array([[0.1, 0.5, -1.0], [2.0, 0.0, 0.3], [-0.2, 0.4, 0.8], [1.0, 1.0, 1.0]])
FAKE_LOGITS = np.array([[1.5, -0.5, 0.2], [0.0, 0.0, 3.0], [0.9, -0.1, 0.1], [-1.0, 2.0, 0.5]])


def softplus(x):
    return np.log1p(np.exp(x))


def cross_entropy(logits):
    return np.mean([np.log(np.exp(row).sum()) - row[k] for row, k in zip(logits, LABELS)])


# -log s(x) = softplus(-x), -log(1 - s(x)) = softplus(x)
MINIMAX_CRITIC = np.mean(softplus(-REAL)) + np.mean(softplus(FAKE))
NON_SATURATING = np.mean(softplus(-FAKE))
WASSERSTEIN = (-FAKE.mean(), FAKE.mean() - REAL.mean())
FORMULAS = {
    "wgan": WASSERSTEIN,
    "wgan_gp": WASSERSTEIN,
    "nsgan": (NON_SATURATING, MINIMAX_CRITIC),
    "mmgan": (-softplus(-1.0) - np.mean(softplus(FAKE)), MINIMAX_CRITIC),
    "lsgan": (
        np.mean((FAKE - 1) ** 2) / 2,
        np.mean((REAL - 1) ** 2) / 2 + np.mean(FAKE**2) / 2,
    ),
    "hinge": (
        -FAKE.mean(),
        np.mean(np.maximum(0, 1 - REAL)) + np.mean(np.maximum(0, 1 + FAKE)),
    ),
    "dragan": (NON_SATURATING, MINIMAX_CRITIC),
    "relativistic": (
        np.mean(softplus(REAL - FAKE.mean())) + np.mean(softplus(-(FAKE - REAL.mean()))),
        np.mean(softplus(-(REAL - FAKE.mean()))) + np.mean(softplus(FAKE - REAL.mean())),
    ),
    "cgan": (NON_SATURATING, MINIMAX_CRITIC),
    "acgan": (
        NON_SATURATING + cross_entropy(FAKE_LOGITS),
        MINIMAX_CRITIC + cross_entropy(FAKE_LOGITS) + cross_entropy(REAL_LOGITS),
    ),
}


def model_of(real, fake, critic=None, scope=None, real_data=None, generated=None):
    """Make a TF-GAN model of given scores."""
    labels = tf.constant(LABELS)
    return tfgan.GANModel(
        {"labels": labels}, generated, None, None, None, real_data, real, fake, None, scope, critic
    )


@pytest.mark.parametrize("gan_type", sorted(GAN_TYPES))
def test_losses_are_those_of_the_formulas(gan_type):
    row = GAN_TYPES[gan_type]
    real, fake = REAL, FAKE
    if row.classifies:
        real = np.concatenate([REAL[:, None], REAL_LOGITS], axis=1)
        fake = np.concatenate([FAKE[:, None], FAKE_LOGITS], axis=1)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        model = model_of(tf.constant(real, tf.float32), tf.constant(fake, tf.float32))
        losses = tfgan.gan_loss(
            model, row.generator_loss_fn, row.critic_loss_fn, add_summaries=False
        )
        found = session.run((losses.generator_loss, losses.discriminator_loss))
    np.testing.assert_allclose(found, FORMULAS[gan_type], rtol=2e-6)


def linear_critic(images, conditioning=None):
    """Score with the sum of 3 * pixel: over 4 pixels the gradient's length is 6."""
    weight = tf.compat.v1.get_variable("w", [], initializer=tf.constant_initializer(3.0))
    return weight * tf.reduce_sum(images, axis=[1, 2, 3])


def squaring_critic(images, conditioning=None):
    """Score with the sum of squares: the gradient is 2 * image, so it tells the point."""
    return tf.reduce_sum(tf.square(images), axis=[1, 2, 3])


def evaluate(critic, function):
    draw = np.random.default_rng(8)
    real, fake = draw.uniform(-1, 1, (2, 4, 2, 2, 1)).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with tf.compat.v1.variable_scope("Discriminator") as scope:
            critic(tf.constant(real))
        model = model_of(None, None, critic, scope, tf.constant(real), tf.constant(fake))
        tensors = function(model)
        session.run(tf.compat.v1.global_variables_initializer())
        return session.run(tensors), real, fake


def test_the_slope_of_a_linear_critic_is_the_length_of_its_weights():
    found, _, _ = evaluate(linear_critic, lambda model: squared_slope_error(model, model.real_data))
    assert found == pytest.approx((6.0 - 1.0) ** 2, rel=1e-6)


@pytest.mark.parametrize("penalty", ["interpolated", "perturbed"])
def test_a_penalty_of_a_linear_critic_is_its_weight_times_the_error(penalty):
    found, _, _ = evaluate(
        linear_critic, lambda model: critic_penalty(penalty, 10.0, 1)(model, tf.constant(7), 0)
    )
    assert found == pytest.approx(10 * 25, rel=1e-6)


def uniform(name, shape):
    return tf.random.stateless_uniform(
        shape, seed=stream_key(5, f"penalty/{name}", 7, 1), alg="philox"
    ).numpy()


@pytest.mark.parametrize("penalty", ["interpolated", "perturbed"])
def test_the_penalty_is_taken_at_points_drawn_by_seed_step_and_update(penalty):
    share = uniform("share", [4, 1, 1, 1])
    noise = uniform("noise", [4, 2, 2, 1])
    found, real, fake = evaluate(
        squaring_critic, lambda model: critic_penalty(penalty, 2.0, 5)(model, tf.constant(7), 1)
    )
    points = share * real + (1 - share) * fake
    if penalty == "perturbed":
        points = real + share * 0.5 * real.std() * noise
    slopes = np.sqrt(((2 * points) ** 2).sum(axis=(1, 2, 3)))
    assert found == pytest.approx(2 * np.mean((slopes - 1) ** 2), rel=1e-5)


def test_no_two_updates_share_their_noise():
    def penalties(model):
        penalty = critic_penalty("interpolated", 1.0, 5)
        other = critic_penalty("interpolated", 1.0, 6)
        step = tf.constant(7)
        return [
            penalty(model, step, 0),
            penalty(model, step, 0),
            penalty(model, step, 1),
            penalty(model, step + 1, 0),
            other(model, step, 0),
        ]

    found, _, _ = evaluate(squaring_critic, penalties)
    assert found[0] == found[1]
    assert len(set(map(float, found))) == 4


def test_a_flat_critic_has_a_finite_penalty_gradient():
    def gradient(model):
        flat = SimpleNamespace(**{**model._asdict(), "discriminator_fn": flat_critic})
        loss = squared_slope_error(flat, model.real_data)
        return [loss, *tf.gradients(loss, tf.compat.v1.global_variables())]

    def flat_critic(images, conditioning=None):
        return 0.0 * linear_critic(images)

    found, _, _ = evaluate(linear_critic, gradient)
    assert np.all(np.isfinite(found))
    assert found[0] == pytest.approx(1.0, abs=1e-5)
