"""``stages.train``: the data set first, evaluations on the way, and a resume after a crash."""

import json
import os
import shutil
from pathlib import Path

import pytest

from reproducible_ml.stages import train
from reproducible_ml.utils.errors import ConfigError
from tests import warm

ROOT = Path(__file__).parents[2]


def run(folder, *updates, kill_in_evaluation=0):
    """Run the user's experiment; return its exit code and what it printed."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KILL_IN_EVALUATION": str(kill_in_evaluation),
    }
    python = warm.Python(
        "-m",
        "evaluated_model",
        "with",
        "model_dir=model",
        *updates,
        cwd=folder,
        environment=environment,
    )
    printed = "".join(python.communicate(timeout=240))
    return python.returncode, printed


def read(folder, run_id, name):
    return json.loads((folder / "runs" / str(run_id) / name).read_text(encoding="utf-8"))


def points(folder, run_id):
    """Return each metric's steps and values, without what measures time."""
    found = read(folder, run_id, "metrics.json")
    return {
        name: (found[name]["steps"], found[name]["values"])
        for name in found
        if name != "steps_per_second"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that was never interrupted: run 1, with its data set of run 2."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copy(Path(__file__).with_name("evaluated_model.py"), folder)
    code, printed = run(folder)
    assert code == 0, printed
    return folder


def beside(whole, folder):
    """Fill a folder with the experiment and the data set."""
    shutil.copy(whole / "evaluated_model.py", folder)
    shutil.copytree(whole / "data", folder / "data")
    return folder


def test_it_writes_the_data_set_and_evaluates_on_the_way(whole):
    found = points(whole, 1)
    assert found["eval_accuracy"][0] == found["eval_loss"][0] == [5, 9]
    # Pauses leave no points of their own, but the last step does.
    assert found["loss"][0] == [4, 8, 9]
    result = read(whole, 1, "run.json")["result"]
    assert result["step"] == 9
    assert result["eval_accuracy"] == found["eval_accuracy"][1][-1]
    info = read(whole, 1, "info.json")
    assert [(one["stage"], one["run_id"]) for one in info["upstream"]] == [("write", 2)]
    assert info["stage"]["inputs"] == ["record_dir"]
    assert info["stage"]["outputs"] == ["model_dir"]


def test_killed_between_checkpoint_and_evaluation_it_resumes_to_the_same_record(whole, tmp_path):
    folder = beside(whole, tmp_path)
    code, _ = run(folder, kill_in_evaluation=1)
    assert code == -9
    assert not (folder / "model" / "figures.jsonl").exists()
    # As if half of the figures of step 5 had been written before the crash.
    half = '["eval_accuracy", 0.0, 5]\n["eval_lo'
    (folder / "model" / "figures.jsonl").write_text(half, encoding="utf-8")
    code, printed = run(folder)
    assert code == 0, printed
    assert "Continuing model at step 5 of 9." in printed
    assert points(folder, 1) == points(whole, 1)
    assert figures(folder) == figures(whole)
    assert read(folder, 1, "info.json")["digest"] == read(whole, 1, "info.json")["digest"]
    # Once more, when nothing is left to do.
    code, printed = run(folder)
    assert code == 0, printed
    assert "model is already at step 9." in printed
    assert points(folder, 2) == points(whole, 1)
    assert read(folder, 2, "run.json")["result"] == read(whole, 1, "run.json")["result"]


def figures(folder):
    lines = (folder / "model" / "figures.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_data_that_ends_early_is_evaluated_once_at_its_end(whole, tmp_path):
    folder = beside(whole, tmp_path)
    # 1,500 rows are 15 batches of 100.
    settings = ("repeat=False", "max_steps=40", "evaluate_every_steps=16")
    code, printed = run(folder, *settings)
    assert code == 0, printed
    assert points(folder, 1)["eval_loss"][0] == [15]
    assert read(folder, 1, "run.json")["result"]["step"] == 15
    assert read(folder, 1, "info.json")["checkpoint"]["step"] == 15


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"evaluate_every_steps": 5}, "nothing says where training ends"),
        ({"max_steps": 0}, "max_steps must be an integer from 1, found 0"),
        ({"max_steps": 9, "evaluate_every_steps": 2.5}, "integer from 1, found 2.5"),
    ],
)
def test_a_schedule_that_can_not_be_is_refused_before_anything_is_written(config, sentence):
    with pytest.raises(ConfigError, match=sentence):
        train(None, config, None, None, evaluate_input=print)
