"""Child seeds: documented hash, independent streams, pinned values."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn import input_fn, supervised_input_fn
from reproducible_ml.models import GANSettings, critic_fn
from reproducible_ml.models.evaluation import ClassifierSettings
from reproducible_ml.tracking import experiment
from reproducible_ml.utils.seeds import STREAMS, child_seed, seed_pair
from tests.models.labelled import write_labelled_records


@pytest.mark.parametrize("root", [0, 1, 2**40, -3])
@pytest.mark.parametrize("name", [*STREAMS, "weights/Generator/fc/w"])
def test_a_child_seed_is_the_documented_hash(root, name):
    first_bytes = hashlib.sha256(f"{root}/{name}".encode()).digest()[:8]
    first, second = (int.from_bytes(first_bytes[at : at + 4], "little") % 2**31 for at in (0, 4))
    assert child_seed(root, name) == first
    assert seed_pair(root, name) == (first, second)


def test_no_two_streams_share_a_seed():
    seeds = {child_seed(root, name) for root in range(100) for name in STREAMS}
    assert len(seeds) == 100 * len(STREAMS)


def test_the_first_seeds_are_golden():
    # A changed hash changes every recorded run: these numbers never change.
    assert [child_seed(1, name) for name in STREAMS] == [
        266360463,
        1580750733,
        710228241,
        807360432,
        827427378,
        655025362,
        1629721006,
    ]


def first_weights(critic):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        critic(tf.zeros([1, 10, 10, 1]), None)
        session.run(tf.compat.v1.global_variables_initializer())
        variables = tf.compat.v1.trainable_variables()
        return {one.name: value for one, value in zip(variables, session.run(variables))}


def test_what_is_given_no_seed_takes_that_of_the_running_experiment(tmp_path):
    records = write_labelled_records(tmp_path / "labelled")

    def seeds():
        made = [
            input_fn(records),
            supervised_input_fn(records, ["image"], "label"),
            GANSettings(),
            ClassifierSettings(),
            input_fn(records, seed=5),
        ]
        return [one.seed for one in made]

    def ran(seed, **options):
        ex = experiment("seeded", **options)
        ex.main(lambda: found.append((seeds(), first_weights(critic_fn("wgan", (10, 10, 1))))))
        ex.run(config_updates={"seed": seed}, options={"--file_storage": str(tmp_path / "runs")})

    found = []
    ran(1)
    ran(2)
    ran(3, autolog=False)
    assert [one for one, _ in found] == [[1, 1, 1, 1, 5], [2, 2, 2, 2, 5], [0, 0, 0, 0, 5]]
    assert seeds() == [0, 0, 0, 0, 5]
    for seed, (_, weights) in zip((1, 2, 0), found):
        expected = first_weights(critic_fn("wgan", (10, 10, 1), seed=seed))
        assert expected.keys() == weights.keys()
        assert all(np.array_equal(weights[name], value) for name, value in expected.items())
    first, second = (weights for _, weights in found[:2])
    assert any((first[name] != second[name]).any() for name in first)
