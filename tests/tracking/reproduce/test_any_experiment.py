"""``reproducible-ml reproduce`` on experiments that call nothing of this library, or ``finish``."""

import io
import json
import shutil

import numpy as np
import pytest

from reproducible_ml.tracking.reproduce import IDENTICAL, Request, reproduce
from reproducible_ml.tracking.runs import load_run
from tests.tracking.lab import run as run_module

PLAIN = '''
"""As it was with plain Sacred, but for the import and the name of the class."""
from pathlib import Path

from reproducible_ml.tracking import experiment

ex = experiment()

@ex.config
def config():
    seed = 3
    start = "start.txt"
    log = "out/log.txt"
    optimizer = {"kind": "sgd"}
    scale = 1.0

@ex.main
def main(_run, _rnd, start, log, scale):
    import lately
    from steps import size
    weight = float(Path(start).read_text())
    for step in range(1, 6):
        weight += scale * size.OF * lately.FACTOR * float(_rnd.normal())
        _run.log_scalar("train.weight", weight, step)
    Path(log).write_text(weight.hex())
    _run.add_artifact(log)
    return {"weight": weight}

if __name__ == "__main__":
    # It reads no command line, and what it runs next is not what is run again.
    ex.run(config_updates={"scale": 3.0})
    ex.run(config_updates={"scale": 7.0})
'''

DIGESTED = """
import time
from pathlib import Path

import numpy as np

from reproducible_ml.tracking import experiment, finish

ex = experiment("fit")

@ex.config
def config():
    seed = 3
    data = {"file": "rows.csv"}
    ridge = 0.5
    model = "model.npy"

@ex.command
def ridges(_run, _rnd, data, ridge, model):
    import lately
    rows = np.loadtxt(data["file"], delimiter=",") * (2 * lately.FACTOR)
    x, y = rows[:, :-1], rows[:, -1]
    coef = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    np.save(model, coef)
    _run.add_artifact(model)
    _run.log_scalar("seconds", time.perf_counter(), 0)
    finish(
        _run,
        digests={"coef": coef, "net": [{"layer.w": _rnd.normal(size=(2, 3))}, 7]},
        inputs=["data.file"],
        outputs=["model"],
        ignore=["seconds", "result.took"],
    )
    return {"norm": float(coef @ coef), "took": time.perf_counter()}

@ex.automain
def main():
    raise SystemExit("not the command that ran")
"""


def write(folder):
    """Write both experiments and what they read."""
    (folder / "steps").mkdir(parents=True)
    (folder / "out").mkdir()
    (folder / "plain.py").write_text(PLAIN)
    (folder / "lately.py").write_text("FACTOR = 0.5\n")
    (folder / "steps" / "__init__.py").write_text("")
    (folder / "steps" / "size.py").write_text("OF = 2.0\n")
    (folder / "start.txt").write_text("0.25")
    (folder / "fit.py").write_text(DIGESTED)
    rows = np.random.default_rng(0).normal(size=(20, 4)).round(3)
    np.savetxt(folder / "rows.csv", rows, fmt="%.3f", delimiter=",")


def record(folder, module, *arguments, **variables):
    code, output = run_module(folder, module, *arguments, cwd=folder, **variables)
    assert code == 0, output


@pytest.fixture(scope="module")
def project(tmp_path_factory, mongo_uri):
    """The project, with run 1 of the plain experiment, and run 3 of a command of the other."""
    folder = tmp_path_factory.mktemp("project")
    write(folder)
    record(folder, "plain")
    record(folder, "fit", "ridges", "-m", f"{mongo_uri}/any", OMP_NUM_THREADS="3")
    return folder


def again(project, run_id, **request):
    lines = []
    done = reproduce(run_id, Request(folder=project / "runs", **request), lines.append)
    return done, "\n".join(lines)


def rows_of(done):
    return {row.part: row.equal for row in done.verdict.rows}


def test_with_one_import_changed_a_run_is_sealed_and_executed_again_elsewhere(project, tmp_path):
    run = load_run(1, project / "runs")
    assert run.experiment == "plain"
    # What main imports stands in the record, a package as a whole.
    assert {"plain.py", "lately.py", "steps/__init__.py", "steps/size.py"} <= set(run.sources)
    assert run.info["stage"]["found_inputs"] == [["start", "file"]]
    assert run.info["stage"]["found_outputs"] == [["log", "absent"]]
    log = (project / "out" / "log.txt").stat()
    for name in ("plain.py", "lately.py", "steps/size.py"):
        (project / name).write_text("raise SystemExit('the working tree was executed')")
    done, _ = again(project, 1)
    assert done.verdict.sentence == IDENTICAL
    assert done.again.config["scale"] == 3.0
    assert rows_of(done) == {
        "input start": True,
        "metric train.weight": True,
        "result": True,
        "artifact log.txt": True,
    }
    assert (project / "out" / "log.txt").stat() == log
    assert list(tmp_path.iterdir()) == []


def test_arrays_inputs_and_outputs_are_compared_and_what_may_differ_is_not(project, mongo_uri):
    # From the database, whose names have no dots.
    done, lines = again(project, 3, mongo=f"{mongo_uri}/any")
    assert done.verdict.sentence == IDENTICAL, done.verdict
    assert done.recorded.sources["lately.py"] == b"FACTOR = 0.5\n"
    assert rows_of(done) == {
        "input data.file": True,
        "coef": True,
        "net/0/layer/w": True,
        "net/1": True,
        "metric seconds": None,
        "result": True,
        "artifact model.npy": True,
    }
    # The variable of the recorded run, and not that of this process, decided on the threads.
    for run in (done.recorded, done.again):
        pools = run.environment["threads"]["pools"]
        assert [text for text in pools.values() if text.endswith("threads: 3")], pools
    assert "OMP_NUM_THREADS" not in lines


def test_another_value_is_named_with_the_element_and_the_byte_that_it_changes(project):
    done, _ = again(project, 3, changes={"ridge": 0.25})
    kept = [np.load(io.BytesIO(one.artifacts["model.npy"])) for one in (done.recorded, done.again)]
    assert kept[0][0] != kept[1][0]
    first = f"coef: first at [0]: {kept[0][0].item()!r} / {kept[1][0].item()!r}; 3 of 3 elements"
    assert done.verdict.sentence == f"differs in {first}"
    files = [one.artifacts["model.npy"] for one in (done.recorded, done.again)]
    byte = next(at for at, pair in enumerate(zip(*files)) if pair[0] != pair[1])
    assert any(f"model.npy: first at byte {byte}: " in one for one in done.verdict.details)
    assert rows_of(done)["net/0/layer/w"] is True


def test_a_changed_byte_of_the_data_is_the_reason(project):
    data = project / "rows.csv"
    before = data.read_text()
    data.write_text(before[:-2] + ("1" if before[-2] != "1" else "2") + before[-1])
    try:
        done, _ = again(project, 3)
    finally:
        data.write_text(before)
    assert rows_of(done)["input data.file"] is False
    assert done.verdict.sentence.startswith("differs in coef: first at ")
    assert done.verdict.sentence.endswith("; the input data.file is not the recorded one")
    # Nothing else would explain it, but that does.
    assert done.remarks == ()


def test_an_altered_result_or_artifact_is_noticed(project, tmp_path):
    from reproducible_ml.tracking.recording import broken_parts, seal_of

    shutil.copytree(project / "runs", tmp_path / "runs")
    path = tmp_path / "runs" / "3" / "run.json"
    entry = json.loads(path.read_text())
    entry["result"]["norm"] += 1e-12
    path.write_text(json.dumps(entry))
    run = load_run(3, tmp_path / "runs")
    assert broken_parts(run.info["seal"], seal_of(run)) == ["the result"]
