"""A damaged or cut journal: what verifies is read, what files hold is added, nothing is replaced
by less."""

import json
import random
import shutil
from pathlib import Path

import pytest

from reproducible_ml.tracking.folder import Journal, JournalReader, read_metrics, read_state
from reproducible_ml.tracking.mongo import parse_mongo, sync_runs
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.runs import load_run
from tests.tracking.board import toy

POINTS = 300
LATE = "late.txt"


def main(_run):
    Path(LATE).write_text("late")
    for step in range(POINTS):
        _run.log_scalar("loss", (step * 7919 % 1000) / 8, step)
        if step % 3 == 0:
            _run.log_scalar("odd", float("nan") if step == 6 else step / 2, step)
        if step == POINTS // 2:
            _run._emit_heartbeat()
            _run.add_artifact(LATE)
            _run.add_resource(__file__)
    _run.info["told"] = {"a.b": 1}
    return {"loss": 0.25}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        toy.record(LocalStore("runs"), main)
    return folder / "runs"


@pytest.fixture
def runs(recorded):
    shutil.copytree(recorded, "runs")
    return Path("runs")


def contents(runs):
    """Return what a user sees of the run, and its files."""
    run = load_run(1, runs)
    points = {
        name: [list(map(repr, one)) for one in zip(*c.values())] for name, c in run.points.items()
    }
    files = {
        path.name: path.read_bytes()
        for path in sorted((runs / "1").iterdir())
        if path.is_file() and not path.name.startswith("journal.log")
    }
    return run.status, run.result, run.info, points, run.entry["stop_time"], files


def events(path):
    """Return each event's text, with points one by one, so that their packing does not count."""
    found = []
    for _, event in JournalReader(path).read_all():
        data = event.as_json()
        if data["e"] == "metrics":
            found += [repr((data["n"], one)) for one in zip(data["s"], data["v"], data["t"])]
        elif data["e"] != "heartbeat":
            found.append(repr(data))
    return found


def synced(runs):
    return [outcome.word for outcome in sync_runs(runs)]


def cut(journal, part):
    whole = journal.read_bytes()
    journal.write_bytes(whole[: int(len(whole) * part)])


@pytest.mark.parametrize("part", [0, 0.001, 0.2, 0.43, 0.7, 0.9999])
def test_a_complete_record_stays_as_it_is_when_its_journal_was_cut(runs, part):
    before, journal = contents(runs), runs / "1" / "journal.log"
    all_events = events(journal)
    cut(journal, part)
    for _ in range(2):
        assert synced(runs) == ["local"]
        assert contents(runs) == before
        # The uid is made anew if the first line was lost; metadata of artifacts is in it alone.
        lost = set(all_events) - set(events(journal))
        assert all("'e': 'start'" in one or "'e': 'info'" in one for one in lost), lost
        assert read_state(journal).status == "COMPLETED"
    assert read_metrics(runs / "1").keys() == {"loss", "odd"}


def test_damage_costs_the_events_that_it_hits_alone(runs):
    journal = runs / "1" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    chance = random.Random(5)
    for _ in range(25):
        first = chance.randrange(1, len(lines) - 4)
        last = first + chance.randrange(3)
        kind = chance.choice(["bytes", "zeros", "newline", "gone", "twice"])
        damaged = list(lines)
        for number in range(first, last + 1):
            damaged[number] = {
                "bytes": b"\xff\r" + lines[number][2:],
                "zeros": bytes(len(lines[number])),
                "newline": lines[number][:-1] + b"x",
                "gone": b"",
                "twice": 2 * lines[number],
            }[kind]
        journal.write_bytes(b"".join(damaged))
        kept = [entry.sequence for entry in JournalReader(journal).read_all()]
        hit = set() if kind in ("newline", "twice") else set(range(first + 1, last + 2))
        assert kept == [n for n in range(1, len(lines) + 1) if n not in hit], (kind, first, last)


def test_points_come_back_in_their_places_and_the_damaged_journal_is_kept(runs):
    before, journal = contents(runs), runs / "1" / "journal.log"
    order = [one for one in events(journal) if one.startswith("('loss'")]
    lines = journal.read_bytes().splitlines(keepends=True)
    for number in (20, 21, 22, 90, 140):
        lines[number] = b"#" + lines[number][1:]
    damaged = b"".join(lines)
    journal.write_bytes(damaged)
    assert contents(runs) == before
    synced(runs)
    assert contents(runs) == before
    assert [one for one in events(journal) if one.startswith("('loss'")] == order
    assert JournalReader(journal).read()[-1].sequence == len(lines)
    assert (runs / "1" / "journal.log.damaged").read_bytes() == damaged
    # Writers go on behind it, and hold its lock.
    Journal(journal).close()


@pytest.mark.parametrize("file", ["run.json", "metrics.json", "info.json", "config.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_file_is_written_again_from_the_journal(runs, file, damage):
    before, path = contents(runs), runs / "1" / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.unlink()
    synced(runs)
    after = contents(runs)
    assert after[:5] == before[:5]
    assert json.loads(path.read_bytes()) is not None


def test_a_killed_run_keeps_what_either_holds(runs):
    journal, folder = runs / "1" / "journal.log", runs / "1"
    before = contents(runs)
    run = json.loads((folder / "run.json").read_text())
    del run["stop_time"]
    (folder / "run.json").write_text(json.dumps({**run, "status": "RUNNING"}))
    cut(journal, 0.3)
    synced(runs)
    status, result, info, points, _, _ = contents(runs)
    assert (status, result, info, points) == ("INTERRUPTED", *before[1:4])


def test_a_journal_that_is_all_there_is_is_not_removed_by_any_advice(runs):
    journal = runs / "1" / "journal.log"
    journal.write_bytes(b"nothing that verifies\n")
    (runs / "1" / "run.json").write_text("{")
    (outcome,) = sync_runs(runs)
    assert outcome.word == "failed"
    assert "restore either from a backup" in outcome.detail
    assert "emove" not in outcome.detail
    assert journal.read_bytes() == b"nothing that verifies\n"


def delivered(database):
    (document,) = database.runs.find({})
    points = {
        one["name"]: list(zip(one["steps"], map(repr, one["values"])))
        for one in database.metrics.find({})
    }
    return document["status"], document["result"], points


def test_a_database_gets_what_is_whole_and_is_never_given_less(runs, mongo_uri, mongo_database):
    target = parse_mongo(f"{mongo_uri}/{mongo_database.name}")
    journal, folder = runs / "1" / "journal.log", runs / "1"
    kept = read_metrics(folder)
    wanted = {n: list(zip(one["steps"], map(repr, one["values"]))) for n, one in kept.items()}
    lines = journal.read_bytes().splitlines(keepends=True)
    # A part arrives, of a run that was killed.
    run = json.loads((folder / "run.json").read_text())
    shutil.copytree(folder, "whole")
    (folder / "run.json").write_text(json.dumps({**run, "status": "RUNNING"}))
    (folder / "metrics.json").unlink()
    journal.write_bytes(b"".join(lines[:200]))
    assert [one.word for one in sync_runs(runs, target)] == ["delivered"]
    assert delivered(mongo_database)[0] == "INTERRUPTED"
    # The whole files come back, with the cut journal; and the record is delivered again.
    for name in ("run.json", "metrics.json"):
        shutil.copy(Path("whole", name), folder / name)
    journal.write_bytes(b"".join([*lines[:150], b"#" + lines[150][1:], *lines[151:170]]))
    (folder / "delivery.json").write_text(
        (folder / "delivery.json").read_text().replace("true", "false")
    )
    (outcome,) = sync_runs(runs, target)
    assert outcome.word == "delivered", outcome.detail
    status, result, points = delivered(mongo_database)
    assert (status, result) == ("COMPLETED", {"loss": 0.25})
    assert {name: sorted(one) for name, one in points.items()} == {
        name: sorted(one) for name, one in wanted.items()
    }
    # Nothing but a cut journal is left here: the database holds more.
    for name in ("run.json", "metrics.json"):
        (folder / name).unlink()
    journal.write_bytes(b"".join(lines[:100]))
    (folder / "delivery.json").unlink()
    (outcome,) = sync_runs(runs, target)
    assert outcome.word == "failed"
    assert "holds more of runs/1 than its journal: " in outcome.detail
    assert delivered(mongo_database) == (status, result, points)


def test_a_damaged_journal_that_was_never_delivered_arrives_in_order(
    runs, mongo_uri, mongo_database
):
    target = parse_mongo(f"{mongo_uri}/{mongo_database.name}")
    journal = runs / "1" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    for number in (20, 21, 22, 90, 140):
        lines[number] = b"#" + lines[number][1:]
    journal.write_bytes(b"".join(lines))
    assert [one.word for one in sync_runs(runs, target)] == ["delivered"]
    steps = [step for step, _ in delivered(mongo_database)[2]["loss"]]
    assert steps == list(range(POINTS))
