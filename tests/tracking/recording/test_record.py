"""A run holds everything that its result may depend on, and everything that came out."""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import sys
from datetime import timedelta

import pytest

from reproducible_ml.datasets.serialize.manifest import read_manifest
from reproducible_ml.tracking.recording.seal import SEALED_FACTS
from reproducible_ml.tracking.runs.run import load_run
from tests.tracking import lab


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return lab.recorded(tmp_path_factory)


@pytest.fixture
def run(project):
    return load_run(1, project.parent / "runs")


def test_the_complete_configuration_is_recorded(run):
    assert run.config == {
        **{"seed": 3, "lr": 0.5, "steps": 3, "name": "plain", "fast": False, "shape": [4, 3]},
        **{"optimizer": {"kind": "sgd", "momentum": 0.9}, "npz_file": None, "free": None},
        **{"record_dir": "data", "stage": True, "fail": ""},
    }


def test_every_source_is_recorded_as_it_was_changed_and_new_ones_too(run, project):
    ours = {name: text for name, text in run.sources.items() if name.startswith("lab/")}
    assert ours == {
        "lab/__init__.py": b"",
        "lab/fits.py": lab.FITS.encode(),
        "lab/make.py": lab.MAKE.encode(),
        "lab/train.py": lab.TRAIN.encode(),
        "lab/changed.py": b"after = 2\n",
        "lab/added.py": b"new = 3\n",
    }


def test_the_whole_library_is_among_the_sources(run):
    library = lab.ROOT / "reproducible_ml"
    recorded = {name for name in run.sources if name.startswith("reproducible_ml/")}
    # Others may be added to the checkout while the tests run; these have been there before.
    assert {
        "reproducible_ml/__init__.py",
        "reproducible_ml/tracking/recording/facts.py",
    } <= recorded
    assert len(recorded) > 0.9 * len(list(library.rglob("*.py")))
    seeds = library / "utils" / "seeds.py"
    assert run.sources["reproducible_ml/utils/seeds.py"] == seeds.read_bytes()


def test_the_commit_and_what_differs_from_it_are_recorded(run, project):
    git = run.environment["git"]
    assert run.git_commit == git["commit"] == lab.git(project, "rev-parse", "HEAD")
    assert git["branch"] == "main"
    assert sorted(git["changed"]) == ["?? lab/added.py", "M lab/changed.py"]
    assert "-before = 1\n+after = 2\n" in git["diff"]
    assert run.dirty is True


def test_a_checkout_without_changes_is_clean_and_a_new_file_makes_it_dirty(tmp_path):
    from reproducible_ml.tracking.recording.source_files import git_state

    project = lab.make_project(tmp_path)
    lab.git(project, "add", "-A")
    lab.git(project, "commit", "-q", "-m", "All")
    assert git_state(project)["dirty"] is False
    (project / "runs").mkdir()
    (project / "runs" / "1").write_text("")
    assert git_state(project, [project / "runs"])["dirty"] is False
    (project / "lab" / "new.py").write_text("")
    assert git_state(project, [project / "runs"])["dirty"] is True


def test_a_folder_of_many_new_files_does_not_fill_the_record(tmp_path):
    from reproducible_ml.tracking.recording.source_files import MOST_CHANGED, git_state

    project = lab.make_project(tmp_path)
    lab.git(project, "add", "-A")
    lab.git(project, "commit", "-q", "-m", "All")
    (project / "photos").mkdir()
    for number in range(MOST_CHANGED + 7):
        (project / "photos" / f"{number:05d}.png").touch()
    changed = git_state(project)["changed"]
    assert len(changed) == MOST_CHANGED + 1
    assert changed[-2:] == ["?? photos/00999.png", "(cut here, 7 more)"]


def test_package_versions_and_python_are_recorded(run):
    packages = run.environment["packages"]
    for name in ("numpy", "tensorflow", "sacred", "pymongo", "click"):
        assert packages[name] == importlib.metadata.version(name)
    dependencies = run.entry["experiment"]["dependencies"]
    assert f"numpy=={packages['numpy']}" in dependencies
    assert len(dependencies) == len(packages)
    assert run.environment["python"]["version"] == platform.python_version()
    assert run.environment["os"]["system"] == platform.system()


def test_processor_and_threads_are_recorded(run):
    cpu = run.environment["cpu"]
    assert cpu["cores"] == os.cpu_count()
    if sys.platform == "linux" and platform.machine() == "x86_64":
        with open("/proc/cpuinfo") as file:
            text = file.read()
        assert cpu["model"] in text
        assert "sse2" in cpu["flags"]
    threads = run.environment["threads"]
    assert threads["OMP_NUM_THREADS"] == "1"
    # Run 1 has loaded TensorFlow to write its data, in its own process.
    assert {"tensorflow_intra_op", "tensorflow_inter_op"} <= set(threads)


def test_the_build_of_tensorflow_is_recorded(run):
    tensorflow = run.environment["tensorflow"]
    assert tensorflow["version"] == importlib.metadata.version("tensorflow")
    assert re.match(r"v2\.15", tensorflow["git_version"])
    assert tensorflow["build"]["is_cuda_build"] in (True, False)


def test_variables_that_change_results_are_recorded_and_secrets_are_not(run):
    variables = run.environment["variables"]
    assert variables["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1"
    assert variables["TF_LAB_TOKEN"] == "***"
    assert variables["TF_LAB_URL"] == "https://***@example.org/x"
    assert "LAB_UNRELATED" not in variables


def test_the_data_set_is_recorded_with_its_manifest_as_a_resource(run, project):
    manifest = read_manifest(project.parent / "data")
    assert run.info["dataset"]["records"] == {
        "record_dir": "data",
        "fingerprint": manifest.fingerprint,
        "records": {"train": 4},
        "source": manifest.source,
    }
    (content,) = run.store.resources(1).values()
    assert json.loads(content)["fingerprint"] == manifest.fingerprint


def test_the_run_that_made_the_data_is_named_whether_it_ran_within_or_before(project):
    runs = project.parent / "runs"
    assert load_run(1, runs).info["upstream"] == [{"stage": "make", "run_id": 2}]
    fingerprint = load_run(2, runs).result["fingerprint"]
    assert load_run(3, runs).info["upstream"] == [
        {"stage": "make", "run_id": 2, "fingerprint": fingerprint}
    ]


def test_metrics_have_their_true_steps_and_keep_nan(run):
    points = run.points
    assert points["loss"]["steps"] == list(lab.STEPS)
    assert points["loss"]["values"] == [0.5, 0.25, 0.5 / 3]
    assert points["odd"]["values"][::2] == [1.0, 3.0]
    assert math.isnan(points["odd"]["values"][1])


def test_a_picture_is_an_artifact_with_its_content_type(run):
    assert run.artifacts["samples.png"] == lab.PICTURE
    assert run.artifacts.infos["samples.png"].content_type == "image/png"


def test_the_last_checkpoint_is_named_with_the_digests_of_its_files(run, project):
    checkpoint = run.info["checkpoint"]
    assert checkpoint["path"] == str(project.parent / "model.ckpt-30")
    assert checkpoint["step"] == 30
    assert checkpoint["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in lab.CHECKPOINT.items()
    }


def test_result_digest_output_and_wall_time_are_recorded(run):
    assert run.result == {"step": 30, "loss": 0.5 / 3}
    assert run.info["digest"]["run"] == "3".zfill(64)
    assert "the last line" in run.log
    start, stop = run.entry["start_time"], run.entry["stop_time"]
    assert timedelta(0) < stop - start < timedelta(minutes=1)
    assert run.duration_seconds == (stop - start).total_seconds()


def test_a_failed_run_keeps_its_points_and_the_error(project):
    run = load_run(4, project.parent / "runs")
    assert run.status == "FAILED"
    assert "RuntimeError: too hot" in "".join(run.entry["fail_trace"])
    assert run.points["loss"]["steps"] == list(lab.STEPS)


def test_a_metric_without_a_whole_step_is_refused():
    from reproducible_ml.tracking.recording.facts import record_scalar

    with pytest.raises(TypeError):
        record_scalar(None, "loss", 1.0, None)


def test_a_picture_whose_name_is_none_of_a_picture_is_refused(tmp_path):
    from reproducible_ml.tracking.recording.facts import record_image
    from reproducible_ml.utils.errors import TrackingError

    with pytest.raises(TrackingError, match=r"'grid.bin' is not an image's name"):
        record_image(None, tmp_path / "grid.bin")


def test_a_checkpoint_that_is_missing_is_refused(tmp_path):
    from reproducible_ml.tracking.recording.facts import record_checkpoint
    from reproducible_ml.utils.errors import TrackingError

    with pytest.raises(TrackingError, match=r"There is no checkpoint .*model\.ckpt-7"):
        record_checkpoint(None, tmp_path / "model.ckpt-7", 7)


def test_the_page_on_records_names_every_fact_of_a_run(run):
    page = (lab.ROOT / "docs" / "tracking-records.md").read_text()
    for key in [*run.info, *SEALED_FACTS, "seal", "verdicts", "reproduced_from"]:
        assert f"`{key}`" in page or f"`{key}." in page, key
    for key in run.environment:
        assert f".{key}`" in page or f"`{key}`" in page, key
    for key in ("config", "result", "status", "heartbeat", "artifacts", "resources", "host"):
        assert f"`{key}`" in page, key
