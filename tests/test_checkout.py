"""What the README's commands leave in a checkout is no change of it; new sources are."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reproducible_ml.commands.new import write_project

ROOT = Path(__file__).parents[1]
WRITTEN = [
    "data/digits/dataset.json",
    "runs/1/run.json",
    "models/mnist_wgan-1/model.ckpt-1.index",
    "exports/run-1-step-4/saved_model.pb",
    "sweeps/1/table.csv",
    "report.html",
    "report-1.html",
]


def new_files(folder, paths):
    """Return which of these files git would call new in a checkout."""
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    done = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return {line[3:] for line in done.stdout.splitlines()} & set(paths)


def test_what_commands_write_leaves_the_checkout_clean(tmp_path):
    shutil.copy(ROOT / ".gitignore", tmp_path)
    notebooks = [f"notebooks/{path}" for path in [*WRITTEN, "photos/cats/1.png"]]
    assert new_files(tmp_path, [*WRITTEN, "photos/cats/1.png", *notebooks]) == set()


@pytest.mark.parametrize(
    "path",
    [
        "reproducible_ml/models/new.py",
        "reproducible_ml/report/templates/report.html",
        "tests/models/test_new.py",
        "notebooks/new.ipynb",
    ],
)
def test_a_new_source_is_not_ignored(tmp_path, path):
    shutil.copy(ROOT / ".gitignore", tmp_path)
    assert new_files(tmp_path, [path]) == {path}


def test_a_new_project_ignores_what_its_experiments_write_too(tmp_path):
    write_project(tmp_path, "mine")
    assert new_files(tmp_path, WRITTEN) == set()
    assert new_files(tmp_path, ["mine/models.py"]) == {"mine/models.py"}
