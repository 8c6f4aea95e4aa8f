"""The table, the details, ``list_runs`` and the board say the same of a run, wherever it lies."""

import json
import time

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.mongo.address import parse_mongo
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.runs.opening import open_store
from reproducible_ml.tracking.runs.run import list_runs, load_run
from tests.tracking import tracked_process
from tests.tracking.board import toy

PATIENCE_SECONDS = 60
LINE, LINES = "all that this run has to say in 50 bytes a line...\n", 105_000


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def address(mongo_uri, mongo_database):
    return f"{mongo_uri}/{mongo_database.name}"


def printed(*arguments):
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def statuses(run_id=1, **place):
    """Return the statuses of a run that its readers show."""
    option = ["-F", place["folder"]] if "folder" in place else ["-m", place["mongo"]]
    with open_store(**place) as store:
        client = create_app(store, "runs").test_client()
        (row,) = client.get("/api/run").get_json()["data"]
        (detail,) = client.get(f"/api/run/{run_id}").get_json()["data"]
        clause = {"field": "status", "operator": "==", "value": row["status"]}
        query = json.dumps({"type": "and", "filters": [clause]})
        passed = client.get("/api/run", query_string={"queryFilter": query}).get_json()
        assert passed["recordsFiltered"] == 1
        assert row["is_alive"] == detail["is_alive"] == (row["status"] == "RUNNING")
        found = {row["status"], detail["status"], *list_runs(store)["status"]}
    return found | {
        printed("runs", *option)[0]["status"],
        printed("show", run_id, *option)["status"],
    }


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_killed_just_now_has_one_status_for_all_readers(runs, address, mongo_database):
    process = tracked_process.start_process(
        runs_dir=str(runs), mongo=address, seconds=600, beat_seconds=0.1
    )
    try:
        wait_for(lambda: mongo_database.metrics.count_documents({}) == len(tracked_process.METRICS))
        assert statuses(folder=runs) == statuses(mongo=address) == {"RUNNING"}
    finally:
        process.kill()
        process.communicate()
    assert statuses(folder=runs) == {"INTERRUPTED"}
    # A database knows of no process: until it is told, it has a heartbeat of some seconds ago.
    assert statuses(mongo=address) == {"RUNNING"}
    heard = mongo_database.runs.find_one()["heartbeat"]
    mongo_database.runs.update_one({}, {"$set": {"heartbeat": heard.replace(year=2020)}})
    assert statuses(mongo=address) == {"DEAD"}
    assert statuses(mongo=f"{address}?tz_aware=true") == {"DEAD"}
    done = CliRunner().invoke(main, ["sync", "-F", str(runs), "-m", address])
    assert done.exit_code == 0, done.output
    assert statuses(folder=runs) == statuses(mongo=address) == {"INTERRUPTED"}


def test_a_run_that_has_long_been_silent_has_one_status_for_all_readers(runs):
    store = LocalStore(runs)
    toy.started(store, toy.now().replace(year=2020))
    assert statuses(folder=runs) == {"DEAD"}
    store.join()
    assert statuses(folder=runs) == {"INTERRUPTED"}


def test_a_long_output_is_whole_from_both_stores(runs, address):
    text = LINE * LINES
    assert len(text) > 5_250_000

    def talk():
        print(text, end="")

    run_id = toy.record(LocalStore(runs, parse_mongo(address)), talk)
    for place in ({"folder": runs}, {"mongo": address}):
        with open_store(**place) as store:
            client = create_app(store, "runs").test_client()
            download = client.get(f"/api/run/{run_id}/output")
            assert download.headers["Content-Disposition"].startswith("attachment")
            assert download.data == text.encode()
            assert load_run(run_id, store).log == text
            (detail,) = client.get(f"/api/run/{run_id}").get_json()["data"]
            assert detail["object"]["captured_out"] == text[-1_000_000:]


def test_a_list_reads_neither_configuration_nor_output_of_a_database(address, mongo_database):
    document = {"experiment": {"name": "toy"}, "status": "COMPLETED", "config": {"lr": 0.5}}
    mongo_database.runs.insert_one({"_id": 1, **document, "captured_out": "x" * 1000})
    with open_store(mongo=address) as store:
        (entry,) = store.find().entries
        assert (entry["experiment"], entry["config"]) == ({"name": "toy"}, {})
        assert "captured_out" not in {**entry, **store.entry(1)}
        assert store.output(1) == "x" * 1000
