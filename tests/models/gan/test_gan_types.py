"""Every GAN type trains: types x critic updates x compute type, and every image size."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models import (
    GAN_TYPES,
    Cadence,
    Determinism,
    GANSettings,
    make_gan_estimator,
    train_gan,
)
from reproducible_ml.models.evaluation import ClassifierSettings
from reproducible_ml.models.exact.seeding import GlorotUniform
from reproducible_ml.models.exact.step import published_outcome
from reproducible_ml.stages import fill_in_defaults
from reproducible_ml.utils.errors import ConfigError

BATCH, DIMS, CLASSES, SEED = 4, 6, 3, 2
TYPES = sorted(GAN_TYPES)
PRODUCT = [
    (gan_type, critic_steps, dtype)
    for gan_type in TYPES
    for critic_steps in (1, 2)
    for dtype in ("float32", "bfloat16")
]
# Each type once, and both numbers of updates and both compute types with half of the types.
DIAGONAL = [
    (gan_type, 1 + number % 2, ("float32", "bfloat16")[number // 2 % 2])
    for number, gan_type in enumerate(TYPES)
]
# With these, each type has had each number of critic steps and each dtype.
OPPOSITE = [
    one
    for one in PRODUCT
    for other in DIAGONAL
    if one[0] == other[0] and one[1] != other[1] and one[2] != other[2]
]


class Losses(tf.estimator.SessionRunHook):
    def begin(self):
        outcome = published_outcome()
        self.outcome = [outcome.step, *outcome.losses.values()]

    def before_run(self, run_context):
        return tf.estimator.SessionRunArgs(self.outcome)

    def after_run(self, run_context, run_values):
        self.values = [float(value) for value in run_values.results]


def elements(gan_type, shape, count):
    """Make plain batches: latents, or with labels, and images."""
    draw = np.random.default_rng(5)
    inputs = draw.standard_normal((count, BATCH, DIMS)).astype(np.float32)
    real = draw.uniform(-1, 1, (count, BATCH, *shape)).astype(np.float32)
    if GAN_TYPES[gan_type].conditional:
        labels = draw.integers(0, CLASSES, (count, BATCH)).astype(np.int32)
        inputs = {"latents": inputs, "labels": labels}
    return lambda: tf.data.Dataset.from_tensor_slices((inputs, real))


def train_one_step(model_dir, gan_type, critic_steps=1, dtype="float32", shape=(10, 10, 1)):
    settings = GANSettings(
        gan_type,
        critic_steps=critic_steps,
        batch_size=BATCH,
        noise_dims=DIMS,
        seed=SEED,
        compute_dtype=dtype,
    )
    classes = CLASSES if GAN_TYPES[gan_type].conditional else 0
    estimator = make_gan_estimator(model_dir, settings, shape, classes)
    losses = Losses()
    estimator.train(elements(gan_type, shape, 1 + critic_steps), max_steps=1, hooks=[losses])
    return estimator, losses.values


def assert_a_step_trains(model_dir, *arguments, **named):
    estimator, (step, *losses) = train_one_step(model_dir, *arguments, **named)
    assert step == 1
    assert np.all(np.isfinite(losses))
    names = [
        name
        for name in estimator.get_variable_names()
        if name.endswith("/weights") and name.startswith(("Generator", "Discriminator"))
    ]
    assert len(names) >= 5
    for name in names:
        value = estimator.get_variable_value(name)
        assert value.dtype == np.float32, name
        assert np.all(np.isfinite(value)), name
        start = GlorotUniform(SEED, name)(value.shape).numpy()
        assert np.any(value != start), name


@pytest.mark.parametrize(("gan_type", "critic_steps", "dtype"), DIAGONAL)
def test_a_step_of_every_type_changes_all_weights(tmp_path, gan_type, critic_steps, dtype):
    assert_a_step_trains(tmp_path, gan_type, critic_steps, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("gan_type", "critic_steps", "dtype"), OPPOSITE)
def test_a_step_changes_all_weights(tmp_path, gan_type, critic_steps, dtype):
    assert_a_step_trains(tmp_path, gan_type, critic_steps, dtype)


def test_colour_images_of_64_pixels_train(tmp_path):
    assert_a_step_trains(tmp_path, "nsgan", shape=(64, 64, 3))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (128, 128, 3)])
def test_the_networks_are_sized_by_the_images(shape):
    from reproducible_ml.models import critic_fn, generator_fn

    with tf.Graph().as_default():
        with tf.compat.v1.variable_scope("Generator"):
            images = generator_fn("lsgan", shape)(tf.zeros([BATCH, DIMS]))
        with tf.compat.v1.variable_scope("Discriminator"):
            scores = critic_fn("lsgan", shape)(images)
    assert images.shape == (BATCH, *shape)
    assert scores.shape == (BATCH,)


def test_bfloat16_gives_about_the_losses_of_float32(tmp_path):
    _, exact = train_one_step(tmp_path / "a", "lsgan", dtype="float32")
    _, rounded = train_one_step(tmp_path / "b", "lsgan", dtype="bfloat16")
    # bfloat16 has 8 bits of mantissa; the few layers here add up to about a hundredth.
    np.testing.assert_allclose(rounded, exact, rtol=0.03)
    assert rounded != exact


@pytest.mark.parametrize("gan_type", TYPES)
def test_settings_take_what_is_not_given_from_the_row(gan_type):
    row = GAN_TYPES[gan_type]
    practical, paper = GANSettings(gan_type), GANSettings(gan_type, defaults="paper")
    for settings, values in ((practical, row.practical), (paper, row.paper)):
        assert settings.gen_lr == values.gen_lr
        assert settings.crit_lr == values.crit_lr
        assert settings.critic_steps == values.critic_steps
        assert settings.batch_size == values.batch_size
        assert settings.critic_weight_clip == values.critic_weight_clip
        assert settings.penalty_weight == values.penalty_weight
    assert GANSettings(gan_type, gen_lr=0.25).gen_lr == 0.25


@pytest.mark.parametrize("defaults", ["practical", "paper"])
@pytest.mark.parametrize("gan_type", TYPES)
def test_a_configuration_that_is_filled_in_makes_the_same_settings(gan_type, defaults):
    config = {"gan_type": gan_type, "defaults": defaults, "seed": 7, "beta1": None}
    config.update(dict.fromkeys(["gen_lr", "crit_lr", "critic_steps", "batch_size"]))
    config.update(dict.fromkeys(["critic_weight_clip", "penalty_weight", "strategy"]))
    found = fill_in_defaults(config)
    values = {key: value for key, (value, _) in found.items()}
    assert {origin for _, origin in found.values()} == {f"{gan_type}, {defaults}"}
    assert None not in values.values()
    assert "beta1" not in values
    settings = GANSettings(gan_type, defaults=defaults, seed=7)
    complete = {key: value for key, value in {**config, **values}.items() if key != "beta1"}
    assert GANSettings(**complete) == settings
    assert fill_in_defaults(complete) == {}


def test_the_values_of_the_wasserstein_gan_stay_those_of_recorded_runs():
    settings = GANSettings()
    assert (settings.gen_lr, settings.crit_lr) == (5e-4, 5e-4)
    assert (settings.critic_weight_clip, settings.critic_steps) == (0.03, 2)
    assert settings.batch_size == 32
    paper = GANSettings(defaults="paper")
    assert (paper.gen_lr, paper.critic_weight_clip, paper.critic_steps) == (5e-5, 0.01, 5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gan_type": "wgon"}, "no gan_type 'wgon'.*wgan_gp"),
        ({"defaults": "best"}, "defaults is 'best', expected practical or paper"),
        ({"gen_lr": 0.0}, "gen_lr must be above 0"),
        ({"critic_weight_clip": -1.0}, "critic_weight_clip must be above 0"),
        ({"penalty_weight": 10.0}, "'wgan' has no penalty"),
        ({"compute_dtype": "float16"}, "expected float32 or bfloat16"),
        ({"batch_size": 2.5}, "batch_size must be an integer, 1 or more, found 2.5"),
        ({"critic_steps": 2.0}, "critic_steps must be an integer, 1 or more, found 2.0"),
        ({"noise_dims": True}, "noise_dims must be an integer, 1 or more, found True"),
        ({"lr_decay": 0.5, "lr_decay_steps": 1.5}, "lr_decay_steps must be an integer"),
    ],
)
def test_settings_that_cannot_work_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        GANSettings(**values)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Cadence(10, log_every_steps=2.5), "log_every_steps must be an integer, 1 or more"),
        (lambda: Cadence("10"), "max_steps must be an integer, 1 or more, found '10'"),
        (lambda: Determinism(intra_op_threads=1.5), "intra_op_threads must be an integer, 0 or"),
        (lambda: Determinism(onednn="False"), "onednn must be True or False, found 'False'"),
        (lambda: ClassifierSettings(max_steps=1.5), "max_steps must be an integer, 1 or more"),
        (lambda: train_gan("x", "y", GANSettings(), Cadence(1), None, "no"), "allow_changed must"),
    ],
)
def test_what_a_cast_would_cut_or_turn_around_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_conditional_network_without_classes_is_refused():
    from reproducible_ml.models import generator_fn

    with pytest.raises(ConfigError, match="classes must be 2 or more, found 0"):
        generator_fn("cgan", (10, 10, 1))
