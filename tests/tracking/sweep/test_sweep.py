"""``reproducible-ml sweep`` with real processes: a small experiment that fails when told to."""

import csv
import importlib.util
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.tracking.sweep.search import require_optuna
from reproducible_ml.utils.errors import ConfigError
from tests.require import skip_or_fail
from tests.tracking.toy_project import command

SOURCE = '''\
"""A toy member: a number from rate and seed."""

import os
import signal
import time
from pathlib import Path

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording.facts import record_scalar

ex = experiment("toy", types={"model_dir": (str, None)})


@ex.config
def config():
    seed = 1
    rate = 0.5
    depth = 1
    shape = [1, 2]
    model_dir = None
    fails_at = -1
    dies_at = -1
    waits = False


@ex.named_config
def deep():
    depth = 7


@ex.automain
def main(_run, seed, rate, depth, shape, fails_at, dies_at, waits):
    Path("alive").mkdir(exist_ok=True)
    mark = Path("alive", str(os.getpid()))
    mark.touch()
    print("the member has begun", flush=True)
    if seed == fails_at:
        raise RuntimeError("too hot")
    if seed == dies_at:
        print("and is killed")
        os.kill(os.getpid(), signal.SIGKILL)
    while waits:
        # The two members wait for each other: one after the other they never end.
        if len(list(Path("alive").iterdir())) >= 2:
            break
        time.sleep(0.01)
    for step in (1, 2):
        record_scalar(_run, "loss", rate * seed / step, step)
    return {"score": (rate - 0.3) ** 2 + depth + seed, "sum": sum(shape), "name": "toy"}
'''


READER = '''\
"""A member that reads a data set, and writes it first when it is missing."""

from pathlib import Path

import numpy as np

from reproducible_ml.datasets.serialize import serialize_npz
from reproducible_ml.datasets.serialize.manifest import read_manifest
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import facts as record

ex = experiment("reader")


@ex.config
def config():
    seed = 1
    record_dir = "data"


@ex.automain
def main(_run, seed, record_dir):
    if not Path(record_dir, "dataset.json").exists():
        np.savez(f"rows-{seed}.npz", rows=np.load("rows.npy"))
        serialize_npz(f"rows-{seed}.npz", "rows", record_dir)
        record.record_digest(_run, {"wrote": "it"})
    manifest = read_manifest(record_dir)
    record.record_dataset(_run, "records", manifest)
    return manifest.splits["train"].records
'''


class Toy:
    """A folder with the experiment ``toys.toy``."""

    def __init__(self, root):
        self.root = root
        (root / "toys").mkdir(parents=True)
        (root / "toys" / "__init__.py").write_text("")
        self.source = root / "toys" / "toy.py"
        self.source.write_text(SOURCE)

    def sweep(self, *arguments):
        """Return exit code and output of the command."""
        return command(["sweep", "toys.toy", *arguments], self.root)

    def runs(self):
        """Return the configuration and status of each recorded run."""
        found = {}
        for path in (self.root / "runs").glob("[0-9]*"):
            config = json.loads((path / "config.json").read_text())
            found[int(path.name)] = (config, json.loads((path / "run.json").read_text())["status"])
        return found

    def rows(self, number=1):
        """Return the rows of a sweep's CSV."""
        with open(self.root / "sweeps" / str(number) / "table.csv") as file:
            return list(csv.DictReader(file))

    def members(self, number=1):
        """Return what ``sweep.json`` says of the members."""
        return json.loads((self.root / "sweeps" / str(number) / "sweep.json").read_text())[
            "members"
        ]


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path / "toy")


def commands(output):
    """Return the lines that a job array would take."""
    return [line for line in output.splitlines() if " -m toys." in line]


def score(rate, seed, depth=1):
    return (rate - 0.3) ** 2 + depth + seed


def test_the_product_is_run_and_its_table_has_mean_and_deviation_over_the_seeds(toy):
    code, output = toy.sweep("deep", "rate=0.25,1", "seed=3..4", "--metric", "score", "--jobs", "2")
    assert code == 0, output
    runs = toy.runs()
    assert sorted((config["rate"], config["seed"]) for config, _ in runs.values()) == [
        (rate, seed) for rate in (0.25, 1.0) for seed in (3, 4)
    ]
    assert {config["depth"] for config, _ in runs.values()} == {7}
    rows = toy.rows()
    assert [row["rate"] for row in rows] == ["0.25", "1"]
    for row, rate in zip(rows, (0.25, 1.0)):
        values = [score(rate, seed, 7) for seed in (3, 4)]
        assert float(row["mean"]) == pytest.approx(statistics.mean(values), rel=1e-15)
        assert float(row["deviation"]) == pytest.approx(statistics.stdev(values), rel=1e-15)
        assert (float(row["min"]), float(row["max"])) == (min(values), max(values))
        assert (row["n"], row["failed"], row["metric"]) == ("2", "0", "score")
    table = [line.split() for line in output.splitlines() if re.match(r"(rate|0\.25|1) ", line)]
    assert table[0] == [
        "rate",
        "metric",
        "mean",
        "deviation",
        "confidence_95",
        "n",
        "min",
        "max",
        "failed",
    ]
    assert table[1] == [
        "0.25",
        "score",
        "10.5025",
        "0.707107",
        "6.3531",
        "2",
        "10.0025",
        "11.0025",
        "0",
    ]


def test_what_is_recorded_is_not_run_again_until_configuration_or_source_change(toy):
    assert toy.sweep("seed=1,2", "shape=[3,4]")[0] == 0
    code, output = toy.sweep("seed=1,2", "shape=[3,4]", "rate=0.5")
    assert (code, len(toy.runs())) == (0, 2)
    assert "member 1: seed=1 shape=[3,4] rate=0.5: recorded as run 1" in output
    # Every number of the result, where no metric is named.
    assert [(row["metric"], float(row["mean"])) for row in toy.rows(2)] == [
        ("score", pytest.approx((score(0.5, 1) + score(0.5, 2)) / 2)),
        ("sum", 7.0),
    ]
    code, output = toy.sweep("seed=2,3", "shape=[3,4]", "--dry-run")
    assert "member 1: seed=2 shape=[3,4]: recorded as run 2\n" in output
    assert commands(output) == [f"{sys.executable} -m toys.toy with seed=3 'shape=[3,4]'"]
    assert len(toy.runs()) == 2
    toy.source.write_text(SOURCE + "# other\n")
    code, output = toy.sweep("seed=1,2", "shape=[3,4]", "--dry-run")
    assert (code, len(commands(output))) == (0, 2), output


def test_a_failed_and_a_killed_member_are_reported_and_the_others_go_on(toy):
    arguments = ("seed=1..4", "fails_at=2", "dies_at=3", "--metric", "loss")
    code, output = toy.sweep(*arguments)
    assert code == 1
    assert "FAILED, exit code 1; sweeps/1/2.log ends:\n" in output
    assert "RuntimeError: too hot" in output
    assert "FAILED, killed by SIGKILL; sweeps/1/3.log ends:\n" in output
    assert "    and is killed\n" in output
    assert "2 of 4 members failed." in output
    assert [one["status"] for one in toy.members()] == [
        "completed",
        "failed",
        "failed",
        "completed",
    ]
    assert "the member has begun" in (toy.root / "sweeps/1/1.log").read_text()
    (row,) = toy.rows()
    # The last of the two points: rate * seed / 2.
    assert (row["mean"], row["n"], row["failed"]) == (str((0.25 + 1.0) / 2), "2", "2")
    # The same again would run only what failed.
    code, output = toy.sweep(*arguments, "--dry-run")
    assert re.findall(r"member (\d): .*: recorded as run", output) == ["1", "4"]
    assert [re.search(r"seed=\d", one)[0] for one in commands(output)] == ["seed=2", "seed=3"]


def test_two_jobs_run_at_once(toy):
    code, output = toy.sweep("waits=True", "seed=1,2", "--jobs", "2")
    assert code == 0, output


@pytest.mark.slow
def test_one_member_writes_the_data_of_all_and_other_data_is_another_run(toy):
    toy.source.write_text(READER)
    np.save(toy.root / "rows.npy", np.zeros((6, 2), np.float32))
    arguments = ("seed=1..2", "--jobs", "2")
    code, output = toy.sweep(*arguments)
    assert code == 0, output
    infos = [json.loads((toy.root / "runs" / n / "info.json").read_text()) for n in ("1", "2")]
    assert sorted("digest" in info for info in infos) == [False, True]
    # A bare number is the metric "result".
    assert [(row["metric"], row["n"]) for row in toy.rows()] == [("result", "2")]
    shutil.rmtree(toy.root / "data")
    np.save(toy.root / "rows.npy", np.ones((6, 2), np.float32))
    assert toy.sweep(*arguments)[0] == 0
    assert len(toy.runs()) == 4
    # And with the data as it lies there now, nothing is left to run.
    assert commands(toy.sweep(*arguments, "--dry-run")[1]) == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_sweep_ends_its_members_and_keeps_what_is_done(toy, number):
    # Seed 3 waits for ever: only one mark is left when it starts.
    toy.source.write_text(SOURCE.replace(">= 2", ">= 9").replace("while waits", "while seed == 3"))
    process = subprocess.Popen(
        [sys.executable, "-m", "reproducible_ml.cli", "sweep", "toys.toy", "seed=1,3"],
        cwd=toy.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    alive, deadline = toy.root / "alive", time.monotonic() + 60
    while not alive.exists() or len(list(alive.iterdir())) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert [one["status"] for one in toy.members()] == ["completed", "interrupted"]
    row = toy.rows()[0]
    assert (row["n"], row["failed"], row["unfinished"]) == ("1", "0", "1")
    assert [one["run_id"] for one in toy.members()] == [1, 2]
    assert sorted(status for _, status in toy.runs().values()) == ["COMPLETED", "INTERRUPTED"]
    for mark in alive.iterdir():
        assert not Path("/proc", mark.name).exists()


def search(toy, trials, *more):
    """Search for the least score, each trial with two seeds."""
    if importlib.util.find_spec("optuna") is None:
        skip_or_fail("optuna", "Optuna is not installed: it comes with the extra [search]")
    space = ("rate=log:0.01..10", "depth=1..3", "seed=1,2", "--metric", "score", "--minimize")
    trials = ("--search", "optuna", "--trials", str(trials), "--jobs", "2")
    return toy.sweep(*space, *trials, *more)


def test_a_search_repeats_with_the_same_seed_and_goes_on_from_what_is_recorded(toy):
    code, output = search(toy, 1)
    assert code == 0, output
    first = [one["parameters"] for one in toy.members()]
    assert [one["seed"] for one in first] == ["1", "2"]
    assert first[0]["rate"] == first[1]["rate"]
    code, output = search(toy, 2)
    assert code == 0, output
    members = toy.members(2)
    assert [one["parameters"] for one in members[:2]] == first
    assert [one["status"] for one in members] == ["recorded"] * 2 + ["completed"] * 2
    trials = [one["parameters"] for one in members[::2]]
    for one in trials:
        assert 0.01 <= float(one["rate"]) <= 10
        assert one["depth"] in ("1", "2", "3")
    expected = [
        np.mean([score(float(one["rate"]), seed, int(one["depth"])) for seed in (1, 2)])
        for one in trials
    ]
    # The best comes first.
    assert [float(row["mean"]) for row in toy.rows(2)] == pytest.approx(sorted(expected))
    study = optuna_study(toy.root / "sweeps/2/study.log")
    assert [trial.value for trial in study.trials] == pytest.approx(expected)


def test_a_search_goes_on_after_a_trial_that_fails_and_counts_it_as_failed(toy):
    # Of each trial's two seeds the second fails, but only where the depth is not 2.
    broken = SOURCE.replace("if seed == fails_at:", "if seed == fails_at and depth != 2:")
    toy.source.write_text(broken)
    code, output = search(toy, 4, "fails_at=2")
    assert code == 1
    members = toy.members()
    assert len(members) == 8
    depths = [one["parameters"]["depth"] for one in members[::2]]
    for first, second in zip(members[::2], members[1::2]):
        assert first["status"] == "completed"
        failed = second["parameters"]["depth"] != "2"
        assert second["status"] == ("failed" if failed else "completed")
    study = optuna_study(toy.root / "sweeps/1/study.log")
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE" if depth == "2" else "FAIL" for depth in depths
    ]
    assert "FAIL" in [trial.state.name for trial in study.trials]
    assert f"{len([one for one in depths if one != '2'])} of 8 members failed." in output


def optuna_study(path):
    """Load Optuna's own journal of a search."""
    import optuna

    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.load_study(
        study_name="sweep", storage=optuna.storages.journal.JournalStorage(backend)
    )


def test_a_search_without_optuna_says_how_to_install_it(monkeypatch):
    # What Python itself takes for a package that is not there.
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r'pip install "reproducible-ml\[search\]"'):
        require_optuna()


@pytest.mark.slow
def test_another_search_seed_searches_elsewhere(toy):
    assert search(toy, 1)[0] == search(toy, 1, "--search-seed", "5")[0] == 0
    assert toy.members(1)[0]["parameters"]["rate"] != toy.members(2)[0]["parameters"]["rate"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model_dir=mine", "seed=1,2"], "model_dir=mine would be shared by members"),
        (["rat=0.5,1"], "There is no configuration key 'rat'; did you mean 'rate'?"),
        (["rate=fast,slow"], "rate must be a number"),
        (["shallow", "seed=1,2"], "There is no named configuration 'shallow'"),
        (["rate=0.1..0.9"], "a logarithmic or non-integer range is only for --search"),
        (["seed=1", "--trials", "3"], "--trials belongs to a search"),
        (["rate=0.1,1", "--search", "optuna"], "A search needs --trials and --metric and"),
    ],
)
def test_a_sweep_that_cannot_work_is_refused_before_anything_is_written(toy, arguments, sentence):
    code, output = toy.sweep(*arguments)
    assert code == 1
    assert sentence in output
    assert sorted(path.name for path in toy.root.iterdir() if path.name != "toys") == []


def test_a_module_that_is_none_is_named(tmp_path):
    code, output = command(["sweep", "toys.nothing", "seed=1"], tmp_path)
    assert code == 1
    assert "There is no module toys.nothing" in output


def test_an_unknown_metric_is_refused_with_those_that_there_are(toy):
    code, output = toy.sweep("seed=1", "--metric", "scroe")
    assert code == 1
    assert "has no number 'scroe'; did you mean 'score'?" in output
