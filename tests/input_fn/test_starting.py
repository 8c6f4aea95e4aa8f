"""Datasets that start at the number of elements consumed, not at the global step."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn import input_fn, starting_at
from reproducible_ml.utils.errors import ConfigError
from tests.input_fn.by_hand import write_by_hand

READERS = ["memory", "memmap", "stream"]


@pytest.fixture(scope="module")
def record_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    write_by_hand(folder, {"train": 50}, per_shard=20)
    return folder


def taken(fn, count=None, context=None):
    """Take the images of elements in a graph whose global step is 1000."""
    with tf.Graph().as_default():
        step = tf.compat.v1.train.create_global_step()
        dataset = fn(context)
        iterator = tf.compat.v1.data.make_initializable_iterator(dataset)
        images = iterator.get_next()[1]
        with tf.compat.v1.Session() as session:
            session.run(step.initializer)
            session.run(step.assign(1000))
            session.run(iterator.initializer)
            found = []
            while count is None or len(found) < count:
                try:
                    found.append(session.run(images))
                except tf.errors.OutOfRangeError:
                    break
            return found


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("reader", READERS)
def test_a_dataset_starts_at_the_element_and_not_at_the_step(record_dir, reader):
    fn = input_fn(record_dir, batch_size=8, critic_steps=2, reader=reader)
    straight = [images.numpy() for _, images in fn().take(9)]  # from element 0, step 0
    for start in (0, 5):
        with starting_at(start) as place:
            assert not place.taken
            assert_equal(taken(fn, 4), straight[start : start + 4])
        assert place.taken
    with starting_at(3):
        assert_equal([images.numpy() for _, images in fn().take(2)], straight[3:5])
    # Outside it is the global step as before.
    with starting_at(1000):
        expected = taken(fn, 1)
    assert_equal(taken(fn, 1), expected)


@pytest.mark.parametrize("reader", READERS)
def test_a_single_pass_continues_after_what_was_consumed(record_dir, reader):
    fn = input_fn(record_dir, batch_size=8, repeat=False, reader=reader)
    whole = [images.numpy() for _, images in fn()]
    assert [len(images) for images in whole] == [8] * 6 + [2]
    for start in (1, 5, 6, 7, 30):
        with starting_at(start) as place:
            assert_equal(taken(fn), whole[start:])
        assert place.taken


@pytest.mark.parametrize("reader", READERS)
def test_each_replica_of_a_pipeline_has_consumed_as_many(record_dir, reader):
    fn = input_fn(record_dir, batch_size=4, repeat=False, reader=reader)
    context = tf.distribute.InputContext(1, 0, num_replicas_in_sync=2)
    whole = [images.numpy() for _, images in fn(context)]
    for start in (2, 6):
        with starting_at(start):
            assert_equal(taken(fn, context=context), whole[2 * start :])


def test_a_tensor_is_read_when_the_iterator_starts(record_dir):
    fn = input_fn(record_dir, batch_size=8)
    straight = [images.numpy() for _, images in fn().take(6)]
    with tf.Graph().as_default():
        consumed = tf.compat.v1.get_variable("consumed", (), tf.int64, use_resource=True)
        with starting_at(consumed) as place:
            iterator = tf.compat.v1.data.make_initializable_iterator(fn())
        assert place.taken
        images = iterator.get_next()[1]
        with tf.compat.v1.Session() as session:
            for start in (4, 1):
                session.run(consumed.assign(start))
                session.run(iterator.initializer)
                assert_equal([session.run(images) for _ in range(2)], straight[start : start + 2])


def test_a_place_is_not_taken_by_another_dataset_nor_by_opening_one(record_dir):
    with starting_at(2) as place:
        tf.data.Dataset.range(3)
        input_fn(record_dir, batch_size=8, repeat=False)
    assert not place.taken


@pytest.mark.parametrize("element", [-1, True, "3", 1.5, tf.constant([1, 2]), tf.constant(1.0)])
def test_a_place_that_is_no_number_of_elements_is_refused(element):
    with pytest.raises(ConfigError, match="expected an integer >= 0"), starting_at(element):
        pass
