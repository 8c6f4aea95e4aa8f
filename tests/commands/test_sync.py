"""``reproducible-ml sync`` without a database: what it says, once."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.tracking.runs import load_run
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


def test_an_odd_delivery_file_fails_its_own_run_and_no_other():
    for _ in range(2):
        record_run(steps=1, pictures=0)
    file = Path("runs/1/delivery.json")
    for odd in (
        "[]",
        "null",
        "{}",
        '{"targets": []}',
        '{"targets": {"sacred": 1}}',
        "{",
        "[" * 999,
    ):
        file.write_text(odd)
        done = CliRunner().invoke(main, ["sync"])
        assert isinstance(done.exception, SystemExit), odd
        failed, summary, _ = done.output.splitlines()
        assert failed.startswith("runs/1: failed: runs/1/delivery.json "), odd
        assert summary == "1 failed, 1 not meant for a database in runs"
        assert file.read_text() == odd
    file.write_text('{"targets": {"no address": {}}}')
    failed, *_ = CliRunner().invoke(main, ["sync"]).output.splitlines()
    assert failed.startswith("runs/1: failed: runs/1/delivery.json names no database: 'no address'")


def test_what_a_damaged_file_says_is_not_added_to_a_journal_that_would_be_unreadable():
    record_run(steps=2, pictures=0)
    journal, file = Path("runs/1/journal.log"), Path("runs/1/run.json")
    # Killed before its end; the end is in the file alone.
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    entry = json.loads(file.read_text())
    entry.update(heartbeat="now", stop_time=["now"], resources=[None, 3], artifacts=[{}])
    entry["experiment"].update(sources=[None, ["a"]], changed_sources=5)
    file.write_text(json.dumps(entry))
    done = CliRunner().invoke(main, ["sync"])
    assert (done.exit_code, done.output) == (0, "1 not meant for a database in runs\n")
    run = load_run(1, "runs")
    assert run.status == "COMPLETED"
    assert run.result == entry["result"]
    assert len(run.points["loss"]["steps"]) == 2
