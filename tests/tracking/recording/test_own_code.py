"""Code of the user's own is recorded and executed again, wherever it was imported from."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.process.own_code import loaded_code
from reproducible_ml.tracking.recording.source_files import git_refusal, git_state
from reproducible_ml.tracking.runs import load_run
from tests.tracking import toy_project

ROOT = Path(__file__).parents[3]
EXPERIMENT = """
from reproducible_ml.tracking import experiment
import beside, edited, helper, zipped
from space.deep import inner

ex = experiment("train")
exec("def made(): return 6")

@ex.automain
def main(_run):
    import edited.late
    modules = [beside, edited, helper, zipped, inner, edited.late]
    return [one.VALUE for one in modules] + [made()]
"""
# Module -> where it lies, relative to the test's folder.
FILES = {
    "beside": "project/experiments/beside.py",
    "edited": "project/src/edited/__init__.py",
    "edited.late": "project/src/edited/late.py",
    "helper": "tools/helper.py",
    "space.deep.inner": "names/space/deep/inner.py",
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recorded run whose code was found in five ways; all of it has changed since."""
    folder = tmp_path_factory.mktemp("own")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    packages = [ROOT, Path(sysconfig.get_paths()["purelib"])]
    lines = [f"import site; site.addsitedir({str(one)!r})" for one in packages]
    (site / "a.pth").write_text("\n".join(lines))
    # As an editable installation leaves it.
    (site / "__editable__.edited.pth").write_text(str(folder / "project" / "src"))
    write(folder / "project" / "experiments" / "train.py", EXPERIMENT)
    for number, path in enumerate(FILES.values()):
        write(folder / path, f"VALUE = {number}\n")
    with zipfile.ZipFile(folder / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", "VALUE = 5\n")
    path = os.pathsep.join(str(folder / name) for name in ("tools", "lib.zip", "names"))
    done = subprocess.run(
        [folder / "env" / "bin" / "python", "experiments/train.py"],
        cwd=folder / "project",
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path in FILES.values():
        write(folder / path, "VALUE = 99\n")
    return folder, done


def test_every_file_of_ones_own_is_recorded_and_nothing_installed(recorded):
    folder, _ = recorded
    run = load_run(1, folder / "project" / "runs")
    assert run.result == [0, 1, 3, 5, 4, 2, 6]
    own = {name for name in run.sources if not name.startswith("reproducible_ml/")}
    outside = f"_outside{folder}"
    expected = {"train.py", "beside.py", f"{outside}/lib.zip"} | {
        f"{outside}/{path}" for name, path in FILES.items() if name != "beside"
    }
    assert own == expected
    assert run.sources[f"{outside}/tools/helper.py"] == b"VALUE = 3\n"


def test_code_in_no_file_is_said_in_the_run_and_where_runs_are_compared(recorded):
    folder, done = recorded
    said = "__main__.made, which was made by exec or typed"
    assert f"The record does not hold {said}." in done.stderr
    runs = folder / "project" / "runs"
    assert load_run(1, runs).info["unrecorded"] == [said]
    output = CliRunner().invoke(main, ["compare", "1", "1", "-F", str(runs)]).output
    assert f", as far as recorded: without {said}" in output
    shown = CliRunner().invoke(main, ["show", "1", "-F", str(runs)], env={"COLUMNS": ""}).output
    assert said in shown


def test_a_rerun_executes_the_recorded_code_and_not_todays(recorded):
    folder, _ = recorded
    done = subprocess.run(
        [folder / "env" / "bin" / "python", "-m", "reproducible_ml.cli", "reproduce", "1"],
        cwd=folder / "project",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Run 2 executes run 1 again: identical." in done.stdout
    assert load_run(2, folder / "project" / "runs").result == [0, 1, 3, 5, 4, 2, 6]


def test_a_rerun_that_imports_todays_code_all_the_same_is_no_verdict(tmp_path):
    project = toy_project.Project(tmp_path)
    tools = tmp_path / "tools"
    write(tools / "helper.py", "VALUE = 1\n")
    project.source.write_text(
        f"import sys\nsys.path.insert(0, {str(tools)!r})\nimport helper\n"
        "from reproducible_ml.tracking import experiment\nex = experiment('walk')\n"
        "@ex.automain\ndef main(_run):\n    return 7\n"
    )
    assert project.record() == 1
    write(tools / "helper.py", "VALUE = 2\n")
    code, output = project.reproduce(1)
    assert code == 2, output
    assert "Run 2 executed a different _outside" in output
    assert "helper.py from the one that run 1 recorded" in output


def test_code_whose_file_is_gone_is_said_and_hinders_no_run(tmp_path):
    """Removed or renamed in a notebook's session; being edited in Emacs; not readable."""
    package = tmp_path / "project" / "experiments"
    write(package / "__init__.py", "")
    write(package / "gone.py", "VALUE = 1\n")
    write(package / "later.py", "VALUE = 2\n")
    (package / ".#train.py").symlink_to("me@host.123:456")
    program = """
        import pathlib
        from reproducible_ml.tracking import experiment
        from experiments import gone, later

        pathlib.Path(gone.__file__).unlink()
        ex = experiment("train")

        @ex.automain
        def main():
            pathlib.Path(later.__file__).unlink()
            return gone.VALUE + later.VALUE
        """
    write(package / "train.py", textwrap.dedent(program))
    done = toy_project.run([sys.executable, "-m", "experiments.train"], tmp_path / "project")
    assert done.returncode == 0, done.stderr
    run = load_run(1, tmp_path / "project" / "runs")
    assert run.result == 3
    recorded = run.entry["experiment"]["sources"]
    names = {name for name, _ in recorded if name.startswith("experiments/")}
    assert names == {"experiments/__init__.py", "experiments/later.py", "experiments/train.py"}
    (said,) = run.facts["unrecorded"]
    assert said == f"{package / 'gone.py'}, which is gone or can't be read"
    assert done.stderr.count("gone.py") == 1


@pytest.fixture
def _imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("_imported")
def test_a_compiled_module_is_recorded_and_said_to_lack_its_source(tmp_path):
    library = Path(sysconfig.get_paths()["stdlib"], "lib-dynload")
    compiled = next(library.glob("_statistics.*.so"), None)
    if compiled is None:
        pytest.skip("this Python has its own modules built in")
    write(tmp_path / "fast" / "__init__.py", "from fast import _statistics\n")
    shutil.copy(compiled, tmp_path / "fast")
    __import__("fast")
    found = loaded_code(tmp_path)
    assert tmp_path / "fast" / compiled.name in found.files
    assert f"the source code of {compiled.name} (the file is recorded)" in found.without_file
    assert tmp_path in found.roots


@pytest.mark.usefixtures("_imported")
def test_what_pip_installed_into_a_folder_is_not_ones_own(tmp_path):
    write(tmp_path / "bought.py", "VALUE = 1\n")
    (tmp_path / "bought-1.0.dist-info").mkdir()
    __import__("bought")
    assert tmp_path / "bought.py" not in loaded_code(tmp_path).files


@pytest.mark.usefixtures("_imported")
def test_a_file_that_is_executed_without_an_import_is_recorded(tmp_path):
    write(tmp_path / "body.py", "def f(): return 1\n")
    body = f"path = {str(tmp_path / 'body.py')!r}\nwith open(path) as file:\n"
    write(tmp_path / "shell.py", body + "    exec(compile(file.read(), path, 'exec'))\n")
    __import__("shell")
    assert {tmp_path / "body.py", tmp_path / "shell.py"} <= loaded_code(tmp_path).files


def git(folder, *words):
    config = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *config, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit, and a folder in it that it ignores."""
    git(tmp_path, "init", "-q")
    write(tmp_path / ".gitignore", "env/\n")
    write(tmp_path / "env" / "lib" / "x.py", "")
    write(tmp_path / "code" / "y.py", "")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def test_a_folder_that_a_checkout_ignores_has_no_commit_of_it(checkout):
    assert git_state(checkout / "code")["commit"] == git_state(checkout)["commit"]
    assert git_state(checkout / "env" / "lib") is None


def test_a_variable_that_names_another_checkout_is_not_followed(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_state(checkout / "code")["root"] == str(checkout.resolve())


def test_a_checkout_of_another_owner_is_said_with_the_way_to_allow_it(checkout, monkeypatch):
    assert git_refusal(checkout / "code") is None
    # Git's own way to try this without another user.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert git_state(checkout / "code") is None
    said = git_refusal(checkout / "code")
    assert said.startswith(f"The commit of {checkout} is not recorded: git says ")
    assert said.endswith(f"git config --global --add safe.directory {checkout}")


def test_the_librarys_commit_is_never_shown_as_the_experiments(tmp_path, monkeypatch):
    project = toy_project.Project(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert project.record("max_steps=1") == 1
    run = load_run(1, project.runs)
    assert (run.git_commit, run.dirty) == (None, None)
    assert (
        json.loads((project.runs / "1" / "run.json").read_text())["experiment"]["repositories"]
        == []
    )
    # As version 1.0 recorded it.
    run.entry["experiment"]["repositories"] = [{"commit": "c0ffee", "dirty": True}]
    assert (run.git_commit, run.dirty) == (None, None)
