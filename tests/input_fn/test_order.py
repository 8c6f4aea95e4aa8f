"""The data order is a permutation per epoch, computed from seed, epoch and position alone."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn.order import ROUNDS, record_indices
from reproducible_ml.utils.errors import ConfigError
from tests.input_fn import simon


def order(positions, records, seed=0, shuffle=True):
    return record_indices(np.asarray(positions, np.int64), records, seed, shuffle).numpy()


def test_tensorflow_permutes_as_it_did_when_the_order_was_fixed():
    drawn = tf.raw_ops.RandomIndexShuffle(
        index=tf.range(10, dtype=tf.int64), seed=[5, 1, 77], max_index=59_999, rounds=ROUNDS
    )
    golden = [13997, 14259, 30567, 51010, 42960, 12246, 35306, 40472, 8037, 29872]
    assert drawn.numpy().tolist() == golden
    assert golden == [simon.permuted(i, (5, 1, 77), 59_999) for i in range(10)]


@pytest.mark.parametrize("records", [1, 2, 3, 257, 1000, 60_000, 65_536, 65_537, 262_145])
def test_an_epoch_reads_every_record_once(records):
    epoch = order(np.arange(records) + 7 * records, records)
    assert np.array_equal(np.sort(epoch), np.arange(records))


def test_the_order_is_the_formula_at_any_position():
    positions = [0, 1, 59_999, 60_000, 256 * 60_000 + 5, 10_000_000 * 320, 2**40 + 12_345]
    expected = [simon.record_at(position, 60_000, seed=7) for position in positions]
    assert order(positions, 60_000, seed=7).tolist() == expected


def test_the_graph_computes_what_eager_execution_does():
    positions = np.arange(65_500, 65_600, dtype=np.int64)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        in_graph = session.run(record_indices(positions, 65_537, 3))
    assert np.array_equal(in_graph, order(positions, 65_537, 3))


def test_epochs_and_seeds_do_not_resemble_one_another():
    records = 10_000
    one = order(np.arange(records), records)
    for other in (
        order(np.arange(records) + records, records),
        order(np.arange(records) + 256 * records, records),
        order(np.arange(records) + 65_536 * records, records),
        order(np.arange(records), records, seed=1),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.05


def test_without_shuffling_records_keep_their_order():
    assert order([0, 1, 9, 10, 25], 10, shuffle=False).tolist() == [0, 1, 9, 0, 5]


def test_an_order_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least 1 record"):
        record_indices([0], 0, 0)
