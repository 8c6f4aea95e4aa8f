"""Databases and processes that die: nothing is lost, nothing comes twice."""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymongo
import pytest

from tests.mongo import MongoServer
from tests.tracking.tracked_process import ROOT, check_run, start_process

PATIENCE_SECONDS = 60


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_SECONDS} s"
        threading.Event().wait(0.02)


def end_of(process):
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return output


def sync(runs_dir, *options, check=True):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "reproducible_ml.cli", "sync", *options, runs_dir],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def documents(server, database="faults"):
    with pymongo.MongoClient(server.uri, serverSelectionTimeoutMS=5000) as client:
        return list(client[database].runs.find({}).sort("_id", 1))


def check(server, document, settings, **expected):
    with pymongo.MongoClient(server.uri, serverSelectionTimeoutMS=5000) as client:
        check_run(client.faults, document, settings, **expected)


def kill_at_random(server, settings, kills, seed):
    """Run one process while the server is killed and started again at random moments."""
    chance = random.Random(seed)
    process = start_process(**settings)
    wait_for(Path(settings["ready"]).exists, "start of the run")
    for _ in range(kills):
        threading.Event().wait(chance.uniform(0, 2 * settings["seconds"] / kills / 2))
        server.kill()
        threading.Event().wait(chance.choice([0, 0.1, 0.5]))
        server.start()
    return process, end_of(process)


@pytest.mark.parametrize("fail", [False, True])
def test_a_run_survives_kills_of_the_server(killable_mongo, tmp_path, fail):
    settings = {
        "runs_dir": str(tmp_path / "runs"),
        "mongo": f"{killable_mongo.uri}/faults",
        "ready": str(tmp_path / "ready"),
        "seconds": 2.0,
        "fail": fail,
    }
    process, output = kill_at_random(killable_mongo, settings, kills=2, seed=int(fail))
    assert process.returncode == (1 if fail else 0), output
    sync(settings["runs_dir"])
    (document,) = documents(killable_mongo)
    assert document["_id"] == 1
    check(killable_mongo, document, settings, status="FAILED" if fail else "COMPLETED")
    assert "complete" in (tmp_path / "runs/1/delivery.json").read_text()


@pytest.mark.alone
def test_without_a_server_the_run_starts_in_time_and_is_delivered_when_one_comes(
    killable_mongo, tmp_path
):
    killable_mongo.kill()
    settings = {
        "runs_dir": str(tmp_path / "runs"),
        "mongo": f"{killable_mongo.uri}/faults",
        "ready": str(tmp_path / "ready"),
        "seconds": 4.0,
    }
    process = start_process(**settings)
    wait_for((tmp_path / "runs").exists, "directory of runs")
    began = time.monotonic()
    wait_for((tmp_path / "ready").exists, "start of the run")
    assert time.monotonic() - began < 3.0
    killable_mongo.start()
    output = end_of(process)
    assert output.count("does not answer") == 1
    assert process.returncode == 0, output
    (document,) = documents(killable_mongo)
    check(killable_mongo, document, settings)


@pytest.mark.alone
def test_a_server_gone_for_good_ends_no_run_and_sync_delivers_it(killable_mongo, tmp_path):
    settings = {
        "runs_dir": str(tmp_path / "runs"),
        "mongo": f"{killable_mongo.uri}/faults",
        "ready": str(tmp_path / "ready"),
        "progress": str(tmp_path / "progress"),
        "seconds": 1.0,
    }
    process = start_process(**settings)
    wait_for((tmp_path / "ready").exists, "start of the run")
    killable_mongo.kill()
    wait_for(lambda: b"\n299\n" in (tmp_path / "progress").read_bytes(), "last step")
    began = time.monotonic()
    output = end_of(process)
    assert time.monotonic() - began < 10
    assert process.returncode == 0, output
    assert f"Its journal is {tmp_path}/runs/1/journal.log" in output
    refused = sync(settings["runs_dir"], check=False)
    assert refused.returncode == 1
    assert "run sync again" in refused.stdout
    killable_mongo.start()
    assert "delivered as run 1" in sync(settings["runs_dir"]).stdout
    (document,) = documents(killable_mongo)
    check(killable_mongo, document, settings)
    assert "1 already there" in sync(settings["runs_dir"]).stdout


@pytest.mark.alone
def test_a_frozen_server_neither_holds_up_training_nor_the_end(killable_mongo, tmp_path):
    settings = {
        "runs_dir": str(tmp_path / "runs"),
        "mongo": f"{killable_mongo.uri}/faults",
        "ready": str(tmp_path / "ready"),
        "progress": str(tmp_path / "progress"),
        "seconds": 1.0,
    }
    process = start_process(**settings)
    wait_for((tmp_path / "ready").exists, "start of the run")
    killable_mongo.pause()
    began = time.monotonic()
    wait_for(lambda: b"\n299\n" in (tmp_path / "progress").read_bytes(), "last step")
    assert time.monotonic() - began < 5
    output = end_of(process)
    assert time.monotonic() - began < 15
    assert process.returncode == 0, output
    killable_mongo.resume()
    sync(settings["runs_dir"])
    (document,) = documents(killable_mongo)
    check(killable_mongo, document, settings)


def test_a_killed_process_is_delivered_as_it_stood_and_a_living_one_left_alone(
    killable_mongo, tmp_path
):
    settings = {
        "runs_dir": str(tmp_path / "runs"),
        "mongo": f"{killable_mongo.uri}/faults",
        "progress": str(tmp_path / "progress"),
        "seconds": 30.0,
        "points": 3000,
        "beat_seconds": 10,
    }
    process = start_process(**settings)
    wait_for((tmp_path / "progress").exists, "start of the run")
    wait_for(lambda: b"\n150\n" in (tmp_path / "progress").read_bytes(), "step 150")
    assert "1 still running" in sync(settings["runs_dir"]).stdout
    process.kill()
    end_of(process)
    logged = int((tmp_path / "progress").read_text().split()[-1]) + 1
    sync(settings["runs_dir"])
    (document,) = documents(killable_mongo)
    check(killable_mongo, document, settings, status="INTERRUPTED", at_least=logged)
    assert "process was killed" in document["fail_trace"][0]
    assert '"status": "INTERRUPTED"' in (tmp_path / "runs/1/run.json").read_text()


def test_a_sync_killed_at_any_moment_can_be_repeated(killable_mongo, tmp_path):
    interrupt_syncs(killable_mongo, tmp_path, rounds=3)


def interrupt_syncs(server, tmp_path, rounds):
    settings = {
        "runs_dir": str(tmp_path / "runs"),
        "seconds": 0.1,
        "points": 1000,
        "artifact_bytes": 1_500_000,
    }
    assert "run 1" in end_of(start_process(**settings))
    chance = random.Random(rounds)
    for _ in range(rounds):
        options = ["sync", "-m", f"{server.uri}/faults", settings["runs_dir"]]
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "reproducible_ml.cli", *options],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        threading.Event().wait(chance.uniform(0.3, 1.5))
        process.kill()
        process.wait()
    sync(settings["runs_dir"], "-m", f"{server.uri}/faults")
    (document,) = documents(server)
    check(server, document, settings)


def start_together(server, tmp_path, processes, points):
    settings = [
        {
            "runs_dir": str(tmp_path / "runs"),
            "mongo": f"{server.uri}/faults",
            "points": points,
            "seconds": 0.5,
            "artifact_bytes": 10_000,
            "seed": seed,
        }
        for seed in range(processes)
    ]
    running = [start_process(**one) for one in settings]
    outputs = [end_of(process) for process in running]
    assert [process.returncode for process in running] == [0] * processes, outputs
    sync(str(tmp_path / "runs"))
    found = documents(server)
    # A process that the database did not answer in time starts without it; its number is then
    # given out later, and one may be left out.
    assert len({document["_id"] for document in found}) == len(found) == processes
    by_seed = {document["config"]["seed"]: document for document in found}
    for one in settings:
        document = by_seed[one["seed"]]
        check(server, document, one)
    folders = {document["delivery"]["local_id"] for document in found}
    assert len(folders) == processes
    return found


def test_processes_that_start_together_have_ids_of_their_own(killable_mongo, tmp_path):
    start_together(killable_mongo, tmp_path, processes=4, points=100)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_processes_at_once_keep_all_points(killable_mongo, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.tracking.mongo.test_faults.PATIENCE_SECONDS", 600)
    start_together(killable_mongo, tmp_path, processes=8, points=5000 // 3 + 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_to_five_kills_of_the_server_lose_and_double_nothing(tmp_path, killable_mongo):
    # The last of them with a run that fails.
    for number in range(5):
        server = MongoServer().start()
        folder = tmp_path / str(number)
        folder.mkdir()
        settings = {
            "runs_dir": str(folder / "runs"),
            "mongo": f"{server.uri}/faults",
            "ready": str(folder / "ready"),
            "seconds": 3.0,
            "points": 1000,
            "artifact_bytes": 1_500_000,
            "seed": number,
            "fail": number == 4,
        }
        kills = 1 + number
        try:
            process, output = kill_at_random(server, settings, kills=kills, seed=number)
            assert process.returncode == (1 if settings["fail"] else 0), output
            sync(settings["runs_dir"])
            (document,) = documents(server)
            status = "FAILED" if settings["fail"] else "COMPLETED"
            check(server, document, settings, status=status)
        finally:
            server.close()


@pytest.mark.slow
def test_ten_killed_syncs_lose_and_double_nothing(killable_mongo, tmp_path):
    interrupt_syncs(killable_mongo, tmp_path, rounds=10)
