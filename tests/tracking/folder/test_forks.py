"""Forked processes never write into the journal of their parent's run."""

import fcntl
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main as cli
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.folder import JournalReader
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.utils.errors import TrackingError

FORK = multiprocessing.get_context("fork")
_shared = {}


def work(number):
    """Log from a worker, as a data loader's might."""
    run = _shared["run"]
    run.log_scalar("worker.loss", number, number)
    Path(f"{number}.txt").write_text("made")
    run.add_artifact(f"{number}.txt")
    run.open_resource(__file__).close()
    run.info["number"] = number
    run.info.update(other=number)
    run.info.setdefault("third", number)
    run.info |= {"fourth": number}
    return number


def run_main(main, name="forking"):
    ex = experiment(name)
    ex.main(main)
    ex.run()
    return load_run(1)


def points(run):
    return {name: one["values"] for name, one in run.points.items()}


def forked(task):
    """Execute a function in a fork that ends without Python's clean-up."""
    process = os.fork()
    if not process:
        try:
            task()
        finally:
            os._exit(0)
    os.waitpid(process, 0)


def pool(run):
    _shared["run"] = run
    run.log_scalar("loss", 0.5, 0)
    with FORK.Pool(2) as workers:
        numbers = workers.map(work, range(6))
    run.log_scalar("loss", 0.25, 1)
    return sum(numbers)


def bare_fork(run):
    _shared["run"] = run
    run.log_scalar("loss", 0.5, 0)
    forked(lambda: work(7))
    run.log_scalar("loss", 0.25, 1)


@pytest.mark.parametrize("task", [pool, bare_fork])
def test_what_workers_log_is_refused_in_a_sentence_and_the_run_stays_whole(task, capfd):
    run = run_main(lambda _run: task(_run))
    assert run.status == "COMPLETED"
    assert points(run) == {"loss": [0.5, 0.25]}
    assert list(run.artifacts) == []
    numbers = [entry.sequence for entry in JournalReader(Path("runs/1/journal.log")).read_all()]
    assert numbers == list(range(1, len(numbers) + 1))
    # Modules of tests that ran before in this process may have functions without a file.
    (said,) = [one for one in run.info["unrecorded"] if one.startswith("what forked")]
    assert said.startswith("what forked processes tried to record: artifact '")
    keys = ("number", "other", "third", "fourth")
    for refused in (
        "metric 'worker.loss'",
        f"resource {__file__!r}",
        *(f"info {k!r}" for k in keys),
    ):
        assert refused in said
    assert not set(keys) & set(run.info)
    assert type(run.info) is dict
    errors = capfd.readouterr().err + run.log
    assert "Not recorded: metric 'worker.loss', because process" in errors
    assert CliRunner().invoke(cli, ["show", "1"]).exit_code == 0


def test_a_fork_that_returns_from_the_main_function_does_not_end_the_run():
    def main(_run):
        process = os.fork()
        if process:
            os.waitpid(process, 0)
            _run.log_scalar("loss", 1.0, 1)
            return "parent"
        _shared["child"] = True
        return "child"

    try:
        run = run_main(main)
    finally:
        if _shared.pop("child", False):
            os._exit(0)
    assert (run.status, run.result, points(run)) == ("COMPLETED", "parent", {"loss": [1.0]})


def test_a_worker_that_survives_does_not_keep_the_journal_locked():
    ends = os.pipe()

    def main(_run):
        _shared["process"] = os.fork()
        if not _shared["process"]:
            os.close(ends[1])
            os.read(ends[0], 1)
            os._exit(0)

    run_main(main)
    with open("runs/1/journal.log", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(ends[1])
    os.waitpid(_shared["process"], 0)


def test_a_run_is_not_passed_to_a_spawned_process():
    def main(_run):
        for thing in (_run, _run.observers[0]):
            with pytest.raises(TrackingError, match="can't be passed to another process"):
                pickle.dumps(thing)

    assert run_main(main).status == "COMPLETED"


def damage_numbers(folder):
    """Write the journal as two writers did before: each number twice."""
    lines = (folder / "journal.log").read_bytes().splitlines(keepends=True)
    (folder / "journal.log").write_bytes(b"".join(line + line for line in lines))


DAMAGES = {
    "numbers twice": damage_numbers,
    "journal of zeros": lambda folder: (folder / "journal.log").write_bytes(bytes(4096)),
    "no journal": lambda folder: (folder / "journal.log").unlink(),
    "half a description": lambda folder: (folder / "run.json").write_text('{"status": "COM'),
    "a list for a description": lambda folder: (folder / "run.json").write_text("[]"),
    "metrics cut": lambda folder: (folder / "metrics.json").write_text("{"),
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    ex = experiment("whole")
    ex.main(lambda _run: _run.log_scalar("loss", 0.5, 1))
    for _ in range(2):
        ex.run(options={"--file_storage": str(folder / "runs")})
    return folder / "runs"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_one_damaged_run_hides_no_other(two_runs, damage):
    shutil.copytree(two_runs, "runs")
    damage(Path("runs", "1"))
    listed = CliRunner().invoke(cli, ["runs"])
    assert listed.exit_code == 0, listed.output
    listed_ids = {line.split()[0].rstrip("*") for line in listed.output.splitlines() if line}
    assert {"1", "2"} <= listed_ids
    shown = CliRunner().invoke(cli, ["show", "2"])
    assert "COMPLETED" in shown.output
    reported = CliRunner().invoke(cli, ["report", "2", "-o", "report.html"])
    assert reported.exit_code == 0, reported.output
    assert Path("report.html").stat().st_size > 10_000
