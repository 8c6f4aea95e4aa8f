"""``reproducible-ml export`` on a real training, and its SavedModel without this project."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.models.export import check_output, choose_checkpoint, export_gan
from reproducible_ml.models.export.folder import _put_in_place
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError
from tests import warm
from tests.tracking.toy_project import run

ROOT = Path(__file__).parents[2]

PREDICT = """
import sys
import numpy as np
from pathlib import Path
from reproducible_ml.models.gan.sampling import TrainedGAN
from reproducible_ml.models.gan.sampling import draw_samples
from reproducible_ml.models.gan.grids import grid_latents
from reproducible_ml.models.exact.determinism import Determinism, apply_determinism
apply_determinism(Determinism(), 1)
gan = TrainedGAN("models/smoke", "data/smoke")
latents = grid_latents(1, 64, 64)
np.save("latents.npy", latents)
np.save("drawn.npy", draw_samples(gan._estimator, latents))
"""

BARE = """
import sys
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(2)
draw = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
latents = np.load("latents.npy")
np.save("loaded.npy", draw(latents=tf.constant(latents))["images"].numpy())
np.save("few.npy", draw(latents=tf.constant(latents[:5]))["images"].numpy())
ours = [name for name in sys.modules if name.split(".")[0] in ("reproducible_ml", "tensorflow_gan")]
assert ours == [], ours
"""


class Trained:
    """Two recorded runs, data and training, and an export of the training."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        updates = ["smoke", "model_dir=models/smoke"]
        done = warm.run(
            *("-m", "experiments.mnist_wgan", "with", *updates),
            cwd=folder,
            environment=self.environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        names = {
            number: json.loads((folder / "runs" / number / "run.json").read_text())["experiment"][
                "name"
            ]
            for number in ("1", "2")
        }
        self.training = next(number for number, name in names.items() if name == "mnist_wgan")
        self.code, self.output = self.export(self.training, "-o", "out/model")

    def export(self, *arguments):
        done = warm.run(
            *("-m", "reproducible_ml.cli", "export", *arguments),
            cwd=self.folder,
            environment=self.environment,
        )
        return done.returncode, done.stdout + done.stderr

    def provenance(self, name="out/model"):
        return json.loads((self.folder / name / "provenance.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    yield Trained(folder)
    # Half a gigabyte of checkpoints, which pytest would keep for three sessions.
    shutil.rmtree(folder)


@pytest.fixture
def model_dir(trained):
    return trained.folder / "models" / "smoke"


def test_a_bare_tensorflow_draws_the_samples_of_the_run_bit_for_bit(trained):
    assert trained.code == 0, trained.output
    assert "those that the training drew, bit for bit" in trained.output
    for text, environment in ((PREDICT, trained.environment), (BARE, None)):
        if environment is None:
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        # As docs/export.md says: not every processor has it on by itself.
        environment = {**environment, "TF_ENABLE_ONEDNN_OPTS": "1"}
        (trained.folder / "script.py").write_text(text)
        done = run([sys.executable, "script.py", "out/model"], trained.folder, environment)
        assert done.returncode == 0, done.stderr
    latents, drawn, loaded, few = (
        np.load(trained.folder / f"{name}.npy") for name in ("latents", "drawn", "loaded", "few")
    )
    assert drawn.shape == (64, 28, 28, 1)
    assert np.array_equal(loaded, drawn)
    # The digest that the training itself recorded.
    digest = combined_digest({"latents": array_digest(latents), "pixels": array_digest(loaded)})
    result = json.loads((trained.folder / "models/smoke/result.json").read_text())
    assert result["digests"]["samples"] == digest
    assert np.allclose(few, drawn[:5], atol=1e-5)


def test_the_provenance_names_run_data_checkpoint_and_files(trained, model_dir):
    found = trained.provenance()
    folder = trained.folder / "out" / "model"
    recorded = json.loads((trained.folder / "runs" / trained.training / "info.json").read_text())
    assert found["run"]["id"] == int(trained.training)
    assert found["run"]["digest"] == recorded["digest"]
    assert found["data_fingerprint"] == read_manifest(trained.folder / "data/smoke").fingerprint
    assert found["checkpoint"]["step"] == 4
    assert found["checkpoint"]["files"] == recorded["checkpoint"]["files"]
    assert found["settings"]["batch_size"] == 8
    assert found["tensorflow_version"].startswith("2.15.")
    assert found["samples"]["same_as_run"] is True
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "provenance.json"
    }
    assert len(files) == 3
    assert found["files"] == files
    assert [one.name for one in folder.parent.iterdir()] == ["model"]


def test_another_step_replaces_an_export_only_when_told_so(trained):
    code, output = trained.export("models/smoke", "--step", "2", "-o", "out/model")
    assert code == 1
    assert "out/model already holds an export. Replace it with --overwrite" in output
    shutil.copytree(trained.folder / "out/model", trained.folder / "again/model")
    arguments = ("models/smoke", "--step", "2", "-o", "again/model", "--overwrite")
    code, output = trained.export(*arguments)
    assert code == 0, output
    found = trained.provenance("again/model")
    assert (found["checkpoint"]["step"], found["run"]) == (2, None)
    assert found["samples"]["same_as_run"] is None
    assert found["samples"]["digest"] != trained.provenance()["samples"]["digest"]
    assert [one.name for one in (trained.folder / "again").iterdir()] == ["model"]


def test_a_step_that_is_not_kept_is_refused_with_those_that_are(model_dir):
    with pytest.raises(DataError, match=r"no checkpoint of step 3, only of (0, )?2, 4\."):
        choose_checkpoint(model_dir, 3)


def call(trained, *arguments):
    """Run the command in this process, which works as long as it needs no TensorFlow."""
    before = Path.cwd()
    os.chdir(trained.folder)
    try:
        done = CliRunner().invoke(main, ["export", *arguments])
    finally:
        os.chdir(before)
    return done.exit_code, done.output


def test_runs_without_checkpoint_and_unknown_ones_are_named(trained):
    other = "1" if trained.training == "2" else "2"
    code, output = call(trained, other)
    assert code == 1
    assert f"Run {other} of mnist_serialize (COMPLETED) recorded no checkpoint" in output
    code, output = call(trained, "17")
    assert (code, "There is no run 17 in runs; there are 1-2" in output) == (1, True)
    code, output = call(trained, "models/nothing")
    assert (code, "There is no folder models/nothing" in output) == (1, True)
    code, output = call(trained, "data/smoke")
    assert (code, "data/smoke holds no checkpoint" in output) == (1, True)


def test_a_recorded_checkpoint_that_was_changed_is_refused(trained, model_dir):
    index = model_dir / "model.ckpt-4.index"
    kept = index.read_bytes()
    index.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        code, output = call(trained, trained.training)
    finally:
        index.write_bytes(kept)
    assert code == 1
    assert f"model.ckpt-4.index is not the file that run {trained.training} recorded" in output


def test_other_files_are_never_replaced(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    check_output(folder, overwrite=False)
    (folder / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="holds files but no export"):
        check_output(folder, overwrite=True)
    with pytest.raises(ConfigError, match="is a file"):
        check_output(folder / "thesis.tex", overwrite=True)


def test_a_folder_that_says_nothing_of_its_training_is_refused(tmp_path):
    for name in ("index", "data-00000-of-00001"):
        (tmp_path / f"model.ckpt-4.{name}").touch()
    with pytest.raises(DataError, match=r"checkpoints but no training\.json"):
        export_gan(tmp_path, tmp_path / "out")
    path = tmp_path / "training.json"
    path.write_text("{}")
    with pytest.raises(DataError, match="does not describe a training"):
        export_gan(tmp_path, tmp_path / "out")
    path.write_text('{"data": {"fingerprint": "f"}, "settings": {"gan_type": "wgan"}}')
    with pytest.raises(DataError, match="does not state the shape of the images"):
        export_gan(tmp_path, tmp_path / "out")


def test_an_export_that_can_not_be_replaced_stays(tmp_path):
    output, staging = tmp_path / "mine", tmp_path / "staging"
    for folder in (output, staging):
        folder.mkdir()
    (output / "provenance.json").write_text("mine")
    with pytest.raises(FileNotFoundError):
        _put_in_place(staging / "missing", output, staging)
    assert (output / "provenance.json").read_text() == "mine"


@pytest.mark.slow
def test_a_conditional_generator_takes_labels_and_draws_what_the_training_drew(tmp_path):
    updates = ["smoke", "gan_type=cgan", "compute_dtype=bfloat16", "model_dir=models/c"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in (
        ["experiments.mnist_wgan", "with", *updates],
        ["reproducible_ml.cli", "export", "models/c", "-o", "model"],
    ):
        done = warm.run("-m", *arguments, cwd=tmp_path, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(tmp_path / "models")
    assert "those that the training drew, bit for bit" in done.stdout
    found = json.loads((tmp_path / "model" / "provenance.json").read_text())
    assert found["signature"]["inputs"]["labels"] == (
        {"dtype": "int32", "shape": ["n"], "classes": 10}
    )
    assert found["samples"]["same_as_run"] is True
