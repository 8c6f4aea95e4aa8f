"""Odd documents of a database: each one is shown as far as it can be read, and hides no other."""

import copy
import json
from datetime import datetime, timedelta, timezone

import bson
import pymongo.monitoring
import pytest
from pymongo.errors import PyMongoError

from reproducible_ml.tracking.runs import list_runs, open_store
from tests.tracking.test_damaged_records import DEEP, command, pages

START = datetime(2026, 1, 2, 3, 4, 5)
AWARE = START.replace(tzinfo=timezone(timedelta(hours=5)))
SOUND = {
    "experiment": {
        "name": "toy",
        "base_dir": "/nowhere",
        "sources": [["toy.py", bson.ObjectId("a" * 24)]],
        "dependencies": ["numpy==1.26.4"],
        "repositories": [],
        "mainfile": "toy.py",
    },
    "format": "MongoObserver-0.7.0",
    "command": "main",
    "host": {"hostname": "elsewhere", "os": ["Linux", "6.1"]},
    "start_time": START,
    "heartbeat": START,
    "stop_time": START,
    "config": {"lr": 0.5, "seed": 1},
    "meta": {"command": "main", "options": {"UPDATE": []}},
    "status": "COMPLETED",
    "resources": [],
    "artifacts": [],
    "captured_out": "training",
    "info": {"metrics": [{"name": "loss", "id": "1"}]},
    "result": 3.0,
}
# What differs from a sound document: a path and the value there.
ODD = [
    *(("heartbeat", AWARE), ("heartbeat", "2026-01-02T03:04:05+05:00"), ("heartbeat", "now")),
    *(("start_time", None), ("start_time", 3), ("stop_time", {"a": 1}), ("heartbeat", [START])),
    *(("start_time", bson.Timestamp(1, 1)), ("heartbeat", bson.datetime_ms.DatetimeMS(2**60))),
    *(("experiment", None), ("experiment", "toy"), ("experiment", []), ("experiment.name", None)),
    *(("experiment.name", 5), ("experiment.sources", 5), ("experiment.sources", [["a"], 3])),
    *(("experiment.base_dir", []), ("experiment.repositories", [None])),
    *(("config", None), ("config", [1]), ("config", "lr"), ("config", {"": {"": None}})),
    *(("info", None), ("info", 3), ("info", [[]]), ("info.metrics", 3), ("info.verdicts", 5)),
    *(("info.verdicts", [None, {"across": 3}]), ("info.dataset", {"a": None}), ("info.digest", 1)),
    *(("host", None), ("host", []), ("host.hostname", 3), ("status", None), ("status", {"a": 1})),
    *(("status", "\x1b]52;c;aGk=\x07"), ("command", 3), ("meta", []), ("meta.options", None)),
    *(("result", DEEP[0][0]), ("result", bson.Decimal128("NaN")), ("result", b"\0\xff")),
    *(("result", bson.Regex("(")), ("result", bson.Code("f()")), ("result", bson.MaxKey())),
    *(("artifacts", 3), ("artifacts", [None, {"name": 3}, {"name": "a", "file_id": {"b": 1}}])),
    *(("resources", [3]), ("resources", "x"), ("captured_out", 3), ("fail_trace", [1, None])),
    *(("fail_trace", "why"), ("delivery", 3), ("delivery", {"uid": []}), ("delivery", None)),
]
IDENTITIES = [
    bson.ObjectId("b" * 24),
    "named",
    "²",
    "",
    5,
    "5",
    -5,
    2.5,
    {"a": 1},
    b"\1",
    True,
    START,
]


def shallow(value, depth):
    """Return a value nested as deep as the server takes it."""
    for _ in range(depth):
        value = [value]
    return value


def changed(path, value):
    """Return a sound document with another value at a path."""
    document = copy.deepcopy(SOUND)
    *outer, last = path.split(".")
    place = document
    for key in outer:
        place = place[key]
    place[last] = shallow(0, 90) if value is DEEP[0][0] else value
    return document


def insert(database, document):
    """Insert a run with the next id; return whether the server took it."""
    number = database.runs.count_documents({}) + 1
    try:
        database.runs.insert_one({"_id": number, **document})
    except (PyMongoError, bson.errors.BSONError):
        return False
    return True


@pytest.fixture
def database(mongo_database, mongo_uri):
    """The address of a database with two sound documents and odd ones between them."""
    documents = [SOUND, *(changed(*one) for one in ODD), SOUND]
    # FerretDB does not take every type.
    taken = [one for one in documents if insert(mongo_database, one)]
    assert len(taken) > 45
    documents = taken
    point = {"name": "loss", "steps": [1], "values": [0.5], "timestamps": [START]}
    for i in (1, len(documents)):
        mongo_database.metrics.insert_one({**point, "run_id": i, "delivery": {"uid": None}})
    return f"{mongo_uri}/{mongo_database.name}", len(documents)


def test_no_odd_document_hides_a_sound_run_or_ends_in_a_traceback(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address, count = database
    listed = command("runs", "-m", address, codes=[0]).splitlines()
    assert sum("toy" in line and "COMPLETED" in line for line in listed) >= 2
    found = {one["id"]: one for one in json.loads(command("runs", "--json", "-m", address))}
    assert set(found) == set(range(1, count + 1))
    assert found[1]["config"] == found[count]["config"] == SOUND["config"]
    command("runs", "--filter", "lr=0.5", "-m", address, codes=[0])
    with open_store(mongo=address) as store:
        assert set(list_runs(store).index) == set(found)
        for turn in range(2):
            pages(store, [str(one) for one in found], turn)
    # Each run meets one of the commands.
    commands = [["show"], ["compare", "1"], ["report", "-o", "report.html"], ["reproduce"]]
    for one in found:
        words = commands[one % 4]
        codes = [1, 2] if words == ["reproduce"] else [0, 1, 2]
        assert "Executing" not in command(*words, str(one), "-m", address, codes=codes)


def test_documents_of_any_identity_are_listed(mongo_database, mongo_uri):
    for one in IDENTITIES:
        insert(mongo_database, {**SOUND, "_id": one})
    count = mongo_database.runs.count_documents({})
    assert count > 5
    address = f"{mongo_uri}/{mongo_database.name}"
    assert len(json.loads(command("runs", "--json", "-m", address, codes=[0]))) == count
    command("runs", "-m", address, codes=[0])
    with open_store(mongo=address) as store:
        assert len(list_runs(store)) == count
        for one in store.ids():
            command("show", "-m", address, "--", str(one))


class Asked(pymongo.monitoring.CommandListener):
    """Counts what is asked of a database."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def test_many_documents_are_read_with_few_questions(mongo_database, mongo_uri):
    mongo_database.runs.insert_many({**SOUND, "_id": one} for one in range(1, 121))
    asked = Asked()
    pymongo.monitoring.register(asked)
    with open_store(mongo=f"{mongo_uri}/{mongo_database.name}") as store:
        found = [one["_id"] for one in store.entries()]
    assert found == list(range(1, 121))
    # The ids, and three times at most 50 runs.
    assert asked.commands.count("find") == 4
