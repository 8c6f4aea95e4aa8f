"""A tracked run in a process of its own, and what it must have left behind.

``python -m tests.tracking.tracked_process '{"runs_dir": ..., "mongo": ..., ...}'`` runs it. All it
logs follows from the settings, so ``check_run`` can compare every point and byte.
"""

import json
import math
import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
METRICS = ("loss", "critic.loss", "$odd")
DEFAULTS = {
    "runs_dir": None,
    "mongo": None,
    "points": 300,
    "seconds": 2.0,
    "artifact_bytes": 400_000,
    "artifacts": 3,
    "beat_seconds": 0.2,
    "seed": 0,
    "fail": False,
    "progress": None,
    "ready": None,
}


def value_of(seed, name, step):
    """Return the value of a point; some are not finite."""
    number = random.Random(f"{seed} {name} {step}").random()
    if name == "$odd":
        return (math.nan, math.inf, -math.inf, number, step)[step % 5]
    return number


def artifact_bytes(settings, number):
    """Return the content of an artifact."""
    return random.Random(f"{settings['seed']} {number}").randbytes(settings["artifact_bytes"])


def artifact_name(number):
    """Return an artifact's name: the last two have the same one."""
    return f"sample_{min(number, 1)}.bin"


def start_process(**settings):
    """Start the process; its output goes to a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tracking.tracked_process", json.dumps(settings)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main(settings):
    """Run the experiment."""
    warnings.simplefilter("ignore")
    from sacred import Experiment

    from reproducible_ml.tracking.mongo.address import parse_mongo
    from reproducible_ml.tracking.recording.observer import LocalStore

    settings = {**DEFAULTS, **settings}
    mirror = parse_mongo(settings["mongo"]) if settings["mongo"] else None
    store = LocalStore(settings["runs_dir"], mirror)
    experiment = Experiment("tracked", save_git_info=False)
    experiment.observers.append(store)
    experiment.add_config(seed=settings["seed"], shape=[[4, 4], [2, 2]], nested={"lr": 1e-3})

    @experiment.main
    def train(_run):
        if settings["ready"]:
            Path(settings["ready"]).write_text(str(_run._id))
        folder = Path(settings["runs_dir"], "work")
        folder.mkdir(exist_ok=True)
        made = folder / f"{os.getpid()}.bin"
        artifact_steps = {
            (number + 1) * settings["points"] // (settings["artifacts"] + 1): number
            for number in range(settings["artifacts"])
        }
        with open(settings["progress"] or os.devnull, "wb", buffering=0) as progress:
            for step in range(settings["points"]):
                for name in METRICS:
                    _run.log_scalar(name, value_of(settings["seed"], name, step), step)
                progress.write(b"%d\n" % step)
                if step in artifact_steps:
                    made.write_bytes(artifact_bytes(settings, artifact_steps[step]))
                    _run.add_artifact(str(made), artifact_name(artifact_steps[step]))
                print("step", step)
                _run.info["a.b"] = {"$step": step}
                time.sleep(settings["seconds"] / settings["points"])
        if settings["fail"]:
            raise ValueError("meant to fail")
        return settings["points"]

    run = experiment._create_run()
    run.beat_interval = settings["beat_seconds"]
    store.attach(run)
    run()
    print("run", run._id, "in the database", store.database_id)


def same(found, expected):
    """Compare lists of numbers, types and NaN included."""
    return [repr(item) for item in found] == [repr(item) for item in expected]


def check_run(database, document, settings, status="COMPLETED", at_least=None):
    """Compare a run in the database with what its process logged: all of it, once, in order.

    With ``at_least`` the process was killed: that many steps must be there, and no wrong ones.
    """
    import gridfs

    settings = {**DEFAULTS, **settings}
    steps_known = settings["points"] if at_least is None else None
    assert document["status"] == status
    assert document["delivery"]["complete"] is True
    assert document["config"]["shape"] == [[4, 4], [2, 2]]
    names = [entry["name"] for entry in document["info"].get("metrics", [])]
    assert len(names) == len(set(names))
    for name in METRICS:
        parts = list(database.metrics.find({"run_id": document["_id"], "name": name}))
        assert len(parts) == 1, (name, len(parts))
        (part,) = parts
        assert {"name": name, "id": str(part["_id"])} in document["info"]["metrics"]
        count = len(part["steps"])
        if steps_known is None:
            assert at_least <= count <= settings["points"], (at_least, count)
        else:
            assert count == steps_known
        assert part["steps"] == list(range(count))
        assert same(part["values"], [value_of(settings["seed"], name, n) for n in range(count)])
        assert len(part["timestamps"]) == count
        assert part["timestamps"] == sorted(part["timestamps"])
    files = gridfs.GridFS(database)
    listed = document["artifacts"]
    if at_least is None:
        assert [entry["name"] for entry in listed] == [
            artifact_name(number) for number in range(settings["artifacts"])
        ]
        assert document["info"]["a,b"] == {"@step": settings["points"] - 1}
        assert f"step {settings['points'] - 1}\n" in document["captured_out"]
    for number, entry in enumerate(listed):
        assert files.get(entry["file_id"]).read() == artifact_bytes(settings, number), entry
    assert document["experiment"]["sources"]
    for name, file_id in document["experiment"]["sources"]:
        source = Path(document["experiment"]["base_dir"], name)
        assert files.get(file_id).read() == source.read_bytes()
    if status == "COMPLETED":
        assert document["result"] == settings["points"]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
