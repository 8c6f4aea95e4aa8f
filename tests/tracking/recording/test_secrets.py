"""A password in a database's address is in no record, no journal, no output and no error."""

import pytest

from tests.tracking import lab

ADDRESS = f"mongodb://anna:{lab.SECRET}@127.0.0.1:9/sacred?authSource=admin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run whose database is dead, and one whose configuration and error hold the address."""
    project = lab.make_project(tmp_path_factory.mktemp("secrets"))
    (project / "lab" / "secrets.py").write_text("KEY = 1\n")
    first, second = (
        lab.start(project, "lab.train", "-m", ADDRESS, "-F", f"runs{number}", "with", *updates)
        for number, updates in ((1, ["steps=2"]), (2, ["fail=" + ADDRESS]))
    )
    output = first.communicate(timeout=120)[0]
    second.communicate(timeout=120)
    return project.parent, first.returncode, output, second.returncode


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_file_of_a_run_holds_the_password_or_the_user(folder):
    folder, code, _, failed = folder
    assert (code, failed) == (0, 1)
    files = [*files_below(folder / "runs1"), *files_below(folder / "runs2")]
    assert any(path.name == "journal.log" for path in files)
    for path in files:
        content = path.read_bytes()
        assert lab.SECRET.encode() not in content, path
        assert b"anna:" not in content, path


def test_what_the_run_prints_names_the_database_without_the_password(folder):
    _, _, output, _ = folder
    assert lab.SECRET not in output
    assert "mongodb://127.0.0.1:9/sacred" in output


def test_a_run_says_that_it_records_lines_and_which_secret_source_it_needs(folder):
    _, _, output, _ = folder
    assert "INFO - train - The record holds the changed lines of 1 tracked file in " in output
    assert "WARNING - train - The record holds lab/secrets.py, whose name is one" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("reproducible_ml.cli", "compare", "1", "2", "-m", ADDRESS),
        ("reproducible_ml.cli", "runs", "-m", f"mongodb://anna:{lab.SECRET}@:x:y/"),
        ("lab.train", "-m", f"mongodb://anna:{lab.SECRET}@127.0.0.1:port/db"),
        ("lab.train", "-m", f"anna:{lab.SECRET}@127.0.0.1"),
    ],
)
def test_no_error_shows_the_password(folder, arguments):
    project = folder[0] / "project"
    code, output = lab.run(project, arguments[0], *arguments[1:], cwd=project)
    assert code in (1, 2)
    assert "Error: " in output
    assert "Traceback" not in output
    assert lab.SECRET not in output
