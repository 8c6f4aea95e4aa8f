"""A run that is stopped and queued again while a database receives it: one document, whole."""

import json
import os
import signal
from pathlib import Path

import gridfs
import pymongo
import pytest

from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.runs import load_run, open_store
from tests import warm
from tests.tracking.mongo.test_faults import ROOT, sync, wait_for

STEPS, EVERY, STOPPED_AT = 20, 5, (8, 13)
# Counts in checkpoints of its own, named as TensorFlow's, and waits where it is to be stopped.
TOY = f"""
import time
from pathlib import Path

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.runs import record_model_dir

ex = experiment("counting", types={{"model_dir": (str, None)}}, writes=["model_dir"])

@ex.config
def config():
    seed = 1
    model_dir = "model"

@ex.automain
def main(_run, model_dir):
    folder = Path(model_dir)
    folder.mkdir(exist_ok=True)
    record_model_dir(_run, folder)
    done = [int(one.stem.partition("-")[2]) for one in folder.glob("model.ckpt-*.index")]
    first = max(done, default=0)
    print("begins after", first)
    for step in range(first + 1, {STEPS} + 1):
        _run.log_scalar("loss", 1 / step, step)
        _run.log_scalar("$odd.one", float("nan") if step % 2 else step, step)
        if step % {EVERY} == 0:
            kept = folder / f"model.ckpt-{{step}}.index"
            kept.write_text(str(step))
            _run.add_artifact(str(kept), f"checkpoint-{{step}}")
        if step in {STOPPED_AT} and not Path(f"passed-{{step}}").exists():
            Path(f"passed-{{step}}").touch()
            time.sleep(600)
    return step
"""


def start(uri):
    Path("toy.py").write_text(TOY, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = ["with", "seed=3", "-m", f"{uri}/faults"]
    return warm.Python("-m", "toy", *words, cwd=Path.cwd(), environment=environment)


def stop(uri, step, number):
    """Start it, send it a signal at a step; return its exit code and what it printed."""
    python = start(uri)
    passed = Path(f"passed-{step}")
    wait_for(lambda: passed.exists() or python.returncode is not None, f"step {step}")
    if python.returncode is None:
        python.send_signal(number)
    printed = "".join(python.communicate(timeout=60))
    return python.returncode, printed


def check(uri, run_id=1, begun=(0, 5, 10)):
    """Compare the only document, metrics and files of the database with what the toy logs."""
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=5000) as client:
        database = client.faults
        (document,) = database.runs.find({})
        parts = list(database.metrics.find({}))
        files = gridfs.GridFS(database)
        kept = [(one["name"], files.get(one["file_id"]).read()) for one in document["artifacts"]]
    assert (document["_id"], document["status"], document["result"]) == (run_id, "COMPLETED", STEPS)
    assert document["delivery"]["complete"] is True
    assert document["info"]["model_dir"] == "model"
    said = [line for line in document["captured_out"].splitlines() if "begins" in line]
    assert said == [f"begins after {step}" for step in begun]
    steps = range(1, STEPS + 1)
    expected = {
        "loss": [(step, repr(1 / step)) for step in steps],
        "$odd.one": [(step, "nan" if step % 2 else repr(float(step))) for step in steps],
    }
    assert sorted(one["name"] for one in parts) == sorted(expected)
    for one in parts:
        points = zip(one["steps"], [repr(float(value)) for value in one["values"]])
        assert list(points) == expected[one["name"]]
        assert one["run_id"] == run_id
        assert len(one["timestamps"]) == STEPS
    marks = range(EVERY, STEPS + 1, EVERY)
    assert kept == [(f"checkpoint-{step}", b"%d" % step) for step in marks]
    assert len(document["info"]["metrics"]) == 2
    with open_store(None, f"{uri}/faults") as store:
        loaded = load_run(run_id, store)
        assert broken_parts(loaded.info["seal"], seal_of(loaded)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_same_command_goes_on_with_the_same_document(killable_mongo, number):
    uri = killable_mongo.uri
    for step in STOPPED_AT:
        code, printed = stop(uri, step, number)
        assert code == (143 if number == signal.SIGTERM else -9), printed
        if number == signal.SIGTERM:
            with pymongo.MongoClient(uri) as client:
                (document,) = client.faults.runs.find({})
            assert (document["status"], document["delivery"]["complete"]) == ("INTERRUPTED", True)
            assert (
                f"Resume:     python -m toy with seed=3 model_dir=model -m {uri}/faults" in printed
            )
    python = start(uri)
    printed = "".join(python.communicate(timeout=60))
    assert python.returncode == 0, printed
    assert "Resuming run 1, which was stopped" in printed
    # Of what a killed process printed, the lines since its last heartbeat are lost.
    check(uri, begun=(0, 5, 10) if number == signal.SIGTERM else (10,))
    assert len(json.loads(Path("runs/1/run.json").read_text())["resumed"]) == 2


@pytest.mark.parametrize("gone", [(1,), (2,), (0, 1, 2)])
def test_whenever_the_database_is_away_it_has_the_whole_run_in_the_end(killable_mongo, gone):
    uri = killable_mongo.uri
    for process in range(3):
        if process in gone:
            killable_mongo.kill()
        if process < 2:
            code, printed = stop(uri, STOPPED_AT[process], signal.SIGTERM)
            assert code == 143, printed
        else:
            python = start(uri)
            printed = "".join(python.communicate(timeout=60))
            assert python.returncode == 0, printed
        if process in gone:
            killable_mongo.start()
    if 2 in gone:
        sync("runs" if Path("runs").is_absolute() else str(Path("runs").resolve()))
    check(uri)
