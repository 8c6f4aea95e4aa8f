"""The board over what this project's own store writes: living, killed, delivered runs."""

import json
import signal
import subprocess
import sys

import pytest

from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.mongo import metric_parts
from reproducible_ml.tracking.mongo.address import parse_mongo
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.runs.opening import open_store
from reproducible_ml.tracking.runs.run import load_run
from tests.browser import ROOT
from tests.tracking.board import toy

LONG = 250  # points, where a document may hold 100


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def client(runs):
    return create_app(open_store(runs), "runs").test_client()


def detail(client, run_id):
    return client.get(f"/api/run/{run_id}").get_json()["data"][0]


def points(client, run_id, name):
    metrics = detail(client, run_id)["object"]["info"]["metrics"]
    identity = {metric["name"]: metric["id"] for metric in metrics}[name]
    return client.get(f"/api/run/{run_id}/metric/{identity}").get_json()


def test_a_living_run_shows_its_points_at_once_and_cannot_be_deleted(client, runs):
    def main(_run):
        for step in range(10):
            _run.log_scalar("loss", step / 2, step)
        assert not (runs / "1" / "metrics.json").exists(), "they are in the journal alone"
        assert points(client, 1, "loss")["values"] == [step / 2 for step in range(10)]
        assert client.delete("/api/run/1").status_code == 409
        _run.log_scalar("loss", float("nan"), 10)
        assert points(client, 1, "loss")["values"][-1] is None

    assert toy.record(LocalStore(runs), main) == 1
    assert detail(client, 1)["status"] == "COMPLETED"
    assert len(points(client, 1, "loss")["values"]) == 11
    assert client.delete("/api/run/1").status_code == 200
    assert not (runs / "1").exists()


def test_a_run_whose_process_lives_is_not_deleted_however_long_it_was_silent(client, runs):
    store = LocalStore(runs)
    toy.started(store, toy.now().replace(year=2020))
    assert detail(client, 1)["status"] == "DEAD"
    answer = client.delete("/api/run/1")
    assert answer.status_code == 409
    assert "still being written" in answer.text
    store.join()
    assert client.delete("/api/run/1").status_code == 200


def test_a_killed_run_has_every_point_that_it_logged(client, runs):
    code = f"""
import os, signal, warnings
warnings.simplefilter("ignore")
from reproducible_ml.tracking.recording.observer import LocalStore
from tests.tracking.board import toy
def main(_run):
    for step in range(2500):
        _run.log_scalar("loss/critic", step * 0.5, step)
    os.kill(os.getpid(), signal.SIGKILL)
toy.record(LocalStore({str(runs)!r}), main)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert points(client, 1, "loss/critic")["values"] == [step * 0.5 for step in range(2500)]


def test_of_a_damaged_journal_what_verifies_is_shown(client, runs):
    def main(_run):
        _run.log_scalar("loss", 0.5, 1)
        _run.log_scalar("loss", 0.25, 2)
        return 3

    toy.record(LocalStore(runs), main)
    run = json.loads((runs / "1" / "run.json").read_text())
    (runs / "1" / "run.json").write_text(json.dumps({**run, "status": "RUNNING"}))
    (runs / "1" / "metrics.json").unlink()
    journal = runs / "1" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"e":"metrics"' in line)
    lines[number] = b"x" + lines[number][1:]
    journal.write_bytes(b"".join(lines))
    shown = detail(client, 1)
    assert (shown["status"], shown["result"]) == ("INTERRUPTED", 3)
    assert points(client, 1, "loss")["values"] == [0.25]


def test_a_delivered_run_is_the_same_in_the_database(
    client, runs, mongo_uri, mongo_database, monkeypatch
):
    monkeypatch.setattr(metric_parts, "POINTS_PER_PART", 100)
    target = parse_mongo(f"{mongo_uri}/{mongo_database.name}")

    def main(_run):
        for step in range(LONG):
            _run.log_scalar("long", float(step % 100), step)
        for step in range(20):
            _run.log_scalar("loss", step / 2 if step % 2 else float("nan"), step)
        _run.add_artifact(toy.png(runs / "grid.png"), "grid.png")
        return {"frechet": 1.5}

    run_id = toy.record(LocalStore(runs, target), main, "delivered", {"lr": 0.1})
    with open_store(mongo=f"{mongo_uri}/{mongo_database.name}") as store:
        over_database = create_app(store, "database").test_client()
        here, there = detail(client, run_id), detail(over_database, run_id)
        for key in ("experiment_name", "status", "command", "result", "hostname"):
            assert there[key] == here[key]
        assert there["object"]["config"] == here["object"]["config"]
        assert here["object"]["info"]["metrics"] == there["object"]["info"]["metrics"]
        assert mongo_database.metrics.count_documents({}) == 4, "three parts and one"
        assert len(there["object"]["info"]["metrics"]) == 2, "parts of a metric are one metric"
        for name in ("loss", "long"):
            shown = points(over_database, run_id, name)
            local = points(client, run_id, name)
            assert (shown["steps"], shown["values"]) == (local["steps"], local["values"])
        assert shown["steps"][-1] == LONG - 1
        pictures = [a["url"] for a in there["artifacts"] if a["is_image"]]
        assert over_database.get(pictures[0]).data == (runs / "grid.png").read_bytes()
        assert over_database.delete(f"/api/run/{run_id}").status_code == 200
        left = {name: mongo_database[name].count_documents({}) for name in ("runs", "metrics")}
        assert left == {"runs": 0, "metrics": 0}
        assert mongo_database["fs.files"].count_documents({}) == 0
        assert mongo_database["fs.chunks"].count_documents({}) == 0
        assert json.loads((runs / str(run_id) / "run.json").read_text())["status"] == "COMPLETED"


def test_runs_of_one_id_in_two_collections_keep_their_metrics_apart(
    tmp_path, mongo_uri, mongo_database
):
    stores = []
    for value, collection in enumerate(("runs", "trials")):
        address = f"{mongo_uri}/{mongo_database.name}.{collection}"

        def main(_run, value=value):
            _run.log_scalar("loss", float(value), 0)

        assert toy.record(LocalStore(tmp_path / collection, parse_mongo(address)), main) == 1
        stores.append(open_store(mongo=address))
    clients = [create_app(store, "database").test_client() for store in stores]
    assert [points(client, 1, "loss")["values"] for client in clients] == [[0.0], [1.0]]
    assert [load_run(1, store).points["loss"]["values"] for store in stores] == [[0.0], [1.0]]
    assert clients[0].delete("/api/run/1").status_code == 200
    assert points(clients[1], 1, "loss")["values"] == [1.0]
    for store in stores:
        store.close()
