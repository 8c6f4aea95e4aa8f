"""The fused step against TF-GAN's own sequential hooks, and the order of its updates."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models import GAN_TYPES, GANEstimator, critic_fn, generator_fn, tfgan
from reproducible_ml.utils.errors import ConfigError

BATCH, NOISE_DIMS = 4, 6
SHAPE = (10, 10, 1)
ROW = GAN_TYPES["wgan"]


def batches(count):
    draw = np.random.default_rng(5)
    latents = draw.standard_normal((count, BATCH, NOISE_DIMS)).astype(np.float32)
    real = draw.uniform(-1, 1, (count, BATCH, *SHAPE)).astype(np.float32)
    return latents, real


def plain_input_fn(count):
    return lambda: tf.data.Dataset.from_tensor_slices(batches(count))


def optimizers(rate=1e-3):
    return {
        "generator_optimizer": tf.compat.v1.train.RMSPropOptimizer(rate),
        "discriminator_optimizer": tf.compat.v1.train.RMSPropOptimizer(rate),
    }


def networks(gan_type="wgan"):
    row = GAN_TYPES[gan_type]
    return {
        "generator_fn": generator_fn(gan_type, SHAPE, seed=3),
        "discriminator_fn": critic_fn(gan_type, SHAPE, seed=3),
        "generator_loss_fn": row.generator_loss_fn,
        "discriminator_loss_fn": row.critic_loss_fn,
    }


def variables(estimator):
    return {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}


def fused(model_dir, critic_steps=1, **arguments):
    return GANEstimator(
        str(model_dir), critic_steps=critic_steps, **networks(), **optimizers(), **arguments
    )


def adam(rate=1e-3):
    return {
        "generator_optimizer": tf.compat.v1.train.AdamOptimizer(rate, 0.5),
        "discriminator_optimizer": tf.compat.v1.train.AdamOptimizer(rate, 0.5),
    }


# lsgan's critic has batch norm, nsgan trains through sigmoids.
@pytest.mark.parametrize(
    ("gan_type", "make_optimizers", "critic_steps"),
    [("wgan", optimizers, 1), ("wgan", optimizers, 5), ("lsgan", adam, 1), ("nsgan", adam, 3)],
)
def test_a_fused_step_is_a_step_of_the_stock_estimator_on_the_same_batches(
    tmp_path, gan_type, make_optimizers, critic_steps
):
    # The stock estimator pulls one more batch a step, only to log a loss; it is left out of ours.
    steps, pulls = 3, critic_steps + 2
    latents, real = batches(steps * pulls)
    used = [index for index in range(steps * pulls) if index % pulls != pulls - 1]

    stock = tfgan.estimator.GANEstimator(
        str(tmp_path / "stock"),
        **networks(gan_type),
        **make_optimizers(),
        get_hooks_fn=tfgan.get_sequential_train_hooks(
            tfgan.GANTrainSteps(generator_train_steps=1, discriminator_train_steps=critic_steps)
        ),
    )
    stock.train(lambda: tf.data.Dataset.from_tensor_slices((latents, real)), max_steps=steps)
    ours = GANEstimator(
        str(tmp_path / "fused"),
        critic_steps=critic_steps,
        **networks(gan_type),
        **make_optimizers(),
    )
    ours.train(
        lambda: tf.data.Dataset.from_tensor_slices((latents[used], real[used])), max_steps=steps
    )

    # Adam's powers of the step number lie in name scopes of TF-GAN's own.
    expected, found = (
        {name: value for name, value in variables(one).items() if "_power" not in name}
        for one in (stock, ours)
    )
    assert set(found) == set(expected)
    for name, value in expected.items():
        # The graphs differ, so sums may be taken in another order: a few units in the last place,
        # which both optimizers divide by the root of a small square.
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=2e-6, err_msg=name)


def test_critic_weights_stay_inside_the_clip_and_generator_weights_do_not(tmp_path):
    estimator = fused(tmp_path, critic_weight_clip=0.01)
    estimator.train(plain_input_fn(6), max_steps=3)
    values = variables(estimator)
    critic = [v for n, v in values.items() if n.startswith("Disc") and "RMSProp" not in n]
    assert max(np.abs(value).max() for value in critic) == pytest.approx(0.01, rel=1e-5)
    assert np.abs(values["Generator/fully_connected/weights"]).max() > 0.05


def test_moving_averages_move_once_a_step(tmp_path):
    estimator = fused(tmp_path, critic_steps=2)
    estimator.train(plain_input_fn(3), max_steps=1)
    latents, _ = batches(3)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with tf.compat.v1.variable_scope("Generator"):
            generator_fn("wgan", SHAPE, seed=3)(tf.constant(latents[0]))
        session.run(tf.compat.v1.global_variables_initializer())
        first = tf.compat.v1.trainable_variables()[0]
        assert first.op.name == "Generator/fully_connected/weights"
        weights_before = session.run(first)
    # Momentum 0.9 from a mean of 0: one update leaves a tenth of the generator batch's mean.
    expected = 0.1 * (latents[0] @ weights_before).mean(axis=0)
    found = estimator.get_variable_value("Generator/fully_connected/batch_norm/moving_mean")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_each_critic_update_sees_the_weights_of_the_one_before(tmp_path):
    # A critic that scores w * mean(x): gradient ascent with rate 1 is done by hand here.
    def critic(images, conditioning=None):
        weight = tf.compat.v1.get_variable("w", [], initializer=tf.zeros_initializer())
        return weight * tf.reduce_mean(images, axis=[1, 2, 3]) + 0 * weight**2

    def squared_loss(gan_model, **_):
        return tf.square(tf.reduce_mean(gan_model.discriminator_real_outputs) - 1.0)

    def generator(noise, mode=None):
        weight = tf.compat.v1.get_variable("g", [], initializer=tf.zeros_initializer())
        return tf.zeros([BATCH, *SHAPE]) + weight

    estimator = GANEstimator(
        str(tmp_path),
        generator,
        critic,
        ROW.generator_loss_fn,
        squared_loss,
        tf.compat.v1.train.GradientDescentOptimizer(0.0),
        tf.compat.v1.train.GradientDescentOptimizer(0.1),
        critic_steps=3,
    )
    estimator.train(plain_input_fn(4), max_steps=1)
    _, real = batches(4)
    expected = 0.0
    for mean in real[1:].mean(axis=(1, 2, 3, 4), dtype=np.float64):
        expected -= 0.1 * 2 * (expected * mean - 1) * mean
    assert estimator.get_variable_value("Discriminator/w") == pytest.approx(expected, rel=1e-5)


def test_evaluate_and_predict_work_as_in_the_stock_estimator(tmp_path):
    estimator = fused(tmp_path)
    estimator.train(plain_input_fn(4), max_steps=2)
    scores = estimator.evaluate(plain_input_fn(2), steps=2)
    assert {"generator_loss", "discriminator_loss", "global_step"} <= set(scores)
    latents, _ = batches(1)
    samples = np.stack(list(estimator.predict(lambda: tf.data.Dataset.from_tensors(latents[0]))))
    assert samples.shape == (BATCH, *SHAPE)
    assert np.abs(samples).max() <= 1.0


def test_the_generator_takes_inputs_of_any_structure(tmp_path):
    def generator(inputs, mode=None):
        noise, style = inputs
        weight = tf.compat.v1.get_variable(
            "w", [NOISE_DIMS, 100], initializer=tf.ones_initializer()
        )
        return tf.tanh(tf.reshape(noise @ weight, [-1, *SHAPE]) + style[:, :, None, None])

    latents, real = batches(4)
    estimator = GANEstimator(
        str(tmp_path), **{**networks(), "generator_fn": generator}, **optimizers()
    )
    inputs = (latents, latents[..., :1])
    estimator.train(lambda: tf.data.Dataset.from_tensor_slices((inputs, real)), max_steps=2)
    assert estimator.get_variable_value("global_step") == 2


def test_loss_summaries_are_written_unless_they_are_refused(tmp_path):
    def tags(folder):
        return {
            value.tag
            for file in folder.glob("events*")
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
        }

    fused(tmp_path / "with").train(plain_input_fn(2), max_steps=1)
    assert {"generator_loss", "critic_loss"} <= tags(tmp_path / "with")
    fused(tmp_path / "without", use_loss_summaries=False).train(plain_input_fn(2), max_steps=1)
    assert not {"generator_loss", "critic_loss"} & tags(tmp_path / "without")
    kinds = tfgan.estimator.SummaryType.VARIABLES
    fused(tmp_path / "more", add_summaries=kinds).train(plain_input_fn(2), max_steps=1)
    assert any("fully_connected/weights" in tag for tag in tags(tmp_path / "more"))


def test_data_that_end_before_the_first_step_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"ended before the first step, which takes 3 batches"):
        fused(tmp_path, critic_steps=2).train(plain_input_fn(2), max_steps=1)


def test_an_input_fn_that_returns_tensors_is_refused(tmp_path):
    latents, real = batches(1)
    with pytest.raises(ConfigError, match=r"returns a tf\.data\.Dataset, found a tuple"):
        fused(tmp_path).train(lambda: (tf.constant(latents[0]), tf.constant(real[0])), max_steps=1)


def test_critic_steps_below_one_is_refused():
    with pytest.raises(ConfigError, match="critic_steps must be 1 or more, found 0"):
        fused("unused", critic_steps=0)


def test_an_input_fn_of_other_critic_steps_is_refused(tmp_path):
    def input_fn():
        return plain_input_fn(4)()

    input_fn.critic_steps = 2
    with pytest.raises(ConfigError, match="critic_steps=2, the estimator has critic_steps=1"):
        fused(tmp_path).train(input_fn, max_steps=1)


def test_an_unknown_gan_type_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no gan_type 'wgon'.*wgan"):
        generator_fn("wgon")


@pytest.mark.parametrize("shape", [(28, 30, 1), (91, 91, 1), (28, 28)])
def test_image_sizes_that_the_networks_cannot_make_are_refused(shape):
    with pytest.raises(ConfigError, match="esize"):
        generator_fn("wgan", shape)
