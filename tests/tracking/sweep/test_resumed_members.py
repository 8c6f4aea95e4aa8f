"""Members that resume or are the same, and metrics that no member has; with real processes."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reproducible_ml.tracking.sweep import Request
from reproducible_ml.tracking.sweep.earlier import need_database
from reproducible_ml.tracking.sweep.plan import Plan, mark_of
from reproducible_ml.tracking.sweep.progress import last_line
from reproducible_ml.utils.errors import ConfigError
from tests.tracking.toy_project import command

# Counts steps in a checkpoint of its own, named as TensorFlow's, and waits where it is told to.
SOURCE = '''\
"""A training that needs no TensorFlow."""

import time
from pathlib import Path

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording.facts import record_scalar
from reproducible_ml.tracking.runs import record_model_dir

ex = experiment(
    "counting",
    types={"model_dir": (str, None), "rate": (float, None), "api_key": (str, None)},
    fill_in=lambda config: {"rate": (config["rate"] or 0.5, "toy")},
    metrics=lambda config: ["total", "loss"],
)


@ex.config
def config():
    seed = 1
    rate = None
    model_dir = None
    api_key = None


@ex.automain
def main(_run, seed, rate, model_dir):
    folder = Path(model_dir or f"models/counting-{_run._id}")
    folder.mkdir(parents=True, exist_ok=True)
    record_model_dir(_run, folder)
    done = [int(one.stem.partition("-")[2]) for one in folder.glob("model.ckpt-*.index")]
    first = max(done, default=0)
    with open("steps.txt", "a") as file:
        file.write(f"{seed}:{first} ")
    for step in range(first + 1, 5):
        print(f"step {step}/4", flush=True)
        record_scalar(_run, "loss", rate / step, step)
        (folder / f"model.ckpt-{step}.index").touch()
        while step == 2 and seed == 2 and not Path("open").exists():
            time.sleep(0.01)
    return {"total": rate * seed * step}
'''

ADDRESS = "mongodb://anna:himbeergeist@127.0.0.1:9/sacred"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sweep of seeds 1 and 2 to a database behind a password, of which 2 was interrupted."""
    root = tmp_path_factory.mktemp("resumed")
    (root / "toys").mkdir()
    (root / "toys" / "__init__.py").write_text("")
    (root / "toys" / "counting.py").write_text(SOURCE)
    (root / "address").write_text(ADDRESS)
    (root / "address").chmod(0o600)
    words = ["seed=1,2", "rate=0.5", "api_key=geheim", "--mongo-from", "address", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "reproducible_ml.cli", "sweep", "toys.counting", *words],
        **{"cwd": root, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
    )
    deadline = time.monotonic() + 120
    lines = ""
    while not list((root / "runs").glob("*/run.json")) or not (
        sorted(path.name for path in root.glob("models/*/model.ckpt-4.index"))
        and len(list(root.glob("models/*/model.ckpt-2.index"))) == 2
        and '"completed"' in (root / "sweeps/1/sweep.json").read_text()
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        lines += "".join(map(command_line, children_of(process.pid)))
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    return root, output, lines


def children_of(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def sweep(folder, *words):
    seeds, *more = words
    given = [seeds, "rate=0.5", "api_key=geheim", *more]
    return command(["sweep", "toys.counting", *given], folder)


def test_no_file_and_no_command_line_holds_the_address_of_the_database(folder):
    root, output, lines = folder
    assert "toys.counting" in lines
    assert "himbeergeist" not in lines + output
    for path in root.rglob("*"):
        if path.is_file() and path.name != "address":
            assert b"himbeergeist" not in path.read_bytes(), path
    told = json.loads((root / "sweeps/1/sweep.json").read_text())
    assert told["mongo"] == "mongodb://127.0.0.1:9/sacred"
    assert {one["parameters"]["api_key"] for one in told["members"]} == {"***"}


def test_an_interrupted_member_has_its_run_is_unfinished_and_resumes_at_its_step(folder):
    root, output, _ = folder
    assert "Planning 2 members of toys.counting." in output
    assert re.search(
        r"member 2: seed=2 rate=0.5 api_key=\*\*\*: started, prints to sweeps/1/2.log", output
    )
    members = json.loads((root / "sweeps/1/sweep.json").read_text())["members"]
    assert [one["status"] for one in members] == ["completed", "interrupted"]
    stopped = members[1]["run_id"]
    assert json.loads((root / "runs" / str(stopped) / "config.json").read_text())["seed"] == 2
    # Without the address it is asked for; with the option it need not be.
    code, output = sweep(root, "seed=1,2")
    assert code == 1
    assert "name it again with --mongo-from FILE, REPRODUCIBLE_ML_MONGO or -m" in output
    assert len(output.strip().splitlines()) == 1, output
    code, output = sweep(root, "seed=1,2", "--dry-run", "--mongo-from", "address")
    assert code == 0, output
    assert f"member 2: seed=2 rate=0.5 api_key=***: resumes run {stopped}" in output
    assert "jobs need REPRODUCIBLE_ML_MONGO" in output
    (line,) = [one for one in output.splitlines() if " -m toys.counting " in one]
    assert line.endswith(f"seed=2 rate=0.5 api_key=geheim model_dir=models/counting-{stopped}")
    # What a job array would run, as it is written.
    (root / "open").touch()
    done = subprocess.run(line, shell=True, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "steps.txt").read_text().split()[-1] == "2:2"
    # The sweep then finds both, and the default of rate is the value that it had.
    code, output = command(
        [
            *("sweep", "toys.counting", "seed=1,2", "rate=None,0.5,5e-1", "api_key=geheim"),
            *("--mongo-from", "address", "--metric", "total"),
        ],
        root,
    )
    assert code == 0, output
    assert output.count(": recorded as run ") == 2
    assert output.count(": the same configuration as member ") == 4
    assert (root / "steps.txt").read_text().split()[-1] == "2:2"
    row = next(line.split() for line in output.splitlines() if line.startswith("None"))
    # rate * seed * 4 for both seeds.
    assert (float(row[2]), row[5], row[8]) == ((0.5 * 1 * 4 + 0.5 * 2 * 4) / 2, "2", "0")


def test_a_metric_that_no_member_has_is_refused_before_anything_starts(folder):
    root, _, _ = folder
    before = sorted(path.name for path in (root / "sweeps").iterdir())
    code, output = sweep(root, "seed=7", "--metric", "los", "--no-resume")
    assert code == 1
    assert "--metric: counting has no number 'los'; did you mean 'loss'?" in output
    assert sorted(path.name for path in (root / "sweeps").iterdir()) == before


def test_metrics_are_checked_where_they_are_known_for_every_member():
    plan = Plan("toy", {}, [{}, {}], [["a"], ["b", "loss"]])
    plan.check_metric("b")
    plan.check_metric(None)
    with pytest.raises(ConfigError, match="has no number 'los'; did you mean 'loss'"):
        plan.check_metric("los")
    Plan("toy", {}, [{}, {}], [["a"], None]).check_metric("los")


def test_configurations_are_the_same_by_value():
    assert mark_of({"a": 1e-4, "b": [2, {"c": 3.0}]}) == mark_of(
        {"b": [2.0, {"c": 3}], "a": 0.0001}
    )
    different = [{"a": one} for one in (True, 1, "1", None, 1.5, [1])]
    assert len(set(map(mark_of, different))) == len(different)


def test_the_newest_unfinished_sweep_says_whether_a_database_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = [{"seed": "1"}, {"seed": "2"}]

    def earlier(number, status, mongo, seed="2"):
        path = Path("sweeps", str(number), "sweep.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        member = {"status": status, "parameters": {"seed": seed}}
        told = {"module": "m", "named": [], "mongo": mongo, "members": [member]}
        path.write_text(json.dumps(told))

    earlier(1, "interrupted", "mongodb://h/db", seed="9")
    earlier(2, "completed", "mongodb://h/db")
    Path("sweeps/3").mkdir()
    Path("sweeps/3/sweep.json").write_text("{broken")
    need_database(Request("m"), asked)
    earlier(4, "running", "mongodb://h/db")
    with pytest.raises(ConfigError, match="sweeps/4 left members of this sweep unfinished"):
        need_database(Request("m"), asked)
    need_database(Request("m", mongo="sacred"), asked)
    need_database(Request("m", resumes=False), asked)
    need_database(Request("other"), asked)
    earlier(5, "interrupted", None)
    need_database(Request("m"), asked)


def test_the_last_line_of_a_log_is_its_progress(tmp_path):
    log = tmp_path / "1.log"
    log.write_text('step 1/9\nINFO - toy - Started run with ID "1"\nstep 2/9\rstep 3/9\n\n')
    assert last_line(log) == "step 3/9"
    log.write_text("INFO - toy - Running\n  File x\n")
    assert last_line(log) == ""
