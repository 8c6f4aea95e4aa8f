"""A wrong setting of a bundled experiment is refused before its run begins: no failed run stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import mnist_classifier, mnist_evaluate, mnist_serialize, mnist_wgan
from reproducible_ml.stages import check_training
from reproducible_ml.tracking import experiment
from reproducible_ml.utils.errors import ConfigError

ROOT = Path(__file__).parents[2]
INTERVALS = [f"{name}_every_steps" for name in ("log", "grid", "checkpoint", "digest", "evaluate")]
SIZES = ("batch_size", "noise_dims", "critic_steps")
# A missing folder is told first.
FOLDERS = {"model_dir": "m", "classifier_dir": "c"}


def refused(one, **settings):
    with pytest.raises(ConfigError) as found:
        one.ex.run(config_updates=settings, options={"--file_storage": "runs"})
    return str(found.value)


@pytest.mark.parametrize(
    ("one", "key", "value", "expected"),
    [
        *[(mnist_wgan, key, -1, "1 or more") for key in ["max_steps", *INTERVALS]],
        *[(mnist_wgan, key, 0, "1 or more") for key in SIZES],
        *[(mnist_wgan, key, float("inf"), "above 0") for key in ("gen_lr", "crit_lr")],
        (mnist_wgan, "gen_lr", float("nan"), "above 0"),
        (mnist_wgan, "critic_weight_clip", -0.1, "above 0, or None;"),
        (mnist_wgan, "beta1", 1.0, "0 or more and below 1"),
        (mnist_wgan, "replicas", 0, "1 without a strategy"),
        (mnist_wgan, "intra_op_threads", -1, "0 or more"),
        (mnist_classifier, "max_steps", -1, "1 or more"),
        (mnist_classifier, "learning_rate", float("inf"), "above 0"),
        (mnist_classifier, "batch_size", 0, "1 or more"),
        (mnist_classifier, "shift_pixels", -1, "0 or more"),
        (mnist_classifier, "log_every_steps", 0, "1 or more"),
        (mnist_classifier, "inter_op_threads", -2, "0 or more"),
        (mnist_serialize, "samples_per_record", 0, "1 or more"),
        (mnist_serialize, "workers", -1, "1 or more"),
    ],
)
def test_a_number_out_of_range_starts_no_run(tmp_path, one, key, value, expected):
    said = refused(one, **{key: value})
    assert key in said
    assert expected in said
    assert str(value) in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("one", "settings", "said"),
    [
        (mnist_wgan, {"gan_type": "wgangp"}, "'wgangp'; did you mean 'wgan_gp'? Choose one of: ac"),
        (mnist_wgan, {"gen_optimizer": "Adam"}, "'Adam'; did you mean 'adam'? Choose one of:"),
        (mnist_wgan, {"source": "digit"}, "source 'digit'; did you mean 'digits'? Choose one of:"),
        (mnist_wgan, {"strategy": "mirored"}, "mirored"),
        (mnist_wgan, {"compute_dtype": "float16"}, "expected float32 or bfloat16"),
        (mnist_serialize, {"source": "minst"}, "did you mean 'mnist'?"),
        (mnist_serialize, {"compression": "gz"}, "gz"),
        (mnist_serialize, {"record_pattern": "{}.tfrecord"}, "{}.tfrecord"),
        (mnist_evaluate, {}, "model_dir is not given. It is written by: python -m experiments.mn"),
        (mnist_evaluate, {**FOLDERS, "samples": 3}, "samples=3 is too small"),
    ],
)
def test_a_word_that_is_no_choice_starts_no_run(tmp_path, one, settings, said):
    assert said in refused(one, **settings)
    assert not (tmp_path / "runs").exists()


def test_the_numbers_of_ones_own_training_are_checked_likewise(tmp_path):
    ex = experiment("own", check=check_training)
    ex.add_config(max_steps=5, checkpoint_every_steps=1)
    ran = []
    ex.main(lambda max_steps: ran.append(max_steps))
    with pytest.raises(ConfigError, match="checkpoint_every_steps must be 1 or more, found -3"):
        ex.run(config_updates={"checkpoint_every_steps": -3})
    assert not (tmp_path / "runs").exists()
    # Commands that only show a configuration show any.
    ex.run("print_config", config_updates={"max_steps": -1})
    ex.run(config_updates={"max_steps": 2})
    assert ran == [2]
    assert json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["status"] == "COMPLETED"


def test_the_checks_leave_tensorflow_to_be_imported_with_the_runs_own_settings():
    program = (
        "import sys; from experiments import mnist_classifier as c, mnist_evaluate as e, "
        "mnist_serialize as s, mnist_wgan as w\n"
        "for one in (c, s, w): one.ex.check(one.ex._create_run().config)\n"
        "e.ex._create_run(config_updates={'model_dir': 'a', 'classifier_dir': 'b'})\n"
        "assert 'tensorflow' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)
