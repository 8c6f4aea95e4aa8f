"""Runs that plain Sacred recorded: read, compared, left alone by sync, and executed again."""

import os

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main as command
from reproducible_ml.tracking.reproduce import Request, reproduce
from reproducible_ml.tracking.runs import list_runs, load_run, open_store
from tests.tracking.lab import run as run_module

STOCK = """
import sys
from pathlib import Path

from sacred import Experiment
from sacred.observers import FileStorageObserver, MongoObserver

import helper

ex = Experiment("stock", save_git_info=False)

@ex.config
def config():
    seed = 3
    rate = 0.5
    shape = (2, 3)
    start = "start.txt"

@ex.capture
def draw(_rnd, rate):
    return float(_rnd.normal()) * rate

@ex.main
def main(_run, start):
    with ex.open_resource("table.txt") as file:
        total = float(Path(start).read_text()) + float(file.read())
    for step in range(5):
        total += draw() * helper.FACTOR
        _run.log_scalar("train.loss", total, step)
    return {"total": total}

if __name__ == "__main__":
    if "with" in sys.argv:
        ex.run_commandline()
    else:
        # Both at once: MongoDB's observer chooses the id.
        ex.observers.append(MongoObserver(sys.argv[1], db_name="stock"))
        ex.observers.append(FileStorageObserver("runs"))
        for rate in (0.5, 0.25):
            ex.run(config_updates={"rate": rate})
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, mongo_uri):
    folder = tmp_path_factory.mktemp("stock")
    (folder / "stock.py").write_text(STOCK)
    (folder / "helper.py").write_text("FACTOR = 2.0\n")
    (folder / "start.txt").write_text("0.5")
    (folder / "table.txt").write_text("0.125")
    code, output = run_module(folder, "stock", mongo_uri, cwd=folder)
    assert code == 0, output
    return folder


def said(*arguments):
    done = CliRunner().invoke(command, list(arguments))
    return done.exit_code, done.output


def test_its_runs_are_listed_shown_and_compared(project, monkeypatch):
    monkeypatch.chdir(project)
    table = list_runs()
    assert table["config.rate"].tolist() == [0.5, 0.25]
    assert table["metrics.train.loss"].tolist() == table["result.total"].tolist()
    code, output = said("show", "1")
    assert code == 0
    assert "train.loss" in output
    code, output = said("compare", "1", "2")
    assert code == 1, output
    assert "environment: same, as far as plain Sacred recorded it" in output
    assert "sources: same (2 files)" in output
    # Sacred's facts about another machine, where another version was imported.
    path = project / "runs" / "2" / "run.json"
    text = path.read_text()
    host, numpy = load_run(2).entry["host"]["python_version"], __import__("numpy").__version__
    path.write_text(text.replace(f'"{host}"', '"2.7.1"').replace(f"numpy=={numpy}", "numpy==1.0"))
    try:
        code, output = said("compare", "1", "2")
    finally:
        path.write_text(text)
    assert "environment: 2 entries differ" in output
    assert output.index("packages.numpy") < output.index("python.version")


def test_sync_leaves_them_alone_and_says_why(project, monkeypatch):
    monkeypatch.chdir(project)
    code, output = said("sync")
    assert code == 0
    assert output == (
        "2 left alone (recorded by plain Sacred, without the journal that sync delivers) in runs\n"
    )


@pytest.mark.parametrize("place", ["folder", "mongo"])
def test_what_can_be_tried_is_tried_and_called_what_it_is(project, place, mongo_uri, tmp_path):
    runs = project / "runs" if place == "folder" else tmp_path / "runs"
    mongo = None if place == "folder" else f"{mongo_uri}/stock"
    moved = project / "table.txt"
    lines = []
    # A resource stands in the record of a folder, so it may be gone.
    moved.rename(project / "away.txt") if place == "folder" else None
    try:
        done = reproduce(2, Request(folder=runs, mongo=mongo), lines.append)
    finally:
        (project / "away.txt").rename(moved) if place == "folder" else None
    assert done.verdict.sentence == (
        "identical (result and metrics compared, environment not recorded)"
    )
    assert {row.part: row.equal for row in done.verdict.rows} == {
        "metric train.loss": True,
        "result": True,
    }
    assert lines[0].startswith("Run 2 was recorded by plain Sacred: ")
    assert os.path.dirname(done.again.store.shown) == str(runs.parent)
    with open_store(mongo=mongo) if mongo else open_store(runs) as store:
        assert load_run(2, store).verdict == done.verdict.sentence
