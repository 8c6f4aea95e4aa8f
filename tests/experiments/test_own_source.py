"""A source of one's own: recorded, found again to repair, reproduced with what it feeds."""

import json
import os

import pytest

from reproducible_ml.datasets.serialize import read_manifest
from tests import warm
from tests.experiments.running import ROOT

SOURCE = '''\
"""Rows of a text file: a registered function, and a class that opens another kind of file."""

import hashlib
from pathlib import Path

import numpy as np

from reproducible_ml.datasets.sources import SOURCES, ArraySource, Source
from reproducible_ml.handlers import LabelHandler


def squares(sides_file="sides.txt", shade=200, **unused):
    sides = np.loadtxt(sides_file, dtype=int)
    images = np.zeros((len(sides), 28, 28), np.uint8)
    for image, side in zip(images, sides):
        image[:side, :side] = shade
    split = {"train": (images, sides % 3), "test": (images[:4], sides[:4] % 3)}
    return ArraySource("squares", {}, split, 3, "A square")


SOURCES["squares"] = squares


class Numbers(Source):
    name = "numbers"

    def __init__(self, numbers_file):
        self._text = Path(numbers_file).read_text()
        self._rows = [{"number": int(line)} for line in self._text.split()]
        self.arguments = {"numbers_file": str(Path(numbers_file).absolute())}
        self.split_to_size = {"train": len(self._rows)}
        self.keys_to_handlers = {"number": LabelHandler()}
        self.keys_to_descriptions = {}

    def rows_gen(self, split):
        return self._rows

    def digest(self):
        return hashlib.sha256(self._text.encode()).hexdigest()
'''
CONFIG = """
    record_dir = "data"
    record_pattern = "{}-{:05d}.tfrecord"
    samples_per_record = 5
    compression = ""
    workers = 1
    overwrite = False
"""
SERIALIZE = f"""\
from mine import source as sources
from reproducible_ml.stages import serialize_stage
from reproducible_ml.tracking import experiment

ex = experiment("serialize")


@ex.config
def config():
    source = "squares"
    sides_file = "sides.txt"
    shade = 200{CONFIG}

@ex.automain
def main(_run, _config):
    return serialize_stage(_run, _config)
"""
OBJECT = f'''\
from mine.source import Numbers
from reproducible_ml.stages import serialize_stage
from reproducible_ml.tracking import experiment

ex = experiment("numbers")


@ex.config
def config():
    listed = "numbers.txt"{CONFIG}

@ex.automain
def main(_run, _config, listed):
    return serialize_stage(_run, _config, source=Numbers(listed))
'''
READ = """\
from reproducible_ml.stages.parts import need_data, source_inputs
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import record_digest, record_stage, seal_run
from mine import serialize

ex = experiment("read")


@ex.config
def config():
    source = "squares"
    sides_file = "sides.txt"
    shade = 200
    record_dir = "data"
    out_dir = "out"


@ex.automain
def main(_run, _config):
    manifest = need_data(_run, _config, serialize.ex)
    inputs = ["record_dir", *source_inputs(_config, manifest.source)]
    record_stage(_run, inputs=inputs, outputs=["out_dir"])
    record_digest(_run, {"read": manifest.fingerprint})
    seal_run(_run, {})
"""


class Project:
    """A folder with the package ``mine``."""

    def __init__(self, root):
        self.root = root
        (root / "mine").mkdir(parents=True)
        for name, text in {
            "__init__": "",
            "source": SOURCE,
            "serialize": SERIALIZE,
            "numbers": OBJECT,
            "read": READ,
        }.items():
            (root / "mine" / f"{name}.py").write_text(text)
        self.write("sides.txt", range(4, 16))
        self.write("numbers.txt", range(12))

    def write(self, name, numbers):
        (self.root / name).write_text("".join(f"{number}\n" for number in numbers))

    def python(self, *arguments, code=0):
        """Execute a module in the project; return its output."""
        done = warm.run(
            "-m", *arguments, cwd=self.root, environment={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, output
        return output

    def command(self, *arguments, code=0):
        return self.python("reproducible_ml.cli", *arguments, code=code)

    def info(self, run_id):
        return json.loads((self.root / "runs" / str(run_id) / "info.json").read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Data sets of both sources, and a stage that wrote its data set itself."""
    project = Project(tmp_path_factory.mktemp("own"))
    project.python("mine.read", "with", "shade=100", "sides_file=sides.txt")
    project.python("mine.numbers", "with", "record_dir=listed")
    return project


READING, WRITTEN, LISTED = 1, 2, 3


def test_its_arguments_are_passed_on_and_recorded(project):
    sides = str(project.root / "sides.txt")
    source = read_manifest(project.root / "data").source
    assert source["arguments"] == {"sides_file": sides, "shade": 100}
    assert (source["name"], source["code"]) == ("squares", "mine.source:squares")
    info = project.info(WRITTEN)
    assert info["stage"]["inputs"] == ["sides_file"]
    assert info["digest"]["sides_file"] == source["digest"]
    assert info["dataset"]["records"]["source"] == source
    assert project.info(READING)["stage"]["inputs"] == ["record_dir", "sides_file"]
    listed = read_manifest(project.root / "listed").source
    assert listed["code"] == "mine.source:Numbers"
    assert project.info(LISTED)["stage"]["inputs"] == ["listed"]
    assert project.info(LISTED)["digest"]["numbers_file"] == listed["digest"]


def test_another_value_of_its_arguments_is_refused(project):
    said = project.python("mine.read", "with", "shade=200", code=1)
    assert "data was written from squares (" in said
    assert "not with shade=200. Name another record_dir, or leave shade out." in said
    project.write("others.txt", range(3, 15))
    said = project.python("mine.read", "with", "sides_file=others.txt", code=1)
    assert "not with sides_file=others.txt" in said


@pytest.mark.parametrize("data", ["data", "listed"])
def test_a_damaged_shard_is_written_again_from_it(project, data):
    shard = project.root / data / "train-00001.tfrecord"
    before = shard.read_bytes()
    shard.write_bytes(before[:-1])
    assert "train-00001.tfrecord: is again as it was written" in project.command("repair", data)
    assert shard.read_bytes() == before


def test_what_it_fed_is_reproduced_and_a_changed_file_is_named(project, tmp_path):
    said = project.command("reproduce", str(READING), "--upstream")
    assert f"executes run {WRITTEN} again: identical." in said
    assert f"executes run {READING} again: identical." in said
    project.write("sides.txt", range(5, 17))
    try:
        said = project.command("reproduce", str(READING), "--upstream", code=2)
        assert f"builds on run {WRITTEN}, whose rerun differs in data, sides_file" in said
    finally:
        project.write("sides.txt", range(4, 16))
    project.write("numbers.txt", range(1, 13))
    try:
        said = project.command("repair", "listed")
        assert "no files needed repair" in said
        (project.root / "listed" / "train-00000.tfrecord").unlink()
        said = project.command("repair", "listed", code=1)
        assert "have changed since the data set was written" in said
    finally:
        project.write("numbers.txt", range(12))
