"""The digit experiments as a user starts them: real processes, in a folder of their own."""

import json

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.datasets.serialize import read_manifest
from tests.experiments.running import experiment


class Trained:
    """What ``mnist_wgan with smoke`` left, which serialized its records first."""

    def __init__(self, folder):
        self.folder = folder
        self.code, self.output = experiment(
            "mnist_wgan", folder, "-F", "kept", "with", "smoke", "record_dir=records/smoke",
            "model_dir=models/smoke", "gen_lr=1e-4",
        )  # fmt: skip
        assert self.code == 0, self.output

    def run(self, run_id, name="run"):
        """Read a JSON file of a run."""
        return json.loads((self.folder / "kept" / str(run_id) / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def training(trained):
    """Find the training's run among the two that were recorded."""
    return next(n for n in (1, 2) if trained.run(n)["experiment"]["name"] == "mnist_wgan")


def test_nothing_is_left_where_it_was_not_asked_for(trained):
    assert sorted(path.name for path in trained.folder.iterdir()) == ["kept", "models", "records"]


def test_missing_records_are_serialized_as_a_stage_of_its_own(trained, training):
    manifest = read_manifest(trained.folder / "records" / "smoke")
    assert {name: split.records for name, split in manifest.splits.items()} == {
        "train": 1500,
        "eval": 147,
        "test": 150,
    }
    other = 3 - training
    assert trained.run(other)["experiment"]["name"] == "mnist_serialize"
    assert trained.run(other)["status"] == "COMPLETED"
    assert trained.run(other)["result"]["fingerprint"] == manifest.fingerprint
    info = trained.run(training, "info")
    assert info["dataset"]["records"]["fingerprint"] == manifest.fingerprint
    assert [int(one["run_id"]) for one in info["upstream"]] == [other]


def test_the_run_is_recorded_with_its_configuration_and_result(trained, training):
    run = trained.run(training)
    assert run["status"] == "COMPLETED"
    assert run["result"]["step"] == 4
    config = trained.run(training, "config")
    assert config["gen_lr"] == 1e-4
    # Given or from a named configuration, and unmarked; or of the type, and marked.
    assert (config["batch_size"], config["crit_lr"], config["critic_steps"]) == (8, 5e-4, 2)
    marks = dict.fromkeys(["crit_lr", "critic_steps", "critic_weight_clip"], "wgan, practical")
    assert run["meta"]["filled_in"] == marks
    identity = json.loads((trained.folder / "models" / "smoke" / "training.json").read_text())
    settings = identity["settings"]
    assert {key: config[key] for key in settings.keys() & config.keys()} == {
        key: settings[key] for key in settings.keys() & config.keys()
    }
    assert config["record_dir"] == "records/smoke"
    assert trained.run(training, "info")["digest"]["run"] == run["result"]["digest"]


def test_the_losses_reach_the_run_step_by_step(trained, training):
    metrics = trained.run(training, "metrics")
    for name in ("generator_loss", "critic_loss"):
        assert metrics[name]["steps"] == [1, 2, 3, 4]
        assert np.isfinite(metrics[name]["values"]).all()
    assert (
        metrics["generator_loss"]["values"][-1] == trained.run(training)["result"]["generator_loss"]
    )


def test_sample_grids_reach_model_folder_and_run(trained, training):
    grids = sorted((trained.folder / "models" / "smoke" / "samples").glob("*.png"))
    assert [grid.name for grid in grids] == ["step-00000002.png", "step-00000004.png"]
    with Image.open(grids[-1]) as picture:
        pixels = np.asarray(picture)
    # Whole tiles of 28 pixels in frames of one.
    assert [(side - 1) % 29 for side in pixels.shape] == [0, 0]
    assert len(np.unique(pixels)) > 2
    kept = trained.folder / "kept" / str(training) / "samples-00000004.png"
    assert kept.read_bytes() == grids[-1].read_bytes()


def test_the_end_says_where_grid_checkpoint_records_and_run_lie(trained, training):
    for said in (
        "Sample grid: models/smoke/samples/step-00000004.png",
        "Checkpoint:  models/smoke/model.ckpt-4",
        "Records:     records/smoke",
        f"Run {training}: kept/{training}",
    ):
        assert said in trained.output, trained.output


def test_serializing_without_observer_writes_records_and_no_run(tmp_path):
    code, output = experiment("mnist_serialize", tmp_path, "-u", "with", "smoke", "record_dir=here")
    assert code == 0, output
    assert "1,797 records in here" in output
    assert read_manifest("here").splits["train"].records == 1500
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_wrong_type_is_refused_before_anything_starts(tmp_path):
    code, output = experiment(
        "mnist_wgan", tmp_path, "-F", "kept", "with", "smoke", "batch_size=many"
    )
    assert code != 0
    assert "batch_size" in output
    assert "an integer" in output
    assert "Traceback" not in output
    assert not list(tmp_path.iterdir())
