"""A model's default folder is its run's own, whatever earlier runs have left."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reproducible_ml.stages.parts import default_dir
from reproducible_ml.tracking import experiment
from reproducible_ml.utils.errors import ConfigError

ex = experiment("train")


@ex.main
def main(_run):
    """Continue what the folder holds, as a training does."""
    folder = default_dir(_run)
    step = len(list(folder.iterdir())) + 1
    (folder / f"model.ckpt-{step}").touch()
    return {"folder": str(folder), "step": step}


def result(folder="runs", **options):
    return ex.run(options={"--file_storage": folder, **options}).result


@pytest.mark.parametrize(
    "again",
    [
        lambda: shutil.rmtree("runs"),
        lambda: shutil.rmtree(Path("runs", "1")),
        lambda: Path("runs").rename("kept"),
    ],
    ids=["runs removed", "run deleted", "runs moved"],
)
def test_a_run_of_an_id_that_was_used_before_begins_anew(again, capsys):
    assert result() == {"folder": "models/train-1", "step": 1}
    again()
    assert result() == {"folder": "models/train-1-2", "step": 1}
    said = "models/train-1 is left from another run, so this one writes models/train-1-2."
    assert said in capsys.readouterr().out


def test_equal_ids_of_other_folders_and_unrecorded_runs_have_folders_of_their_own():
    found = [result("a"), result("b"), result("c", **{"--id": "mine"})]
    found += [result(**{"--unobserved": True}) for _ in range(2)]
    names = ["1", "1-2", "mine", "unrecorded", "unrecorded-2"]
    assert found == [{"folder": f"models/train-{name}", "step": 1} for name in names]


def test_runs_that_start_at_once_share_no_folder():
    run = ex.run(options={"--unobserved": True})
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: default_dir(run), range(40)))
    assert len(set(folders)) == 40


def test_a_place_that_cannot_hold_the_folder_is_one_sentence():
    Path("models").write_text("a file")
    with pytest.raises(ConfigError, match=r"models/train-1 can't be made: Not a directory"):
        result()
