"""``reproducible-ml sync`` without a database: what it says, once."""

import socket

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from tests.report.recorded_runs import record_run


@pytest.fixture
def nobody():
    """An address that no database listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}:sacred"


def test_a_database_that_is_dead_is_asked_once_and_told_of_once(nobody):
    for _ in range(3):
        record_run(steps=1, pictures=0)
    done = CliRunner().invoke(main, ["sync", "-m", nobody])
    assert done.exit_code == 1
    first, again, summary, error = done.output.splitlines()
    assert first.startswith("runs/1: failed: mongodb://127.0.0.1:")
    assert "does not answer: " in first
    assert again.startswith("2 more runs failed likewise: mongodb://127.0.0.1:")
    assert summary == "3 failed in runs"
    assert error == "Error: 3 runs in runs were not delivered; see above."


@pytest.mark.parametrize("place", [["kept"], ["-F", "kept"], ["--file_storage", "kept"]])
def test_the_folder_is_named_by_its_place_or_as_for_the_other_commands(place):
    record_run(folder="kept", steps=1, pictures=0)
    done = CliRunner().invoke(main, ["sync", *place])
    assert (done.exit_code, done.output) == (0, "1 not meant for a database in kept\n")


def test_two_folders_are_one_too_many():
    done = CliRunner().invoke(main, ["sync", "kept", "-F", "runs"])
    assert done.exit_code == 1
    assert done.output == "Error: Runs are read from one place: kept or -F runs, not both.\n"
