"""A disk of runs that fills up or goes away: nothing is lost, and what is missing is told."""

import json
import logging
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.folder import read_metrics, read_state
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.utils.errors import TrackingError
from tests.small_disk import small_disk

POINTS = 3000
ROUNDS = int(os.environ.get("ROUNDS", "2"))
DISK_BYTES = 16 << 20


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of its own, which holds 16 MB."""
    with small_disk(tmp_path / "small", DISK_BYTES, lazily=True) as folder:
        yield folder


def fill(folder):
    """Fill a disk to its last byte."""
    with open(folder / "filler", "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def value_of(step):
    return (step * 7919 % 1000) / 8


def make(act, points=POINTS):
    """Return an experiment that calls ``act(step)`` before each point, and leaves artifacts."""
    ex = experiment("fills")

    @ex.config
    def config():
        seed = 1  # noqa: F841

    @ex.main
    def main(_run):
        for step in range(points):
            act(step, _run)
            _run.log_scalar("loss", value_of(step), step)
            if step % 1000 == 999:
                Path("made.txt").write_text(f"made at {step}")
                _run.add_artifact("made.txt", f"made-{step}.txt")
                os.remove("made.txt")
                print("step", step)
        _run.info["steps"] = points
        return {"points": points}

    return ex


def command(ex, folder, capsys):
    """Call it as a user does; return the exit code and what it printed."""
    code = 0
    try:
        ex.run_commandline(["fills", "-F", str(folder)])
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def check_whole(folder, status="COMPLETED", sources=True):
    """Compare a record with what was logged."""
    runs, name = folder.parent, folder.name
    for points in (read_metrics(folder), json.loads((folder / "metrics.json").read_text())):
        assert points["loss"]["steps"] == list(range(POINTS))
        assert points["loss"]["values"] == [value_of(step) for step in range(POINTS)]
    run = load_run(name, runs)
    assert (run.status, run.result) == (status, {"points": POINTS})
    assert run.info["steps"] == POINTS
    if sources:
        assert broken_parts(run.info["seal"], seal_of(run)) == []
    for step in (999, 1999, 2999):
        assert (folder / f"made-{step}.txt").read_text() == f"made at {step}"
        assert f"step {step}\n" in (folder / "cout.txt").read_text()
    assert read_state(folder / "journal.log").end.status == status


def rescued(error):
    (place,) = re.findall(r"is in (\S+): ", error)
    return Path(place)


def test_a_disk_that_stays_full_is_an_error_that_names_where_the_whole_record_is(disk, capsys):
    filled = []
    ex = make(lambda step, run: step == 58 and filled.append(fill(disk)))
    code, printed, error = command(ex, disk / "runs", capsys)
    assert code == 1
    assert "Prove it" not in printed
    last = error.strip().splitlines()[-1]
    assert last.startswith(f"Error: Run 1 is not complete in {disk}/runs/1 (No space left on dev")
    lost = int(re.search(r"it lacks ([\d,]+) of 3,000 points, its end, ", last)[1].replace(",", ""))
    assert lost == POINTS - len(read_metrics(disk / "runs/1")["loss"]["steps"])
    # As many as the last block of the file holds are kept.
    assert POINTS - 58 - 60 < lost <= POINTS - 58
    # As the sentence says, once there is space again.
    place = rescued(last)
    (disk / "filler").unlink()
    told = last.partition("when there is space, ")[2]
    subprocess.run(told, shell=True, check=True)
    shutil.rmtree(place)
    check_whole(disk / "runs" / "1")


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_disk_that_was_full_for_a_while_costs_nothing(disk, capsys, number):
    chance = random.Random(number)
    full = chance.randrange(POINTS - 1)
    freed = chance.randrange(full + 1, POINTS)
    beats = set(chance.sample(range(POINTS), 20))

    def act(step, run):
        if step == full:
            fill(disk)
        if step == freed:
            (disk / "filler").unlink()
        if step in beats:
            run._emit_heartbeat()

    code, printed, error = command(make(act), disk / "runs", capsys)
    assert (code, "Error" in error) == (0, False), error
    assert "Prove it" in printed
    check_whole(disk / "runs" / "1")


@pytest.mark.parametrize("again", [False, True])
def test_a_removed_folder_is_an_error_and_the_record_is_elsewhere(capsys, caplog, again):
    # Sacred sets the level of all loggers, and leaves it to the next test.
    caplog.set_level(logging.WARNING, logger="reproducible_ml")

    def act(step, run):
        if step == 700:
            shutil.rmtree("runs")
            if again:
                # Another run takes its place.
                Path("runs/1").mkdir(parents=True)
                Path("runs/1/run.json").write_text("another's")
        if step in (900, 1500):
            run._emit_heartbeat()

    code, printed, error = command(make(act), "runs", capsys)
    assert (code, "Prove it" in printed) == (1, False)
    # Where Sacred sets the root logger up, it goes to stderr.
    told = [text.count("runs/1 was removed while its run goes on") for text in (caplog.text, error)]
    assert max(told) == 1
    last = error.strip().splitlines()[-1]
    assert last.startswith("Error: Run 1 is not recorded in runs/1, which was removed during the")
    assert "The record without the copies of source files is in" in last
    check_whole(rescued(last), sources=False)
    shutil.rmtree(rescued(last))
    if again:
        assert [path.name for path in Path("runs/1").iterdir()] == ["run.json"]
        assert Path("runs/1/run.json").read_text() == "another's"
    else:
        assert not Path("runs").exists()


def test_from_python_it_is_an_exception():
    ex = make(lambda step, run: step == 5 and shutil.rmtree("runs"), points=10)
    with pytest.raises(TrackingError, match="which was removed during the run") as error:
        ex.run()
    shutil.rmtree(rescued(str(error.value)))
