"""Latents are a pure function of seed, step, worker and sub-step."""

import itertools

import numpy as np
import tensorflow as tf

from reproducible_ml.input_fn import latents
from reproducible_ml.input_fn.noise import stream_key


def test_latents_are_standard_normal():
    drawn = latents(0, 0, 0, 2000, 50).numpy()
    assert drawn.dtype == np.float32
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02


def test_latents_are_what_they_were():
    # The bits drawn are the same everywhere; the logarithm made of them may differ in its last one.
    golden = [0.10470485, -0.62897915, 0.06221347, 0.33844563]
    np.testing.assert_allclose(latents(0, 3, 1, 1, 4).numpy()[0], golden, rtol=1e-5)


def test_every_step_substep_worker_and_seed_has_its_own_latents():
    grid = itertools.product((0, 1), (0, 1, 10_000_000), (0, 1, 5), (0, 1))
    drawn = {latents(seed, s, j, 2, 3, worker=w).numpy().tobytes() for seed, s, j, w in grid}
    assert len(drawn) == 2 * 3 * 3 * 2


def test_a_step_in_a_graph_gives_the_same_latents():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        in_graph = session.run(latents(5, tf.constant(9, tf.int64), 2, 3, 4))
    assert np.array_equal(in_graph, latents(5, 9, 2, 3, 4).numpy())


def test_keys_of_different_draws_never_meet():
    draws = itertools.product((0, 1, 2**38), (0, 4095), (0, 4095))
    keys = {tuple(stream_key(0, "latents", s, j, w).numpy()) for s, j, w in draws}
    assert len(keys) == 3 * 2 * 2
