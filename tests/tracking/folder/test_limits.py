"""Runs that log more than databases like: stored or refused with a sentence, never dead."""

import json
import subprocess
import sys

import pytest

MAIN = """
from reproducible_ml.tracking import experiment

ex = experiment("limits")


@ex.config
def config():
    what = ""


@ex.automain
def main(_run, what):
    if what == "output":
        line = "x" * 999
        for _ in range(17_500):
            # Each line at once, or the log's own lines, on stderr, come in the middle of one.
            print(line, flush=True)
    if what == "points":
        for step in range(210_000):
            _run.log_scalar("loss", step / 7, step)
    if what == "artifact":
        with open("big.bin", "wb") as file:
            for number in range(200):
                file.write(bytes([number]) * 1_000_000)
        _run.add_artifact("big.bin")
    if what == "values":
        for value in (float("nan"), float("inf"), [1, 2]):
            _run.log_scalar("a.b$c", value, 1)
    return "done"
"""


@pytest.fixture
def database(mongo_client, request):
    name = f"limits_{abs(hash(request.node.name)) % 10**8}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


def run(tmp_path, mongo_uri, database, what):
    """Run it; return the process, the local record and the one in the database."""
    (tmp_path / "limits.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, "limits.py", "with", f"what={what}", "-m", f"{mongo_uri}/{database.name}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # What ten seconds after the end were too short for. The tests' server writes a whole document
    # anew for each piece of it, so on a busy machine it may not answer in time: then, as a user is
    # told, sync runs again and resumes.
    sync = [
        sys.executable,
        "-m",
        "reproducible_ml.cli",
        "sync",
        "-m",
        f"{mongo_uri}/{database.name}",
    ]
    for _ in range(5):
        if subprocess.run([*sync, "runs"], cwd=tmp_path, check=False).returncode == 0:
            break
    else:
        pytest.fail("five runs of sync did not deliver the run")
    return done, tmp_path / "runs" / "1", database.runs.find_one({"_id": 1})


def test_more_output_than_a_document_holds_is_whole_locally_and_cut_in_the_database(
    tmp_path, mongo_uri, database
):
    done, local, document = run(tmp_path, mongo_uri, database, "output")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (local / "cout.txt").read_text().count("x" * 999 + "\n") == 17_500
    assert document["status"] == "COMPLETED"
    assert len(document["captured_out"].encode()) < 16_000_000
    assert "x" * 999 in document["captured_out"]


def test_odd_numbers_and_names_are_stored_and_what_is_no_number_is_refused(
    tmp_path, mongo_uri, database
):
    done, local, document = run(tmp_path, mongo_uri, database, "values")
    assert done.returncode == 0, done.stderr[-2000:]
    assert document["status"] == "COMPLETED"
    (metric,) = database.metrics.find({"run_id": 1})
    assert [repr(value) for value in metric["values"]] == ["nan", "inf"]
    stored = json.loads((local / "metrics.json").read_text())["a.b$c"]["values"]
    assert [repr(value) for value in stored] == ["nan", "inf"]
    assert "a.b$c" in done.stderr
    assert "log a number" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_points_beyond_one_document_arrive(tmp_path, mongo_uri, database):
    done, local, document = run(tmp_path, mongo_uri, database, "points")
    assert done.returncode == 0, done.stderr[-2000:]
    assert document["status"] == "COMPLETED"
    # A document holds up to 200,000 points; the rest go into the next document.
    parts = list(database.metrics.find({"run_id": 1, "metric": "loss"}, batch_size=1))
    parts.sort(key=lambda part: part["part"])
    assert len(parts) == 2
    stored = json.loads((local / "metrics.json").read_text())["loss"]
    delivered = {
        name: [value for part in parts for value in part[name]] for name in ("steps", "values")
    }
    for found in (delivered, stored):
        assert found["steps"] == list(range(210_000))
        assert found["values"] == [step / 7 for step in range(210_000)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_artifact_of_200_megabytes_arrives_byte_for_byte(tmp_path, mongo_uri, database):
    done, local, document = run(tmp_path, mongo_uri, database, "artifact")
    assert done.returncode == 0, done.stderr[-2000:]
    (artifact,) = document["artifacts"]
    stored = database["fs.files"].find_one({"_id": artifact["file_id"]})
    assert stored["length"] == 200_000_000
    # In small batches: the test server would put more into one answer than the driver takes.
    chunks = database["fs.chunks"].find({"files_id": stored["_id"]}, batch_size=20).sort("n", 1)
    with open(local / "big.bin", "rb") as file:
        for number, chunk in enumerate(chunks):
            assert chunk["n"] == number
            assert chunk["data"] == file.read(stored["chunkSize"])
        assert file.read(1) == b""
