"""Any Estimator in one process: calls of train, what is consumed, what is refused."""

import json

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import serialize_npz
from reproducible_ml.input_fn import input_fn, supervised_input_fn
from reproducible_ml.models.exact import TrainingDiverged, publish_losses, read_steps
from reproducible_ml.models.exact.any_estimator import ExactTraining, Watched
from reproducible_ml.models.exact.any_estimator.counted_data import CountedData
from reproducible_ml.utils.errors import ConfigError, DataError

POINTS = np.arange(40, dtype=np.float32).reshape(20, 2) / 40


def data():
    return tf.data.Dataset.from_tensor_slices(POINTS).shuffle(20, seed=2).repeat().batch(4)


def model(features, labels, mode, params):
    weights = tf.compat.v1.get_variable("weights", [2], use_resource=True)
    loss = tf.reduce_mean((tf.linalg.matvec(features, weights) - 1) ** 2)
    if params["named"]:
        publish_losses({"square": loss, "size": tf.reduce_sum(weights**2)})
    step = tf.compat.v1.train.get_global_step()
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)
    train_op = optimizer.minimize(loss, global_step=step)
    if params["twice"]:
        with tf.control_dependencies([train_op]):
            train_op = step.assign_add(1)
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def training(folder, points=None, named=False, twice=False, **watched):
    config = tf.estimator.RunConfig(save_checkpoints_steps=5)
    params = {"named": named, "twice": twice}
    estimator = tf.estimator.Estimator(model, str(folder), config, params)
    identity = {"settings": {"rate": 0.1}, "data": {}, "code": {"model": "0"}}
    write = (lambda *point: points.append(point)) if points is not None else lambda *point: None
    values = {"seed": 1, "identity": lambda manifest: identity, "write": write, **watched}
    return ExactTraining(estimator, Watched(**values))


def test_calls_with_steps_that_were_interrupted_do_what_they_lack(tmp_path):
    whole = training(tmp_path / "whole")
    whole.train(data, steps=7)
    expected = whole.train(data, steps=6)
    assert expected.step == 13
    # A process that ended within the second call, which had written no checkpoint yet.
    broken = training(tmp_path / "broken")
    broken.train(data, steps=7)

    class Ends(tf.estimator.SessionRunHook):
        def after_run(self, run_context, run_values):
            if len(read_steps(tmp_path / "broken")) == 11:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        broken.train(data, hooks=[Ends()], steps=6)
    again = training(tmp_path / "broken")
    assert again.train(data, steps=7).step == 7
    found = again.train(data, steps=6)
    assert found.resumed_from == 7
    assert (found.step, found.digests) == (13, expected.digests)


def test_earlier_calls_with_max_steps_are_passed_over_and_a_lower_last_one_is_refused(tmp_path):
    first = training(tmp_path)
    first.train(data, max_steps=4)
    first.train(data, max_steps=9)
    again = training(tmp_path)
    assert again.train(data, max_steps=4).step == 9
    assert again.train(data, max_steps=9).step == 9
    assert again.train(data, max_steps=11).step == 11
    lower = training(tmp_path)
    for steps in (4, 9):
        lower.train(data, max_steps=steps)
    with pytest.raises(ConfigError, match="already at step 11, beyond max_steps=10"):
        lower.train(data, max_steps=10)


def test_each_step_logs_the_losses_that_the_model_names(tmp_path):
    points = []
    end = training(tmp_path, points, named=True, log_every_steps=2).train(data, max_steps=4)
    assert set(end.losses) == {"square", "size"}
    assert read_steps(tmp_path).dtype.names == ("step", "square", "size")
    assert [(name, step) for name, _, step in points if name in end.losses] == [
        ("square", 2), ("size", 2), ("square", 4), ("size", 4)
    ]  # fmt: skip


def test_each_point_is_written_once_however_many_calls_a_training_takes(tmp_path):
    points, again = [], []
    parts = training(tmp_path, points, log_every_steps=2)
    parts.train(data, max_steps=3, final_step=5)
    parts.train(data, max_steps=5, final_step=5)
    losses = [(value, step) for name, value, step in points if name == "loss"]
    assert [step for _, step in losses] == [2, 4, 5]
    # Another process finds nothing to do, and writes the same.
    training(tmp_path, again, log_every_steps=2).train(data, max_steps=5)
    assert [(value, step) for _, value, step in again] == losses


def test_data_of_tensors_can_not_be_resumed(tmp_path, capsys):
    def tensors():
        return tf.constant(POINTS[:4])

    training(tmp_path).train(tensors, max_steps=5)
    assert "can't be resumed" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="nothing tells how much data its training has read"):
        training(tmp_path).train(tensors, max_steps=8)


def test_a_model_dir_that_was_not_recorded_is_refused(tmp_path):
    training(tmp_path)._estimator.train(data, max_steps=3)
    with pytest.raises(ConfigError, match=f"checkpoint of step 3.*warm_start_from='{tmp_path}'"):
        training(tmp_path).train(data, max_steps=5)


def test_a_step_that_counts_two_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="global_step went from 0 to 2 in one step"):
        training(tmp_path, twice=True).train(data, max_steps=5)


def test_data_without_an_element_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="made no step"):
        training(tmp_path).train(lambda: data().take(0), max_steps=5)


def test_a_damaged_count_of_elements_is_refused(tmp_path):
    training(tmp_path).train(data, max_steps=5)
    assert json.loads((tmp_path / "elements.json").read_text()) == {"0": 0, "5": 5}
    (tmp_path / "elements.json").write_text("[")
    with pytest.raises(DataError, match=r"elements\.json does not give the elements"):
        training(tmp_path).train(data, max_steps=8)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.map(lambda noise, images: (noise * 2, images)).prefetch(2),
        lambda data: data.unbatch().batch(6),
        lambda data: data.enumerate().map(lambda number, element: element),
        lambda data: data.filter(lambda noise, images: images[0, 0, 0, 0] > -0.2),
    ],
)
def test_data_goes_on_behind_what_was_consumed_however_it_is_changed(change, tmp_path):
    images = np.linspace(0, 255, 12 * 4).astype(np.uint8).reshape(12, 2, 2, 1)
    np.savez(tmp_path / "images.npz", image=images)
    serialize_npz(str(tmp_path / "images.npz"), "image", str(tmp_path / "data"))
    read = input_fn(str(tmp_path / "data"), batch_size=4, noise_dims=2)

    def elements(start, count):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            data = CountedData(lambda: change(read()), start)
            session.run(tf.compat.v1.local_variables_initializer())
            for hook in data.hooks:
                hook.begin()
                hook.after_create_session(session, None)
            found = [session.run([data.number, data.features, data.labels]) for _ in range(count)]
            return found, session.run(data.counter)

    whole, _ = elements(0, 7)
    rest, consumed = elements(4, 3)
    assert consumed == 7
    for expected, found in zip(whole[4:], rest):
        for one, other in zip(expected, found):
            np.testing.assert_array_equal(one, other)


def test_a_loss_that_the_data_spoil_names_record_and_feature_and_no_learning_rate(tmp_path):
    points = POINTS.copy()
    points[13, 1] = np.nan
    np.savez(tmp_path / "points.npz", points=points)
    serialize_npz(tmp_path / "points.npz", "points", tmp_path / "data", samples_per_record=8)

    def gaps():
        read = supervised_input_fn(tmp_path / "data", ["points"], batch_size=4, shuffle=False)
        return read().map(lambda features: features["points"])

    with pytest.raises(TrainingDiverged) as caught:
        training(tmp_path / "model").train(gaps, max_steps=9)
    text = str(caught.value)
    # Row 13 is in the fourth batch.
    assert "is nan at step 4" in text
    assert "feature 'points': train-00001.tfrecord, record 5: found NaN" in text
    assert "learning rate" not in text
