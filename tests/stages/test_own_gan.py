"""A GAN stage trains networks, losses and optimizers that are functions of the user's own."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from reproducible_ml.models.gan import GANSettings
from reproducible_ml.stages.own_gan import OwnGAN, _of_config, _optimizer
from reproducible_ml.utils.errors import ConfigError
from tests import warm
from tests.shared import made_once
from tests.stages.test_autolog import weights

ROOT = Path(__file__).parents[2]
MODULE = '''
"""A GAN of one's own."""

import os
import signal

from experiments import mnist_serialize
from reproducible_ml.stages import gan_stage
from reproducible_ml.tracking import experiment

ex = experiment("mine", types={"networks": (str, None), "gen_optimizer": (str, None)})


@ex.config
def config():
    seed = 4
    source = "digits"
    record_dir = "data/digits"
    model_dir = "model"
    width = 8
    gen_lr = 0.001
    lr_decay = 0.5
    lr_decay_steps = 4
    networks = None
    gen_optimizer = None
    batch_size = 4
    critic_steps = 2
    noise_dims = 3
    max_steps = 8
    checkpoint_every_steps = 3
    grid_every_steps = 4


def generator(config):
    def make(noise, mode):
        import tensorflow as tf

        hidden = tf.compat.v1.layers.dense(noise, config["width"], tf.nn.relu)
        # It draws from a state, which the training makes exact.
        hidden = tf.nn.dropout(hidden, 0.3)
        pixels = tf.compat.v1.layers.dense(hidden, 28 * 28, tf.tanh)
        return tf.reshape(pixels, [-1, 28, 28, 1])

    return make


def critic(images, conditioning, mode=None):
    import tensorflow as tf

    return tf.compat.v1.layers.dense(tf.reshape(images, [-1, 28 * 28]), 1)[:, 0]


def generator_loss(gan_model, add_summaries=False):
    import tensorflow as tf

    return -tf.reduce_mean(gan_model.discriminator_gen_outputs)


def momentum(rate, config):
    import tensorflow as tf

    return tf.compat.v1.train.MomentumOptimizer(rate, 0.1 * config["width"])


def crash():
    import tensorflow as tf

    class Crash(tf.estimator.SessionRunHook):
        left = int(os.environ.get("KILL_AT", "0"))

        def after_run(self, run_context, run_values):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    return Crash()


@ex.automain
def main(_run, _config):
    return gan_stage(
        _run,
        _config,
        serialize=mnist_serialize.ex,
        generator_fn=generator,
        critic_fn=critic,
        generator_loss_fn=generator_loss,
        generator_optimizer=momentum,
        hooks=[crash()] if "KILL_AT" in os.environ else [],
    )
'''


def run(folder, *updates, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    python = warm.Python("-m", "mine", "with", *updates, cwd=folder, environment=environment)
    printed = "".join(python.communicate(timeout=240))
    return python.returncode, printed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training that was never interrupted."""

    def train(folder):
        (folder / "mine.py").write_text(MODULE, encoding="utf-8")
        code, printed = run(folder, "max_steps=8")
        assert code == 0, printed

    return made_once(tmp_path_factory, "own-gan", train)


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_own_functions_are_trained_recorded_and_resumed_to_the_same_bits(whole, folder):
    recorded = json.loads((folder / "runs" / "1" / "info.json").read_text(encoding="utf-8"))
    assert recorded["dataset"]["records"]["fingerprint"]
    assert recorded["checkpoint"]["step"] == 8
    assert list((folder / "model").rglob("*.png"))
    names = weights(folder / "model")
    assert len(names["Generator/dense/bias"]) == 4 * 8
    # The generator's optimizer is the user's, the critic's is that of wgan.
    assert "Generator/dense/bias/Momentum" in names
    assert "Discriminator/dense/bias/RMSProp" in names
    shutil.rmtree(folder / "model")
    shutil.rmtree(folder / "runs")
    code, _ = run(folder, "max_steps=8", KILL_AT="5")
    assert code == -9
    code, printed = run(folder, "max_steps=8")
    assert code == 0, printed
    assert "Continuing model at step 3 of 8." in printed
    assert weights(folder / "model") == weights(whole / "model")
    logs = [(place / "model" / "steps.log").read_bytes() for place in (folder, whole)]
    assert logs[0] == logs[1]


def test_a_model_dir_takes_no_other_functions_and_no_other_configuration(folder):
    code, printed = run(folder, "max_steps=9", "width=9")
    assert code == 1
    assert "width was 8, is 9" in printed
    source = folder / "mine.py"
    source.write_text(MODULE.replace("return -tf.reduce_mean", "return tf.reduce_mean"))
    code, printed = run(folder, "max_steps=9")
    assert code == 1
    assert "code: generator_loss was changed" in printed


def test_what_the_command_line_names_takes_the_place_of_own_functions(folder):
    (folder / "own").mkdir()
    (folder / "own" / "nets.py").write_text(
        "from reproducible_ml.models.gan import NETWORKS\n"
        "NETWORKS['own.nets'] = NETWORKS['convolutional']\n"
    )
    shutil.rmtree(folder / "model")
    code, printed = run(folder, "max_steps=1", "networks=own.nets", "gen_optimizer=adam")
    assert code == 0, printed
    names = weights(folder / "model")
    assert "Generator/dense/bias/Momentum" not in names
    assert [name for name in names if name.startswith("Generator/") and name.endswith("/Adam")]


def test_a_recorded_training_is_executed_again_after_its_functions_changed(folder):
    (folder / "mine.py").write_text("raise RuntimeError('changed')\n", encoding="utf-8")
    again = [str(Path(sys.executable).with_name("reproducible-ml")), "reproduce", "1"]
    code = f"import sys; sys.argv = {again!r}; from reproducible_ml.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    python = warm.Python("-c", code, cwd=folder, environment=environment)
    printed = "".join(python.communicate(timeout=240))
    assert python.returncode == 0, printed
    assert "identical" in printed
    assert "losses of every step" in printed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"generator_optimizer": 0.1}, "generator_optimizer must be a function, found 0.1"),
        ({"make_estimator": len, "critic_fn": len}, "so critic_fn would not be used"),
    ],
)
def test_functions_that_can_not_be_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        OwnGAN(**given)


def test_a_function_gets_the_arguments_that_it_names():
    settings = GANSettings(lr_decay=0.5, lr_decay_steps=2)
    assert _of_config(lambda config: config["a"], {"a": 3}) == 3
    assert _of_config(len, {"a": 3}) is len
    constant = GANSettings()
    made = _optimizer("o", lambda rate, config: (rate, config["a"]), 0.2, constant, {"a": 3})
    assert made() == (0.2, 3)
    assert _optimizer("o", lambda config: config["a"], 0.2, constant, {"a": 3})() == 3
    with pytest.raises(ConfigError, match="o does not take the rate that decays"):
        _optimizer("o", lambda config: None, 0.2, settings, {})
    with pytest.raises(ConfigError, match=r"o takes \(step\), expected rate, config or both"):
        _optimizer("o", lambda step: None, 0.2, settings, {})
