"""The events of a run: their bytes in the journal never change, and they give one state."""

import json
import math
import sys
import uuid
from datetime import datetime
from pathlib import Path

import pytest

from reproducible_ml.tracking.folder.events import Beat, Ended, Metrics, ResourceAdded, Unknown
from reproducible_ml.tracking.folder.journal import Journal, JournalReader
from reproducible_ml.tracking.folder.state import RunState, read_metrics, read_state
from reproducible_ml.tracking.mongo.address import parse_mongo
from reproducible_ml.tracking.mongo.sync import close_dead_run
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.runs import open_store
from reproducible_ml.utils.errors import TrackingError

# What ``record`` gave when events still were dictionaries (commit 1705972); journals of that time
# are in use.
START = (
    '7c12c189 1 {"e":"start","uid":"00000000000000000000000000005eed","status":"RUNNING",'
    '"command":"main","time":"2024-05-06T07:08:09.000000","experiment":{"name":"golden",'
    '"base_dir":".","sources":[],"mainfile":"golden.py"},"host":{"hostname":"box","ENV":{}},'
    r'"config":{"seed":3,"nested":{"lr":0.001},"text":"\u00e4\u00f6\u00fc \ud800 \n",'
    '"url":"mongodb://***@host/db"},"meta":{"comment":""}}\n'
)
LINES = (
    START + r"""e54e3a80 2 {"e":"info","info":{}}
742b6f38 3 {"e":"metrics","n":"loss","s":[0],"v":[0.5],"t":[1714979290000001]}
11858f47 4 {"e":"metrics","n":"odd","s":[10],"v":[NaN],"t":[1714979290000002]}
949ac237 5 {"e":"metrics","n":"odd","s":[2.5],"v":["a text"],"t":[1714979290000003]}
5fe708a2 6 {"e":"metrics","n":"big","s":[0],"v":[1180591620717411303424],"t":[1714979290000004]}
5e383c5e 7 {"e":"resource","name":"rows.txt","md5":"f2b33fb7b3d0eb95090a16060e6a24f9"}
"""
    '5d002985 8 {"e":"artifact","name":"grid.png","bytes":5,"metadata":{"step":1},'
    '"content_type":"image/png"}\n'
    'e6b6fdf5 9 {"e":"artifact","name":"grid.png","bytes":10,"metadata":null,'
    '"content_type":"image/png"}\n'
    '982e8336 10 {"e":"info","info":{"a.b":[1,null]}}\n'
    'b83285b0 11 {"e":"heartbeat","time":"2024-05-06T07:08:10.000005","output_bytes":5,'
    '"result":null}\n'
    '05594b2f 12 {"e":"metrics","n":"loss","s":[1],"v":[-0.0],"t":[1714979291000000]}\n'
    '39e1ad0c 13 {"e":"heartbeat","time":"2024-05-06T07:08:11.000000","output_bytes":9,'
    '"result":0.25}\n'
)
ENDS = {
    "completed": 'f45e0aac 14 {"e":"end","status":"COMPLETED","time":"2024-05-06T07:08:12.000000",'
    '"result":{"loss":Infinity}}\n',
    "without result": '7018d6b5 14 {"e":"end","status":"COMPLETED",'
    '"time":"2024-05-06T07:08:12.000000","result":null}\n',
    "failed": '51f1d888 14 {"e":"end","status":"FAILED","time":"2024-05-06T07:08:12.000000",'
    r'"fail_trace":["Traceback\n","ValueError: x\n"]}' + "\n",
    "stopped": '8f209236 14 {"e":"end","status":"TIMEOUT","time":"2024-05-06T07:08:12.000000"}\n',
}
KILLED_TIME = "2024-05-06T07:08:11.000000"


def record(store):
    """Record everything that a run can, but its end."""
    Path("rows.txt").write_text("1 2 3\n")
    Path("grid.png").write_bytes(b"first")
    experiment = {"name": "golden", "base_dir": ".", "sources": [], "mainfile": "golden.py"}
    config = {
        "seed": 3,
        "nested": {"lr": 1e-3},
        "text": "äöü \ud800 \n",
        "url": "mongodb://anna:secret@host/db",
    }
    host = {"hostname": "box", "ENV": {}}
    start = datetime(2024, 5, 6, 7, 8, 9)
    store.started_event(experiment, "main", host, start, config, {"comment": ""}, None)
    store.add_point("loss", 0.5, 0, 1714979290000001)
    store.add_point("odd", math.nan, 10, 1714979290000002)
    store.add_point("odd", "a text", 2.5, 1714979290000003)
    store.add_point("big", 2**70, 0, 1714979290000004)
    store.resource_event("rows.txt")
    store.artifact_event("grid.png", "grid.png", {"step": 1}, "image/png")
    Path("grid.png").write_bytes(b"second one")
    store.artifact_event("grid.png", "grid.png", None, "image/png")
    info = {"a.b": [1, None]}
    store.heartbeat_event(info, "line\n", datetime(2024, 5, 6, 7, 8, 10, 5), None)
    store.add_point("loss", -0.0, 1, 1714979291000000)
    store.heartbeat_event(info, "line\nmore", datetime(2024, 5, 6, 7, 8, 11), 0.25)


def end(store, how):
    """End a run in one of the ways of ``ENDS``."""
    time = datetime(2024, 5, 6, 7, 8, 12)
    if how == "completed":
        store.completed_event(time, {"loss": math.inf})
    elif how == "without result":
        store.completed_event(time, None)
    elif how == "failed":
        store.failed_event(time, ["Traceback\n", "ValueError: x\n"])
    else:
        store.interrupted_event(time, "TIMEOUT")
    store.join()


def golden(how):
    return (LINES + ENDS.get(how, "")).encode("ascii")


def in_folder(name, content):
    """Make a run's folder that has a journal and nothing else; return the journal."""
    path = Path("runs", name, "journal.log")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("how", ENDS)
def test_a_journal_has_the_bytes_that_it_always_had(how, monkeypatch):
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=0x5EED))
    store = LocalStore("runs")
    record(store)
    end(store, how)
    assert Path("runs/1/journal.log").read_bytes() == golden(how)


@pytest.mark.parametrize("how", ENDS)
def test_what_is_read_is_written_with_the_same_bytes(how):
    path = in_folder("1", golden(how))
    journal = Journal(Path("again.log"))
    for entry in JournalReader(path).read_all():
        assert not isinstance(entry.event, Unknown)
        journal.append(entry.event)
    journal.close()
    assert Path("again.log").read_bytes() == golden(how)


@pytest.mark.parametrize("how", ENDS)
def test_a_folder_says_while_it_is_written_what_its_journal_says_later(how):
    store = LocalStore("runs")
    record(store)
    end(store, how)
    run = Path("runs/1")
    state = read_state(run / "journal.log")
    assert json.loads((run / "run.json").read_text()) == state.run_json(Path("runs"))
    assert json.loads((run / "info.json").read_text()) == state.info
    # NaN is equal to nothing, but its name is.
    assert repr(json.loads((run / "metrics.json").read_text())) == repr(
        {name: dict(sorted(points.items())) for name, points in sorted(read_metrics(run).items())}
    )


def test_a_killed_run_gets_its_files_and_its_end_from_the_journal():
    path = in_folder("1", golden("killed"))
    journal = Journal(path)
    assert close_dead_run(path.parent, journal)
    assert not close_dead_run(path.parent, journal)
    journal.close()
    sentence = (
        f"The process was killed, or its machine stopped, after {KILLED_TIME} UTC; this record was "
        "rebuilt from the run's journal.\n"
    )
    start = json.loads(START[11:])
    assert json.loads((path.parent / "run.json").read_text()) == {
        **{key: start[key] for key in ("experiment", "command", "host", "meta")},
        "start_time": "2024-05-06T07:08:09.000000",
        "heartbeat": KILLED_TIME,
        "stop_time": KILLED_TIME,
        "status": "INTERRUPTED",
        "result": 0.25,
        "fail_trace": [sentence],
        "artifacts": ["grid.png"],
        "resources": [["rows.txt", "runs/_resources/rows_f2b33fb7b3d0eb95090a16060e6a24f9.txt"]],
    }
    assert json.loads((path.parent / "config.json").read_text()) == start["config"]
    assert json.loads((path.parent / "info.json").read_text()) == {"a.b": [1, None]}
    metrics = json.loads((path.parent / "metrics.json").read_text())
    assert {name: one["steps"] for name, one in metrics.items()} == {
        "loss": [0, 1],
        "odd": [10, 2.5],
        "big": [0],
    }
    assert metrics["loss"]["timestamps"][1] == "2024-05-06T07:08:11.000000"
    line = {"e": "end", "status": "INTERRUPTED", "time": KILLED_TIME, "fail_trace": [sentence]}
    last = path.read_bytes().splitlines()[-1]
    assert last[9:] == b"14 " + json.dumps(line, separators=(",", ":")).encode()


def test_a_killed_run_ended_with_its_last_point_where_that_came_after_the_last_beat():
    path = in_folder("1", "".join(LINES.splitlines(keepends=True)[:6]).encode())
    journal = Journal(path)
    assert close_dead_run(path.parent, journal)
    journal.close()
    assert read_state(path).end.time == "2024-05-06T07:08:10.000004"


@pytest.mark.parametrize("content", [b"", b'bd5093a8 1 {"e":"info","info":{}}\n'])
def test_a_journal_without_a_start_is_no_run(content):
    path = in_folder("1", content)
    journal = Journal(path)
    with pytest.raises(TrackingError, match=r"holds no start of a run, and runs/1/run\.json"):
        close_dead_run(path.parent, journal)
    journal.close()
    assert read_metrics(path.parent) == {}


def test_an_event_counts_once_however_often_it_is_applied():
    events = [entry.event for entry in JournalReader(in_folder("1", golden("failed"))).read_all()]
    once, often = RunState(keep_points=True), RunState(keep_points=True)
    for number, event in enumerate(events, 1):
        once.apply(number, event)
        for known in range(1, number + 1):
            often.apply(known, events[known - 1])
    assert often.points == once.points == {"loss": 2, "odd": 2, "big": 1}
    assert often.run_json(Path("runs")) == once.run_json(Path("runs"))
    assert repr(often.columns.snapshot()) == repr(once.columns.snapshot())


def test_a_result_is_that_of_the_last_beat_unless_the_run_completed():
    for status, expected in (("FAILED", 1), ("COMPLETED", None)):
        state = RunState()
        state.apply(1, Beat("2024-05-06T07:08:11.000000", 0, 1))
        state.apply(2, Ended(status, "2024-05-06T07:08:12.000000"))
        assert state.result is expected


def test_the_time_of_an_unknown_event_counts():
    state = RunState()
    state.apply(1, Unknown({"e": "photo", "time": "2030-01-01T00:00:00.000000"}))
    assert state.last_time == "2030-01-01T00:00:00.000000"


def test_points_take_24_bytes_each_and_none_where_nobody_wants_them():
    kept, counted = RunState(keep_points=True), RunState()
    for number in range(1, 101):
        steps = list(range(1000 * number, 1000 * number + 1000))
        event = Metrics("loss", steps, [step / 7 for step in steps], steps)
        kept.apply(number, event)
        counted.apply(number, event)
    assert kept.points == counted.points == {"loss": 100_000}
    columns = kept.columns.snapshot()["loss"]
    assert sum(map(sys.getsizeof, columns)) < 24.1 * 100_000
    assert counted.columns.snapshot() == {}


def test_a_resource_whose_name_holds_the_letters_of_a_password_keeps_its_name():
    """A gap in the name would give the password away to whoever knows the file."""
    parse_mongo("mongodb://anna:geheimnis-5d1c@127.0.0.1:9/sacred")
    Path("rows-geheimnis-5d1c.txt").write_text("1 2 3\n")
    store = LocalStore("runs")
    store.started_event({"name": "r"}, "main", {}, datetime(2024, 5, 6), {}, {}, None)
    store.resource_event("rows-geheimnis-5d1c.txt")
    store.completed_event(datetime(2024, 5, 6), None)
    store.join()
    assert read_state(Path("runs/1/journal.log")).resources == [
        ResourceAdded("rows-geheimnis-5d1c.txt", "f2b33fb7b3d0eb95090a16060e6a24f9")
    ]
    assert open_store("runs").resources(1) == {"rows-geheimnis-5d1c.txt": b"1 2 3\n"}
