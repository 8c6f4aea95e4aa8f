"""An optimizer and networks are added from outside the library, and an experiment trains them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models.evaluation import FIGURES, FigureKind, figures_of, judge
from reproducible_ml.models.evaluation.classifier import Outputs
from reproducible_ml.models.evaluation.figures import references, small_figures
from reproducible_ml.models.exact import GlorotUniform
from reproducible_ml.models.gan import GAN_TYPES, Defaults, GANSettings, make_gan_estimator
from reproducible_ml.models.gan.build import _optimizer
from reproducible_ml.models.gan.networks import NETWORKS
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.utils.errors import ConfigError
from tests.experiments.running import environment
from tests.tracking.toy_project import run

MODULE = '''
"""A GAN of one's own."""

import sys
from dataclasses import replace

from experiments import mnist_serialize
from reproducible_ml.models.gan import GAN_TYPES, NETWORKS, OPTIMIZERS, Networks
from reproducible_ml.stages import fill_in_defaults, gan_stage
from reproducible_ml.tracking import experiment


def momentum(rate, values):
    import tensorflow as tf

    return tf.compat.v1.train.MomentumOptimizer(rate, momentum=values.beta1)


def dense_generator(row, image_shape, seed, classes):
    def generator(noise, mode):
        import tensorflow as tf
        from reproducible_ml.models.exact import GlorotUniform, seeded_variables

        height, width, channels = image_shape
        shape = [int(noise.shape[-1]), height * width * channels]
        with seeded_variables():
            matrix = tf.compat.v1.get_variable("dense", shape, initializer=GlorotUniform(seed))
        return tf.reshape(tf.tanh(noise @ matrix), [-1, height, width, channels])

    return generator


def dense_critic(row, image_shape, seed, classes):
    def critic(images, conditioning=None):
        import tensorflow as tf
        from reproducible_ml.models.exact import GlorotUniform, seeded_variables

        height, width, channels = image_shape
        flat = tf.reshape(images, [-1, height * width * channels])
        with seeded_variables():
            matrix = tf.compat.v1.get_variable(
                "dense", [height * width * channels, 1], initializer=GlorotUniform(seed)
            )
        return tf.reshape(flat @ matrix, [-1])

    return critic


OPTIMIZERS["momentum"] = momentum
NETWORKS["dense"] = Networks(dense_generator, dense_critic)
GAN_TYPES["mine"] = replace(GAN_TYPES["wgan"], optimizer="momentum", networks="dense")
# It is loaded later, when the kernels are chosen.
assert "tensorflow" not in sys.modules

ex = experiment("mine", types={"gen_lr": (float, None)}, fill_in=fill_in_defaults)


@ex.config
def config():
    seed = 4
    source = "digits"
    record_dir = "data/digits"
    model_dir = "models/mine"
    gan_type = "mine"
    gen_lr = None
    batch_size = 8
    max_steps = 3
    allow_changed = False


@ex.automain
def main(_run, _config):
    return gan_stage(_run, _config, serialize=mnist_serialize.ex)
'''


def test_an_experiment_trains_with_an_optimizer_and_networks_of_its_own(tmp_path):
    import tensorflow as tf

    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    done = run([sys.executable, "-m", "mine"], tmp_path, environment())
    assert done.returncode == 0, done.stdout + done.stderr
    recorded = load_run(1, tmp_path / "runs")
    assert recorded.info["settings"]["gan_type"] == "mine"
    # The rest is the entry's: a rate of the type that it was made from.
    assert (recorded.config["gen_lr"], recorded.filled_in) == (5e-4, {"gen_lr": "mine"})
    assert "mine.py" in recorded.sources
    checkpoint = tf.train.load_checkpoint(str(tmp_path / "models" / "mine"))
    networks = ["Discriminator/dense", "Generator/dense"]
    # Each weight has its optimizer's accumulator beside it, and nothing else is there.
    slots = [f"{name}/Momentum" for name in networks]
    assert {*checkpoint.get_variable_to_shape_map()} == {*networks, *slots, "global_step"}
    for name in networks:
        value = checkpoint.get_tensor(name)
        start = GlorotUniform(4, name)(value.shape).numpy()
        assert np.isfinite(value).all()
        assert (value != start).any()


def test_a_figure_that_is_added_is_computed_with_the_others(monkeypatch):
    kind = FigureKind(lambda seen: float(seen.outputs.logits.max()), "logits", small=True)
    monkeypatch.setitem(FIGURES, "largest_logit", kind)
    draw = np.random.default_rng(3)
    seen, real = (
        Outputs(draw.random((150, 128), np.float32), draw.random((150, 10), np.float32))
        for _ in range(2)
    )
    for found in (small_figures(seen, real), figures_of(judge(seen, real, real.features), real)):
        assert found["largest_logit"] == seen.logits.max()
        assert "frechet_distance" in found
    assert (FIGURES["largest_logit"].layer, references("largest_logit", 150, 9)) == ("logits", 0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"optimizer": "adamm"}, "no optimizer 'adamm'.*: adam, rmsprop"),
        ({"networks": "dense"}, "no pair of networks 'dense'.*: convolutional"),
        ({"critic_loss": "hingee"}, "no critic loss 'hingee'.*: auxiliary, hinge, least_squares"),
        ({"penalty": "none", "practical": Defaults(1e-4, 1e-4, penalty_weight=1.0)}, "no penalty"),
    ],
)
def test_an_entry_that_names_what_is_in_no_table_is_refused(monkeypatch, tmp_path, entry, said):
    monkeypatch.setitem(GAN_TYPES, "mine", replace(GAN_TYPES["wgan"], **entry))
    with pytest.raises(ConfigError, match=said):
        make_gan_estimator(tmp_path, GANSettings("mine"), (28, 28, 1))


def test_networks_are_named_by_the_module_that_adds_them(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(NETS, encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "my_nets.py").rename(tmp_path / "mine" / "nets.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert GANSettings(networks="mine.nets").networks == "mine.nets"
    assert NETWORKS["mine.nets"].generator(1) == ("generator", 1)
    GANSettings(networks="mine.nets:small")
    with pytest.raises(ConfigError, match=r"networks is 'mine\.others', which can't be imported"):
        GANSettings(networks="mine.others")
    with pytest.raises(ConfigError, match="pair of networks"):
        GANSettings(networks="convolutionel")
    for name in ("mine.nets", "small"):
        del NETWORKS[name]


NETS = """
from reproducible_ml.models.gan import NETWORKS, Networks

pair = Networks(lambda value: ("generator", value), lambda value: ("critic", value))
NETWORKS["mine.nets"] = NETWORKS["small"] = pair
"""


def test_learning_rates_decay_with_the_step():
    settings = GANSettings(gen_lr=0.1, crit_optimizer="adam", lr_decay=0.5, lr_decay_steps=10)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        step = tf.compat.v1.train.create_global_step()
        optimizers = [
            _optimizer(settings, name, rate)()
            for name, rate in (("rmsprop", 0.1), (settings.crit_optimizer, settings.crit_lr))
        ]
        rates = [optimizers[0]._learning_rate, optimizers[1]._lr]
        found = []
        for number in (0, 5, 20):
            session.run(step.assign(number))
            found.append(session.run(rates))
    expected = [[rate * 0.5 ** (number / 10) for rate in (0.1, 5e-4)] for number in (0, 5, 20)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert isinstance(optimizers[1], tf.compat.v1.train.AdamOptimizer)


@pytest.mark.parametrize(
    "values",
    [
        {"lr_decay": 0.5},
        {"lr_decay_steps": 5},
        {"lr_decay": 1.5, "lr_decay_steps": 5},
        {"beta1": 1.0},
        {"gen_optimizer": "adamm"},
    ],
)
def test_settings_of_optimizers_that_can_not_be_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values)).replace("gen_optimizer", "adamm")):
        GANSettings(**values)
