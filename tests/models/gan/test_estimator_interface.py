"""What an Estimator offers beyond training, with one conditional GAN that all tests share."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn import input_fn
from reproducible_ml.input_fn.split import count_classes
from reproducible_ml.models import GANSettings, draw_samples, make_gan_estimator
from reproducible_ml.models.exact.hooks import StepHook
from reproducible_ml.models.gan.grids import class_rows
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.models.labelled import CLASSES, write_labelled_records

SHAPE = (10, 10, 1)
SETTINGS = GANSettings("cgan", batch_size=4, noise_dims=6, critic_steps=2, seed=3)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_labelled_records(tmp_path_factory.mktemp("data") / "labelled")


def steps_of(records, critic_steps=2, **named):
    return input_fn(
        records, batch_size=4, noise_dims=6, seed=3, critic_steps=critic_steps,
        label_key="label", **named,
    )  # fmt: skip


def plain_batches(records, split="eval"):
    return steps_of(records, critic_steps=None, split=split, repeat=False)


def estimator_in(folder):
    return make_gan_estimator(folder, SETTINGS, SHAPE, CLASSES)


class Steps(StepHook):
    """A hook as a user writes one."""

    def __init__(self):
        self.seen = []

    def after_step(self, outcome, session):
        self.seen.append((int(outcome.step), float(outcome.losses["critic_loss"])))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, records):
    """An estimator after two steps, and the hook that watched them."""
    estimator, hook = estimator_in(tmp_path_factory.mktemp("trained")), Steps()
    estimator.train(steps_of(records), max_steps=2, hooks=[hook])
    return estimator, hook


def inputs(count=6):
    latents = np.random.default_rng(1).standard_normal((count, 6)).astype(np.float32)
    return latents, np.arange(count) % CLASSES


def test_a_users_hook_sees_each_step_once(trained):
    _, hook = trained
    assert [step for step, _ in hook.seen] == [1, 2]
    assert np.all(np.isfinite([loss for _, loss in hook.seen]))


def test_an_input_fn_may_be_called_within_another(records, tmp_path):
    estimator = estimator_in(tmp_path)
    estimator.train(lambda: steps_of(records)(), max_steps=1)
    assert estimator.get_variable_value("global_step") == 1


def test_evaluate_refuses_batches_that_are_grouped_into_steps(trained, records):
    estimator, _ = trained
    with pytest.raises(ConfigError, match=r"evaluate takes plain batches.*critic_steps=2"):
        estimator.evaluate(steps_of(records))


def test_evaluate_gives_both_losses_on_real_labelled_batches(trained, records):
    estimator, _ = trained
    scores = estimator.evaluate(plain_batches(records))
    assert scores["global_step"] == 2
    assert np.isfinite(scores["generator_loss"])
    assert np.isfinite(scores["discriminator_loss"])


def test_predict_draws_the_class_asked_for(trained):
    estimator, _ = trained
    latents, labels = inputs()
    images = draw_samples(estimator, latents, labels)
    assert images.shape == (6, *SHAPE)
    again = draw_samples(estimator, latents[::-1], labels[::-1])
    np.testing.assert_allclose(again[::-1], images, atol=1e-5)
    others = draw_samples(estimator, latents, (labels + 1) % CLASSES)
    assert np.abs(others - images).max() > 1e-3


def test_train_and_evaluate_does_both(tmp_path, records):
    estimator = estimator_in(tmp_path)
    scores, _ = tf.estimator.train_and_evaluate(
        estimator,
        tf.estimator.TrainSpec(steps_of(records), max_steps=2),
        tf.estimator.EvalSpec(plain_batches(records), steps=1, start_delay_secs=0),
    )
    assert scores["global_step"] == 2


def test_a_warm_start_begins_with_the_other_runs_weights(tmp_path, trained, records):
    estimator, _ = trained
    warm = make_gan_estimator(
        tmp_path, SETTINGS, SHAPE, CLASSES, warm_start_from=estimator.model_dir
    )

    class First(StepHook):
        def begin(self):
            super().begin()
            self.variables = {v.op.name: v.read_value() for v in tf.compat.v1.global_variables()}

        def after_create_session(self, session, coord):
            self.values = session.run(self.variables)

        def after_step(self, outcome, session):
            pass

    first = First()
    warm.train(steps_of(records), max_steps=1, hooks=[first])
    name = "Generator/fully_connected/weights"
    np.testing.assert_array_equal(first.values[name], estimator.get_variable_value(name))
    assert first.values["global_step"] == 0


def test_the_exported_model_draws_what_the_estimator_draws(tmp_path, trained):
    estimator, _ = trained

    def receiver():
        features = {
            "latents": tf.compat.v1.placeholder(tf.float32, [None, 6]),
            "labels": tf.compat.v1.placeholder(tf.int32, [None]),
        }
        return tf.estimator.export.ServingInputReceiver(features, features)

    folder = estimator.export_saved_model(str(tmp_path), receiver)
    latents, labels = inputs()
    draw = tf.saved_model.load(folder.decode()).signatures["serving_default"]
    (found,) = draw(latents=tf.constant(latents), labels=tf.constant(labels, tf.int32)).values()
    np.testing.assert_allclose(found, draw_samples(estimator, latents, labels), atol=1e-5)


def test_the_grid_has_a_row_for_each_class_with_equal_latents():
    latents, _ = inputs(4)
    rows = class_rows(latents, CLASSES)
    assert rows["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(rows["latents"][4:8], latents)
    assert len(class_rows(latents, 1000)["labels"]) == 16 * 4


def test_classes_are_counted_in_the_train_split(records):
    assert count_classes(records, "label", "cgan") == CLASSES


def test_a_label_that_is_missing_is_named(records):
    with pytest.raises(DataError, match="no feature 'digit'; its features are image, label"):
        count_classes(records, "digit", "cgan")
