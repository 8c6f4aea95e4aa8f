"""An experiment's own Sacred observers: the run says where it really lies."""

import os
from pathlib import Path

import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import LocalStore
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.tracking.sacred_parts import FileStorageObserver


def ran(capsys, *observers, hook=False, **options):
    """Run an experiment with observers; return what it printed of places."""
    ex = experiment("placed")
    if hook:

        @ex.option_hook
        def add(options):
            ex.observers.extend(observers)
    else:
        ex.observers.extend(observers)
    ex.main(lambda _run: 1)
    ex.run(options=options)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("hook", "observer"),
    [(False, FileStorageObserver), (True, FileStorageObserver), (False, LocalStore)],
    ids=["folder", "folder from a hook", "local store"],
)
def test_the_folder_that_is_printed_is_the_one_that_holds_the_run(hook, observer, capsys):
    assert ran(capsys, observer("mine"), hook=hook) == ["Run 1: mine/1"]
    assert "seal" in load_run(1, "mine").info
    assert os.listdir() == ["mine"]


def test_a_second_folder_is_said_to_lack_the_run(capsys):
    first, second = FileStorageObserver("a"), FileStorageObserver("b")
    lines = ran(capsys, first, second)
    assert lines[0] == "Run 1: a/1"
    assert lines[1].startswith("Not in b: a run has one folder; copy it with: ")
    assert not Path("b", "1").exists()


def test_a_database_of_its_own_is_named_and_has_the_run_under_the_same_id(mongo_database, capsys):
    from sacred.observers import MongoObserver

    def observer():
        found = MongoObserver(client=mongo_database.client, db_name=mongo_database.name)
        # It would store each file of this library, one after the other.
        found.save_sources = lambda _: []
        return found

    # Runs of another machine.
    mongo_database["runs"].insert_many([{"_id": 1}, {"_id": 4}])
    assert ran(capsys, observer())[:2] == [
        "Run 5: runs/5",
        f"Also in MongoDB, {mongo_database.name}.runs (MongoObserver), by the experiment's own "
        "observer",
    ]
    assert mongo_database["runs"].find_one({"_id": 5})["status"] == "COMPLETED"
    Path("runs", "8").mkdir()
    assert ran(capsys, observer())[0] == "Run 9: runs/9"
