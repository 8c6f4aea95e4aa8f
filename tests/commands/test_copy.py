"""``reproducible-ml copy``: a run in another folder, with all that it needs there."""

import hashlib
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main as cli
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.runs import load_run
from tests.tracking import toy_project


def call(*words):
    done = CliRunner().invoke(cli, list(words))
    return done.exit_code, " ".join(done.output.split())


def content(folder):
    """Return the SHA-256 of each file by its path in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


EXPERIMENT = """
from pathlib import Path
from reproducible_ml.tracking import experiment

ex = experiment("walk")

@ex.automain
def main(_run):
    Path("note.txt").write_text("made")
    _run.add_artifact("note.txt", name="deep/note.txt")
    _run.open_resource("start.txt")
    _run.log_scalar("loss", 0.5, 1)
    return 0.5
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A project with two runs."""
    project = toy_project.Project(tmp_path_factory.mktemp("copied"))
    project.source.write_text(EXPERIMENT)
    project.record()
    shutil.copytree(project.runs, project.root / "other")
    project.record("seed=5")
    return project


@pytest.fixture
def runs(recorded):
    shutil.copytree(recorded.runs, "runs")
    return Path("runs")


def test_a_copy_holds_every_file_and_compares_with_its_original(runs, recorded):
    code, said = call("copy", "1", "2", "there")
    assert (code, said) == (0, "Run 1 copied to there/1. Run 2 copied to there/2.")
    assert content("there") == content(runs)
    one = load_run(1, "there")
    assert broken_parts(one.info["seal"], seal_of(one)) == []
    assert one.artifacts["deep/note.txt"] == b"made"
    assert call("compare", "1", "2", "-F", "there")[0] == 0
    code, output = toy_project.command(
        ["reproduce", "1", "-F", str(Path("there").resolve())], recorded.root
    )
    assert code == 0, output


def test_an_id_that_is_taken_gives_a_new_one_and_nothing_is_overwritten(runs):
    shutil.copytree(runs / "2", "there/1")
    shutil.copytree(runs / "_sources", "there/_sources")
    before = content("there")
    code, said = call("copy", "1", "there")
    assert code == 0
    assert said == "Run 1 copied to there/2, since there has another run 1."
    assert before.items() <= content("there").items()
    assert call("copy", "1", "there")[1] == (
        "Run 1 is in there already: there/2; nothing was copied."
    )
    assert sorted(path.name for path in Path("there").iterdir()) == [
        "1",
        "2",
        "_resources",
        "_sources",
    ]


def damage_seal(runs):
    path = runs / "1" / "config.json"
    path.write_text(path.read_text().replace('"seed": ', '"seed": 1'))


def lose_source(runs):
    next((runs / "_sources").glob("walk_*.py")).unlink()


def damage_there(runs):
    source = next((runs / "_sources").glob("walk_*.py"))
    Path("there", "_sources").mkdir(parents=True)
    Path("there", "_sources", source.name).write_text("other")


@pytest.mark.parametrize(
    ("prepare", "words", "said"),
    [
        (damage_seal, ["1", "there"], "was altered after the run: the configuration. Restore it"),
        (lose_source, ["1", "there"], "is not kept there"),
        (damage_there, ["1", "there"], "one of them was damaged or is being written"),
        (lambda runs: None, ["1", "runs"], "runs holds run 1 already; name another folder of runs"),
        (lambda runs: None, ["7", "there"], "There is no run 7 in runs"),
        (lambda runs: Path("there").write_text(""), ["1", "there"], "can't be copied to there"),
    ],
)
def test_what_can_not_be_copied_whole_is_one_sentence(runs, prepare, words, said):
    prepare(runs)
    before = content(runs)
    code, output = call("copy", *words)
    assert code == 1
    assert said in output
    assert output.startswith("Error: ")
    assert content(runs) == before
    assert not Path("there", "1").exists()
