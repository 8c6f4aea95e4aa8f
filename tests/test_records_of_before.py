"""Runs, data and a half-trained ``model_dir`` of commit 1705972 are of use to today's code.

The weights of the half-trained folder are too large to keep, so the recorded sources, which are the
code of that commit, make them again; on a machine that computes as theirs did, with the same bytes.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
FACTS = json.loads((DATA / "records-1705972.json").read_text(encoding="utf-8"))
SERIALIZED, WHOLE, OTHER, KILLED, CLASSIFIER, FAILED, EVALUATION, REPRODUCTION = range(1, 9)
# What the tests add to them.
SERIALIZED_AGAIN, WHOLE_AGAIN = 9, 10


class Project:
    """The folder in which the records were made, unpacked elsewhere."""

    def __init__(self, root):
        self.root = root
        with tarfile.open(DATA / "records-1705972.tar.xz") as archive:
            archive.extractall(root, filter="data")

    def python(self, *arguments, measured=True):
        """Execute a module of today's code here; return exit code and output."""
        environment = {
            name: value
            for name, value in os.environ.items()
            # The recorded sources are not those whose coverage is measured.
            if measured or not name.startswith("COVERAGE")
        }
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=self.root,
            # Without a width that wraps the lines that tests read.
            env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def command(self, *arguments, **options):
        """Execute ``reproducible-ml`` here."""
        return self.python("reproducible_ml.cli", *arguments, **options)

    def json(self, *arguments, code=0):
        """Return what a command prints as JSON."""
        found, output = self.command(*arguments, "--json")
        assert found == code, output
        return json.loads(output)

    def file(self, run_id, name):
        """Return what a file of a run holds, without any code of the project."""
        return json.loads((self.root / "runs" / str(run_id) / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


def test_every_run_is_listed(project):
    runs = [run for run in project.json("runs") if run["id"] <= REPRODUCTION]
    assert [(run["id"], run["experiment"], run["status"]) for run in runs] == [
        (SERIALIZED, "mnist_serialize", "COMPLETED"),
        (WHOLE, "mnist_wgan", "COMPLETED"),
        (OTHER, "mnist_wgan", "COMPLETED"),
        (KILLED, "mnist_wgan", "INTERRUPTED"),
        (CLASSIFIER, "mnist_classifier", "COMPLETED"),
        (FAILED, "mnist_evaluate", "FAILED"),
        (EVALUATION, "mnist_evaluate", "COMPLETED"),
        (REPRODUCTION, "mnist_wgan", "COMPLETED"),
    ]
    for run in runs:
        assert run["result"] == project.file(run["id"], "run.json").get("result")
        # A second execution's sources lie in a folder that is no checkout.
        git = project.file(run["id"], "info.json")["environment"]["git"] or {}
        assert run["git_commit"] == git.get("commit")
        assert run["dirty"] is git.get("dirty")
    assert runs[WHOLE - 1]["git_commit"].startswith(FACTS["commit"])
    assert [runs[one - 1]["dirty"] for one in (WHOLE, KILLED)] == [False, True]
    assert runs[WHOLE - 1]["result"]["digest"] == FACTS["digests"]["run"]
    assert runs[WHOLE - 1]["last_step"] == FACTS["steps"]
    # Known from the journal alone: its process was killed and nobody has closed the run since.
    assert FACTS["half"] <= runs[KILLED - 1]["last_step"] < FACTS["steps"]
    assert runs[REPRODUCTION - 1]["verdict"] == "identical"

    code, output = project.command("runs")
    assert code == 0
    assert len(re.findall(r"mnist_\w+ +(COMPLETED|FAILED|INTERRUPTED)", output)) >= REPRODUCTION


def test_the_runs_are_one_table_in_a_notebook(project):
    from reproducible_ml.tracking.runs import list_runs

    table = list_runs(project.root / "runs", experiment="mnist_wgan")
    assert list(table.index)[:4] == [WHOLE, OTHER, KILLED, REPRODUCTION]


def test_a_run_is_shown_with_all_that_it_holds(project):
    shown = project.json("show", WHOLE)
    assert shown["config"]["record_dir"] == "data/tiny"
    assert shown["info"]["digest"] == FACTS["digests"]
    assert {"reproducible_ml/models/resume.py", "experiments/mnist_wgan.py"} < {*shown["sources"]}
    metrics = {one["name"]: one for one in shown["metrics"]}
    for name, points in project.file(WHOLE, "metrics.json").items():
        assert metrics[name]["points"] == len(points["values"])
        assert metrics[name]["value"] == points["values"][-1]
    names = {one["name"] for one in shown["artifacts"]}
    assert names == {"samples-00000016.png", "steps.log", "tensors.jsonl"}
    code, output = project.command("show", WHOLE)
    assert code == 0
    # What the configuration left to the GAN type's row.
    assert re.search(r"gen_lr +0\.0005\b", output)
    assert "identical" in output
    assert shown["info"]["verdicts"][0]["reproduced_by"] == REPRODUCTION


def test_a_failed_run_and_an_evaluation_are_shown(project):
    code, output = project.command("show", FAILED)
    assert code == 0
    assert "samples=40 is too small" in output
    figures = project.json("show", EVALUATION)["result"]["figures"]
    code, output = project.command("show", EVALUATION)
    assert code == 0
    assert figures
    assert all(name in output for name in figures)


def test_two_trainings_are_compared(project):
    found = project.json("compare", WHOLE, OTHER, code=1)
    assert found["identical"] is False
    assert found["first_divergence"]["step"] == 1
    config = {one["name"] for one in found["differences"] if one["section"] == "config"}
    assert config == {"seed", "model_dir"}
    assert project.json("compare", WHOLE, REPRODUCTION)["identical"] is True


def test_the_data_set_is_verified(project):
    fingerprint = project.file(SERIALIZED, "run.json")["result"]["fingerprint"]
    code, output = project.command("verify", "data/tiny")
    assert code == 0, output
    assert fingerprint[:12] in output
    shard = project.root / "data" / "tiny" / "test-00000.tfrecord"
    content = shard.read_bytes()
    try:
        shard.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        code, output = project.command("verify", "data/tiny", "--bytes-only")
        assert code == 1
        assert "test-00000.tfrecord, record 0" in output
    finally:
        shard.write_bytes(content)


@pytest.fixture(scope="module")
def made_again(project):
    """Reproduce data set and training from the recorded sources; return exit codes and outputs."""
    # The records name where their inputs lay.
    places = {SERIALIZED: ("npz_file", "tiny.npz"), WHOLE: ("record_dir", "data/tiny")}
    return {
        run_id: project.command(
            *("reproduce", run_id, "--input", f"{key}={project.root / path}", "--keep", "kept"),
            # Another machine recorded them.
            "--yes",
            measured=False,
        )
        for run_id, (key, path) in places.items()
    }


def computes_as_the_records_machine(project):
    """Tell whether trainings here have the recorded bits; a machine of the same kind must."""
    then, now = (project.file(one, "info.json") for one in (WHOLE, WHOLE_AGAIN))
    same = then["determinism"]["probe"] == now["determinism"]["probe"]
    kind = [
        (one["cpu"]["model"], one["cpu"]["flags"], one["tensorflow"]["version"])
        for one in (then["environment"], now["environment"])
    ]
    assert same or kind[0] != kind[1]
    return same


def test_the_data_set_is_reproduced(project, made_again):
    code, output = made_again[SERIALIZED]
    assert code == 0, output
    assert verdicts(project, SERIALIZED, SERIALIZED_AGAIN) == ["identical", "identical"]


def test_a_training_is_reproduced(project, made_again):
    code, output = made_again[WHOLE]
    found = verdicts(project, WHOLE, WHOLE_AGAIN)
    assert found[0] == found[1]
    if not computes_as_the_records_machine(project):
        # It was executed and judged; that the bits differ is what the probes say.
        assert code == (0 if found[0] == "identical" else 1), output
        pytest.skip("the probe of this machine is another, so its trainings have other bits")
    assert code == 0, output
    assert found[0] == "identical"


def verdicts(project, run_id, again):
    """Return the verdict of a second execution as both runs have it."""
    (*_, first), (second,) = (project.file(one, "info.json")["verdicts"] for one in (run_id, again))
    assert first["reproduced_by"] == again
    assert second["reproduced_from"]["run_id"] == run_id
    return [first["verdict"], second["verdict"]]


def test_a_half_trained_folder_continues_to_the_bits_of_an_uninterrupted_training(
    project, made_again
):
    half = project.root / "models" / "half"
    whole = project.root / "kept" / f"run-{WHOLE}" / "model_dir"
    identity = json.loads((half / "training.json").read_text(encoding="utf-8"))
    code = json.loads((DATA / "code-1705972.json").read_text(encoding="utf-8"))
    assert identity["code"] == code
    put_weights_back(half, whole, the_same_bytes=computes_as_the_records_machine(project))

    _, output = project.command("show", KILLED)
    words = shlex.split(re.search(r"python -m experiments\.mnist_wgan with .*", output)[0])
    assert "model_dir=models/half" in words
    code, output = project.python(*words[2:])
    assert code == 0, output

    result = json.loads((half / "result.json").read_text(encoding="utf-8"))
    assert result["resumed_from"] == FACTS["half"]
    uninterrupted = json.loads((whole / "result.json").read_text(encoding="utf-8"))
    for name in ("step", "generator_loss", "critic_loss", "digests", "tensors"):
        assert result[name] == uninterrupted[name]
    for name in ("steps.log", "tensors.jsonl"):
        assert (half / name).read_bytes() == (whole / name).read_bytes()
    if computes_as_the_records_machine(project):
        assert result["digests"] == FACTS["digests"]
        assert result["tensors"] == FACTS["tensors"]


def as_recorded_here(half, whole):
    """Give the half-trained folder the checksums and logs that this machine's bits have."""
    for index in half.glob("model.ckpt-*.index"):
        index.write_bytes((whole / index.name).read_bytes())
    steps = (whole / "steps.log").read_bytes()
    (half / "steps.log").write_bytes(steps[: (half / "steps.log").stat().st_size])
    lines = (whole / "tensors.jsonl").read_text("utf-8").splitlines(keepends=True)
    known = len((half / "tensors.jsonl").read_text("utf-8").splitlines())
    (half / "tensors.jsonl").write_text("".join(lines[:known]), "utf-8")


def put_weights_back(half, whole, the_same_bytes):
    """Complete the half-trained folder by the checkpoints of the reproduced training."""
    weights = [name for name in FACTS["checkpoints"] if ".data-" in name]
    assert {f"model.ckpt-{step}.data-00000-of-00001" for step in (0, FACTS["half"])} == {*weights}
    for name in weights:
        os.link(whole / name, half / name)
    if the_same_bytes:
        found = {name: sha256((half / name).read_bytes()).hexdigest() for name in weights}
        assert found == {name: FACTS["checkpoints"][name] for name in weights}
    else:
        as_recorded_here(half, whole)
