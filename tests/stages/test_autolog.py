"""Any Estimator within an experiment: exact after a crash, refused after a change, reproduced."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import serialize_source
from reproducible_ml.datasets.sources import make_source
from tests import warm
from tests.shared import made_once
from tests.tracking import toy_project

ROOT = Path(__file__).parents[2]
KINDS = ("dropout", "canned", "linear", "keras", "stock", "fused", "devices")
ROUNDS = int(os.environ.get("KILLS", "4"))
PEOPLE = "age,income,label\n" + "".join(
    f"{20 + n * 7 % 50},{(n * 37 % 90) / 10},{int(n % 3 == 0)}\n" for n in range(60)
)


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path)
    return tmp_path


def fill(folder):
    shutil.copy(Path(__file__).with_name("own_models.py"), folder / "own_models.py")
    (folder / "people.csv").write_text(PEOPLE, encoding="utf-8")
    types = {"age": "float32", "income": "float32", "label": "int64"}
    source = make_source("csv", csv_file=str(folder / "people.csv"), columns=types)
    serialize_source(source, folder / "records")


def run(folder, kind, *updates, kill_at=0):
    """Run the user's experiment; return its exit code and what it printed."""
    named = ["table"] if kind == "linear" else [f"kind={kind}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KILL_AT": str(kill_at)}
    python = warm.Python(
        "-m", "own_models", "with", *named, *updates, cwd=folder, environment=environment
    )
    printed = "".join(python.communicate(timeout=240))
    return python.returncode, printed


def weights(model_dir):
    reader = tf.train.load_checkpoint(str(model_dir))
    # Keras' own checkpoint describes its objects in a string.
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: np.asarray(value).tobytes() for name, value in values.items()}


def info(folder, number):
    return json.loads((folder / "runs" / str(number) / "info.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Make the folder of a kind's training that was never interrupted, once."""

    def make(kind):
        def train(folder):
            fill(folder)
            code, printed = run(folder, kind)
            assert code == 0, printed

        return made_once(tmp_path_factory, f"own-{kind}", train)

    return make


# What the others add is in the long rounds: a canned Estimator, Keras' saver, a fused step, and a
# canned one on two devices.
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in ("dropout", "linear", "stock") else pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_a_killed_training_resumes_to_the_same_bits(kind, whole, folder):
    code, _ = run(folder, kind, kill_at=9)
    assert code == -9
    assert (folder / "model" / "model.ckpt-6.index").exists()
    code, printed = run(folder, kind)
    assert code == 0, printed
    assert "Continuing model at step 6 of 20." in printed
    expected = whole(kind)
    assert weights(folder / "model") == weights(expected / "model")
    for name in ("steps.log", "tensors.jsonl"):
        assert (folder / "model" / name).read_bytes() == (expected / "model" / name).read_bytes()
    # As the same run.
    resumed, uninterrupted = info(folder, 1), info(expected, 1)
    assert resumed["digest"] == uninterrupted["digest"]
    metrics = [
        json.loads((place / "runs" / number / "metrics.json").read_text(encoding="utf-8"))
        for place, number in ((folder, "1"), (expected, "1"))
    ]
    losses = {"generator_loss", "critic_loss"} if kind in ("stock", "fused") else {"loss"}
    for name in losses:
        points = [(one[name]["steps"], one[name]["values"]) for one in metrics]
        assert points[0] == points[1]
        assert points[0][0] == [10, 20]


@pytest.mark.slow
@pytest.mark.timeout(1200)
# With KILLS=10, ten kills of each kind.
@pytest.mark.parametrize("kind", KINDS if "KILLS" in os.environ else ["stock"])
def test_a_training_killed_again_and_again_ends_with_the_same_bits(kind, whole, folder):
    draw = random.Random(kind)
    for _ in range(ROUNDS):
        code, printed = run(folder, kind, kill_at=draw.randint(1, 12))
        assert code in (-9, 0), printed
    code, printed = run(folder, kind)
    assert code == 0, printed
    expected = whole(kind)
    assert weights(folder / "model") == weights(expected / "model")
    logs = [(place / "model" / "steps.log").read_bytes() for place in (folder, expected)]
    assert logs[0] == logs[1]


def test_a_model_dir_takes_neither_other_code_nor_settings_nor_data(whole, folder):
    shutil.copytree(whole("linear"), folder, dirs_exist_ok=True)
    code, printed = run(folder, "linear", "batch_size=4", "max_steps=30")
    assert code == 1
    assert "model was trained up to step 20 with other values: batch_size was 8, is 4." in printed
    table = folder / "people.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("34,", "35,", 1), encoding="utf-8")
    code, printed = run(folder, "linear", "max_steps=30")
    assert code == 1
    assert "with other values: csv_file was '" in printed
    table.write_text(PEOPLE, encoding="utf-8")
    source = folder / "own_models.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(f"# A comment changes nothing.\n{text}", encoding="utf-8")
    code, printed = run(folder, "linear", "max_steps=21")
    assert code == 0, printed
    source.write_text(text.replace("loss = sign *", "loss = -sign *"), encoding="utf-8")
    code, printed = run(folder, "linear", "max_steps=30")
    assert code == 1
    assert "code: main was changed" in printed


OF_TWO_FOLDERS = """
from reproducible_ml.tracking import experiment

ex = experiment("mine")


@ex.config
def config():
    seed, model_dir, max_steps = 1, "model", 2


@ex.automain
def main(model_dir, max_steps):
    import tensorflow as tf
    from my_model import model_fn

    data = tf.data.Dataset.from_tensors
    estimator = tf.estimator.Estimator(model_fn, model_dir)
    estimator.train(lambda: data(([[1.0]], [[2.0]])).repeat(), max_steps=max_steps)
"""
MODEL = """
import tensorflow as tf


def model_fn(features, labels, mode):
    weight = tf.compat.v1.get_variable("weight", [], initializer=tf.zeros_initializer())
    loss = tf.reduce_mean((features * weight - labels) ** 2)
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)
    train_op = optimizer.minimize(loss, tf.compat.v1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)
"""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("log_every_steps = 0", "log_every_steps must be 1 or more, found 0"),
        ("digest_every_steps = 2.5", "digest_every_steps must be an integer, 1 or more, found 2.5"),
        ("allow_changed = 'False'", "allow_changed must be True or False, found 'False'"),
    ],
)
def test_settings_of_the_record_that_can_not_be_are_refused(tmp_path, setting, said):
    text = OF_TWO_FOLDERS.replace("    seed,", f"    {setting}\n    seed,")
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    (tmp_path / "my_model.py").write_text(MODEL, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = warm.run("-m", "mine", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "model").exists()


IMPORTS_FIRST = """
from reproducible_ml.tracking import experiment

ex = experiment("mine")

@ex.automain
def main():
    from reproducible_ml.models.exact import StopHook
"""


def test_a_module_of_hooks_may_be_what_imports_tensorflow_first(tmp_path):
    (tmp_path / "mine.py").write_text(IMPORTS_FIRST, encoding="utf-8")
    # Not warm: there TensorFlow is imported already.
    done = subprocess.run(
        [sys.executable, "-m", "mine"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_own_code_of_a_folder_on_the_path_belongs_to_the_model_dir(tmp_path):
    project, shared = tmp_path / "project", tmp_path / "shared"
    project.mkdir()
    shared.mkdir()
    (project / "mine.py").write_text(OF_TWO_FOLDERS, encoding="utf-8")
    model = shared / "my_model.py"
    model.write_text(MODEL, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{shared}"}

    def trained(max_steps):
        command = ("-m", "mine", "with", f"max_steps={max_steps}")
        python = warm.Python(*command, cwd=project, environment=environment)
        printed = "".join(python.communicate(timeout=240))
        return python.returncode, printed

    code, printed = trained(2)
    assert code == 0, printed
    model.write_text(MODEL.replace("** 2", "** 4"), encoding="utf-8")
    code, printed = trained(3)
    assert code == 1
    assert "code: model_fn was changed" in printed
    model.write_text(f"# A comment changes nothing.\n{MODEL}", encoding="utf-8")
    code, printed = trained(3)
    assert code == 0, printed


def test_a_recorded_training_is_executed_again_from_its_record_alone(whole, folder):
    shutil.copytree(whole("dropout"), folder, dirs_exist_ok=True)
    (folder / "own_models.py").write_text("raise RuntimeError('changed')\n", encoding="utf-8")
    shutil.rmtree(folder / "model")
    again = [str(Path(sys.executable).with_name("reproducible-ml")), "reproduce", "1"]
    code = f"import sys; sys.argv = {again!r}; from reproducible_ml.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = warm.run("-c", code, cwd=folder, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"losses of every step +20 steps +20 steps +same", done.stdout)
    assert "identical" in done.stdout
    code = code.replace("'1']", "'1', '--set', 'sign=-1.0']")
    done = warm.run("-c", code, cwd=folder, environment=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "at step 1: loss" in done.stdout


def test_first_weights_of_another_training_are_an_input(whole, folder):
    shutil.copytree(whole("dropout") / "model", folder / "first")
    warm_start = "first_weights=first"
    code, printed = run(folder, "dropout", warm_start, "max_steps=14")
    assert code == 0, printed
    assert info(folder, 1)["stage"]["inputs"] == ["first_weights"]
    assert weights(folder / "model") != weights(folder / "first")
    code, printed = toy_project.command(["reproduce", "1"], folder)
    assert code == 0, printed
    (row,) = [line.split() for line in printed.splitlines() if line.startswith("warm_start")]
    assert row[-1] == "same"
    # Resumed from its own checkpoint, whatever the crash.
    shutil.move(folder / "model", folder / "uninterrupted")
    code, _ = run(folder, "dropout", warm_start, "max_steps=14", kill_at=9)
    assert code == -9
    code, printed = run(folder, "dropout", warm_start, "max_steps=14")
    assert code == 0, printed
    assert weights(folder / "model") == weights(folder / "uninterrupted")
    # Another checkpoint is newest there now.
    shutil.rmtree(folder / "first")
    shutil.copytree(folder / "uninterrupted", folder / "first")
    code, printed = run(folder, "dropout", warm_start, "max_steps=15")
    assert code == 1
    assert "warm_start was" in printed
