"""The first values of every random stream: whoever changes one changes every recorded run."""

import numpy as np
import tensorflow as tf

from reproducible_ml.input_fn.augment import augment_images
from reproducible_ml.input_fn.noise import latents
from reproducible_ml.input_fn.order import record_indices
from reproducible_ml.models.exact.seeding import GlorotUniform
from reproducible_ml.models.gan.grids import grid_latents
from reproducible_ml.models.gan.penalties import penalty_noise
from reproducible_ml.models.gan.sampling import latents_of_batch

SEED = 1
# The last bit of a logarithm is the C library's; everything else is integer arithmetic.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


def test_the_order_of_two_epochs_is_golden():
    positions = tf.constant([0, 1, 2, 3, 60_000, 60_001, 60_002], tf.int64)
    indices = record_indices(positions, 60_000, SEED).numpy().tolist()
    assert indices == [24471, 37270, 11001, 785, 41788, 34945, 43901]


def test_the_latents_of_a_critic_update_are_golden():
    expected = [[-1.1194481, -0.33169696, 1.1774305], [-1.0436662, 1.449454, 0.0021257530]]
    np.testing.assert_allclose(latents(SEED, 5, 2, 2, 3), expected, **CLOSE)


def test_the_latents_of_the_grids_are_golden():
    expected = [[-0.7615686, -1.8510447, 0.5320788], [-0.538304, -0.01671108, -1.2325094]]
    np.testing.assert_allclose(grid_latents(SEED, 2, 3), expected, **CLOSE)


def test_the_weights_of_a_variable_are_golden():
    drawn = GlorotUniform(SEED, "Generator/Conv/weights")([2, 3])
    expected = [[-0.16768652, -0.61970776, -0.4364758], [0.72050023, 0.40564656, -0.7933222]]
    np.testing.assert_allclose(drawn, expected, **CLOSE)


def test_the_flips_of_the_first_images_are_golden():
    images = tf.reshape(tf.range(16, dtype=tf.float32), [8, 1, 2, 1])
    changed = augment_images(images, tf.range(8, dtype=tf.int64), SEED, ["flip"])
    assert tf.squeeze(changed).numpy()[:, 0].tolist() == [0, 3, 4, 6, 8, 10, 13, 15]


def test_the_noise_of_the_penalties_is_golden():
    share, noise = (penalty_noise(SEED, name, [3], 5, 2) for name in ("share", "noise"))
    np.testing.assert_array_equal(share, np.float32([0.9557564, 0.5515847, 0.5325985]))
    np.testing.assert_array_equal(noise, np.float32([0.59194934, 0.64185226, 0.72132766]))


def test_the_latents_that_are_judged_are_golden():
    drawn = latents_of_batch(SEED, 1, 3)
    expected = [[0.92762715, -0.33431372, 0.0116616385], [0.7327154, -0.2513977, -1.4291397]]
    assert drawn.shape == (250, 3)
    np.testing.assert_allclose(drawn[:2], expected, **CLOSE)
