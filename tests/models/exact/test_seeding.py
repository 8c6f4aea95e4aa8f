"""Initial weights depend on the seed and the variable's name, and on nothing else."""

import numpy as np
import tensorflow as tf

from reproducible_ml.models import critic_fn, generator_fn
from reproducible_ml.models.exact.seeding import GlorotUniform, seeded_variables

STATEFUL_RANDOM_OPS = {
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "TruncatedNormal",
    "RandomShuffle",
    "Multinomial",
}


def initial_weights(seed, operations_before=0):
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        for _ in range(operations_before):
            tf.constant(1)
        with tf.compat.v1.variable_scope("Generator"):
            images = generator_fn("wgan", (10, 10, 1), seed)(tf.zeros([2, 5]))
        with tf.compat.v1.variable_scope("Discriminator"):
            critic_fn("wgan", (10, 10, 1), seed)(images)
        session.run(tf.compat.v1.global_variables_initializer())
        stateful = {op.type for op in graph.get_operations()} & STATEFUL_RANDOM_OPS
        values = {v.op.name: session.run(v) for v in tf.compat.v1.trainable_variables()}
        return values, stateful


def test_operations_elsewhere_in_the_graph_change_no_weight():
    plain, _ = initial_weights(1)
    crowded, _ = initial_weights(1, operations_before=17)
    for name, value in plain.items():
        np.testing.assert_array_equal(value, crowded[name])


def test_another_seed_gives_other_weights():
    one, _ = initial_weights(1)
    two, _ = initial_weights(2)
    assert not np.array_equal(one["Discriminator/Conv/weights"], two["Discriminator/Conv/weights"])


def test_the_networks_hold_no_stateful_random_operation():
    _, stateful = initial_weights(1)
    assert not stateful


def test_variables_of_equal_shape_start_differently_and_within_glorots_bound():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session, seeded_variables():
        initializer = GlorotUniform(7)
        one = tf.compat.v1.get_variable("one", [3, 3, 8, 16], initializer=initializer)
        two = tf.compat.v1.get_variable("two", [3, 3, 8, 16], initializer=initializer)
        session.run(tf.compat.v1.global_variables_initializer())
        one, two = session.run([one, two])
    bound = (6 / (9 * (8 + 16))) ** 0.5
    assert np.abs(one).max() <= bound
    assert np.abs(one).max() > 0.95 * bound
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1


def test_the_weights_stream_is_golden():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session, seeded_variables():
        weights = tf.compat.v1.get_variable("w", [2, 2], initializer=GlorotUniform(1))
        session.run(tf.compat.v1.global_variables_initializer())
        found = session.run(weights)
    expected = [
        ["-0x1.8c5cf80000000p-1", "-0x1.15538e0000000p-1"],
        ["-0x1.37f4b20000000p+0", "0x1.aa73000000000p-2"],
    ]
    assert [[float(v).hex() for v in row] for row in found] == expected
