"""Modules of version 1.0 are found under their documented names, with one warning each."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from reproducible_ml import models
from reproducible_ml.moved import MOVED

# What version 1.0's API pages listed, by module; written down from them, not from the code.
DOCUMENTED = {
    "datasets.serialize.verify": ["verify", "Defect"],
    "models.classifier_training": [
        "train_classifier",
        "ClassifierSettings",
        "ClassifierResult",
        "measure_accuracy",
    ],
    "models.determinism": ["Determinism", "apply_determinism"],
    "models.drawing": ["draw_samples", "evaluation_latents", "grid_inputs"],
    "models.estimator": ["GANEstimator"],
    "models.gan_estimator": ["make_gan_estimator"],
    "models.gan_types": ["GanType", "Defaults", "gan_type_row", "GAN_TYPES"],
    "models.losses": [],
    "models.metrics": ["frechet_distance", "kernel_distance"],
    "models.neighbours": ["nearest_neighbours", "precision_recall"],
    "models.networks": ["generator_fn", "critic_fn"],
    "models.penalties": ["critic_penalty"],
    "models.sampling": ["TrainedGAN"],
    "models.settings": ["GANSettings", "Cadence"],
    "models.training": ["train_gan", "Watcher"],
    "models.training_result": ["TrainingResult"],
    "tracking.comparison": ["compare_runs", "Comparison", "Difference"],
    "tracking.evaluation_stages": ["classifier_stage", "evaluation_stage"],
    "tracking.record": ["record_digest", "record_image"],
    "tracking.stages": ["serialize_stage", "gan_stage"],
    "tracking.stores": ["open_store", "Store", "ArtifactInfo"],
    "tracking.tracked_experiment": ["experiment", "TrackedExperiment"],
}
# These packages took the place of the module of the same name.
KEPT = {
    "datasets.serialize.beam": ["write_records"],
    "models.evaluation": ["evaluate_gan", "Evaluation"],
    "models.export": ["export_gan", "Export"],
    "report.page": ["make_report"],
    "tracking.reproduce": ["reproduce", "Request", "Reproduction"],
    "tracking.runs": ["Run", "load_run", "list_runs"],
}


def test_every_alias_is_documented_and_the_other_way_round():
    assert set(MOVED) == set(DOCUMENTED)


@pytest.mark.parametrize("former", DOCUMENTED)
def test_a_former_module_gives_its_names_and_warns_once(former):
    name = f"reproducible_ml.{former}"
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match=f"{name} is deprecated.* 1.2") as told:
        module = importlib.import_module(name)
    assert [one.filename for one in told] == [importlib.__file__]
    present = importlib.import_module(f"reproducible_ml.{MOVED[former]}")
    for public in DOCUMENTED[former]:
        assert getattr(module, public) is getattr(present, public)
    # A second import is silent; warnings are errors here.
    assert importlib.import_module(name) is module


@pytest.mark.parametrize("module", KEPT)
def test_a_package_has_the_names_of_the_module_that_it_was(module):
    found = importlib.import_module(f"reproducible_ml.{module}")
    assert all(getattr(found, name) is not None for name in KEPT[module])


def test_the_warning_names_the_line_that_imports(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("import os\nfrom reproducible_ml.models.settings import Cadence\n")
    done = subprocess.run(
        [sys.executable, "-W", "default::DeprecationWarning:__main__", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{script}:2: DeprecationWarning: reproducible_ml.models.settings" in done.stderr


def test_the_former_name_of_the_latents_of_grids_gives_the_same_and_warns_the_caller():
    assert models.gan.evaluation_latents is models.evaluation_latents
    with pytest.warns(
        DeprecationWarning, match=r"goes with version 1\.2: use grid_latents"
    ) as told:
        found = models.evaluation_latents(7, 2, 3)
    assert [one.filename for one in told] == [__file__]
    np.testing.assert_array_equal(found, models.grid_latents(7, 2, 3))


def test_an_unknown_module_is_still_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"reproducible_ml\.models\.nothing"):
        importlib.import_module("reproducible_ml.models.nothing")
