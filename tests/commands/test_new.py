"""``reproducible-ml new`` writes a repository whose commands pass right away."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reproducible_ml import __version__
from reproducible_ml.cli import main
from reproducible_ml.commands.new import KINDS
from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.tracking.runs import load_run
from tests import warm
from tests.browser import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def new(*arguments):
    """Return exit code and output of the command."""
    done = CliRunner().invoke(main, ["new", *arguments])
    return done.exit_code, done.output


def run(*arguments, cwd="my_project"):
    """Run a Python module in the project as a user does; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_warm(*arguments):
    """Run a Python module in the project, in a process that has imported TensorFlow already."""
    done = warm.run("-m", *arguments, cwd="my_project", environment=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_says_what_it_wrote_and_what_to_type_next():
    code, output = new("my_project")
    assert code == 0
    files = sorted(path for path in Path("my_project").rglob("*") if path.is_file())
    assert output.splitlines()[0] == f"Wrote {len(files)} files to my_project. Next:"
    commands = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    assert commands == [
        "cd my_project",
        "git init && git add . && git commit -m Begin",
        "python -m experiments.train with smoke",
        "python -m pytest",
    ]
    assert Path("my_project/my_project/handlers.py") in files
    assert Path("my_project/.gitignore") in files


def test_the_readmes_experiments_come_to_the_letter():
    code, output = new("1st-tries", "--mnist")
    assert code == 0, output
    found = {path.name: path.read_bytes() for path in Path("1st-tries/experiments").iterdir()}
    expected = {path.name: path.read_bytes() for path in (ROOT / "experiments").glob("*.py")}
    assert found == expected
    assert "/models/" in Path("1st-tries/.gitignore").read_text(encoding="utf-8").split()
    assert output.startswith(f"Wrote {len(expected) + 1} files to 1st-tries. Next:\n")
    assert "  python -m experiments.mnist_wgan with digits\n" in output
    assert new("1st-tries", "--mnist")[0] == 1
    code, output = new("others", "--mnist", "--kind", "gan")
    assert code == 2
    assert "--mnist writes the README's experiments, of no --kind." in output
    assert not Path("others").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_templates_is_left_and_every_file_parses(kind):
    code, output = new("spectra", "--kind", kind)
    assert code == 0
    assert output.startswith(f"Wrote {len(KINDS[kind])} files to spectra. Next:\n")
    for path in Path("spectra").rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\{\{|\}\}|\{%|NAME|my_project", text), path
            assert text.endswith("\n")
            assert "\n\n\n\n" not in text
            if path.suffix == ".py":
                ast.parse(text)
    pinned = f'dependencies = ["reproducible-ml=={__version__}"]'
    assert pinned in Path("spectra/pyproject.toml").read_text(encoding="utf-8")


def test_every_template_is_used_and_those_of_several_kinds_are_shared():
    folder = ROOT / "reproducible_ml" / "templates" / "project"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    used = {template for files in KINDS.values() for template in files.values()}
    extended = {
        name for one in texts for name in re.findall(r'(?:extends|include) "([^"]+)"', texts[one])
    }
    assert set(texts) == used | extended
    alone = set(KINDS["gan"].items()) - set(KINDS["classifier"].items())
    assert {template for _, template in alone} == {
        "networks.py.jinja",
        "losses.py.jinja",
        "train_gan.py.jinja",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_project_passes_ruff_with_its_own_settings(kind):
    new("my_project", "--kind", kind)
    run("ruff", "check", "--no-cache", "--extend-select", "I,UP,B", ".")
    run("ruff", "format", "--no-cache", "--check", ".")


def test_an_unknown_kind_is_refused_with_those_that_exist():
    code, output = new("my_project", "--kind", "vae")
    assert code == 2
    assert "'gan', 'classifier', 'table', 'sklearn'" in output
    assert not Path("my_project").exists()


def test_an_empty_folder_is_filled():
    Path("my_project").mkdir()
    assert new("my_project")[0] == 0
    assert Path("my_project/README.md").is_file()


def test_a_project_may_lie_anywhere(tmp_path):
    (tmp_path / "deep down").mkdir()
    code, output = new("deep down/my_project")
    assert code == 0
    assert "  cd 'deep down/my_project'\n" in output
    assert Path("deep down/my_project/my_project/source.py").is_file()


@pytest.mark.parametrize("name", ["my-project", "1st", "a b", "class", "prôject", "a.b"])
def test_a_name_that_no_package_can_have_is_refused(name):
    code, output = new(name)
    assert code == 1
    assert output.startswith(f"Error: {name!r} can't be the name of a package")
    assert not Path(name).exists()


@pytest.mark.parametrize("name", ["reproducible_ml", "numpy", "json"])
def test_the_name_of_another_module_is_refused(name):
    assert new(name) == (1, f"Error: There is already a module {name!r}; choose another name.\n")


@pytest.mark.parametrize("name", ["experiments", "tests", "runs"])
def test_the_name_of_a_folder_in_the_project_is_refused(name):
    code, output = new(name)
    assert (code, output) == (
        1,
        f"Error: {name!r} is a folder in every new project; choose another name.\n",
    )


def test_a_folder_with_content_is_left_as_it_is():
    Path("my_project").mkdir()
    Path("my_project/mine.txt").write_text("mine", encoding="utf-8")
    code, output = new("my_project")
    assert (code, output) == (
        1,
        "Error: my_project already exists and is not an empty folder; choose another.\n",
    )
    assert [path.name for path in Path("my_project").iterdir()] == ["mine.txt"]


def test_a_missing_parent_is_named():
    code, output = new("none/my_project")
    assert (code, output) == (
        1,
        "Error: There is no folder none for my_project; create it first.\n",
    )


def test_its_data_and_its_quick_tests_pass_at_once():
    new("my_project")
    output = run_warm("experiments.serialize", "with", "samples_per_record=1000")
    assert "1,797 records in data/my_project" in output
    assert verify("my_project/data/my_project") == []
    manifest = read_manifest("my_project/data/my_project")
    assert manifest.features["image"].shape == (16, 16, 1)
    assert {name: split.records for name, split in manifest.splits.items()} == {
        "train": 1500,
        "eval": 150,
        "test": 147,
    }
    output = run_warm("pytest", "-q", "-p", "no:cacheprovider", "-k", "digit or row")
    assert "2 passed" in output


def test_a_table_is_read_from_the_file_that_the_project_brings():
    new("my_project", "--kind", "table")
    assert "150 records in data/my_project" in run_warm("experiments.serialize")
    manifest = read_manifest("my_project/data/my_project")
    lines = Path("my_project/flowers.csv").read_text(encoding="utf-8").splitlines()
    assert set(manifest.features) == set(lines[0].split(","))
    assert sum(split.records for split in manifest.splits.values()) == len(lines) - 1 == 150
    assert {"train", "eval", "test"} == set(manifest.splits)


def test_a_fit_of_scikit_learn_is_recorded_without_tensorflow():
    new("my_project", "--kind", "sklearn")
    program = (
        "import runpy, sys; sys.argv = ['train', 'with', 'smoke'];"
        "runpy.run_module('experiments.train', run_name='__main__', alter_sys=True);"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd="my_project",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"
    found = load_run(1, "my_project/runs")
    assert found.points["log_loss"]["steps"] == [1, 2]
    rows = Path("my_project/flowers.csv").read_bytes()
    (digest,) = found.info["inputs"]
    assert hashlib.sha256(rows).hexdigest() in json.dumps(digest)


def test_the_experiments_of_a_project_run_as_files_too():
    for kind in KINDS:
        new(f"project_{kind}", "--kind", kind)
        for file in Path(f"project_{kind}/experiments").glob("[a-z]*.py"):
            text = file.read_text()
            local = f"from project_{kind}" in text or "from experiments" in text
            assert local == ("not __package__" in text), file
    done = subprocess.run(
        [sys.executable, "train.py", "print_config", "with", "smoke"],
        cwd="project_table/experiments",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "max_steps = 4" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_each_kind_pass_and_the_run_can_be_proved(kind):
    new("my_project", "--kind", kind)
    output = run_warm("experiments.train", "with", "smoke")
    assert ("Accuracy: " if kind == "sklearn" else "Step 4, digest") in output
    # The one that is left out executes what was executed here.
    output = run_warm("pytest", "-q", "-p", "no:cacheprovider", "-k", "not recorded")
    assert " passed, 1 deselected" in output
    assert "identical" in run("reproducible_ml.cli", "reproduce", "1")


@pytest.mark.slow
def test_the_tests_of_a_project_pass_and_a_report_shows_its_lineage():
    new("my_project")
    assert "5 passed" in run("pytest", "-q")
    run("experiments.train", "with", "smoke")
    run("reproducible_ml.cli", "report", "1")
    assert "my_project_serialize" in Path("my_project/report.html").read_text(encoding="utf-8")
