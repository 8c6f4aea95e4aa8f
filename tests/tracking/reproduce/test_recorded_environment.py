"""A run executed in an environment with the Python and the packages that its record names."""

import hashlib
import importlib.metadata
import json
import platform
import shutil
from types import SimpleNamespace

import pytest

from reproducible_ml.tracking.reproduce.recorded_environment import recorded_python
from reproducible_ml.tracking.reproduce.request import NotComparable
from tests.tracking.toy_project import command, run

LAB = """
import numpy as np
from reproducible_ml.tracking import experiment

ex = experiment("lab")

@ex.config
def config():
    seed = 1

@ex.automain
def main(_run, seed):
    _run.log_scalar("draw", np.random.default_rng(seed).normal(), 0)
    return np.__version__
"""
# What the experiment above imports, and pip, which each environment has.
NEEDED = (
    *("sacred", "docopt-ng", "jsonpickle", "munch", "wrapt", "py-cpuinfo", "colorama"),
    *("packaging", "gitpython", "gitdb", "smmap", "setuptools", "click", "pymongo", "dnspython"),
    *("threadpoolctl", "pip"),
)
OTHER_NUMPY = "1.26.3"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reproducible-ml" / "environments"


def recorded(**packages):
    """Return a run, as far as its environment is concerned."""
    facts = {"python": {"version": platform.python_version()}, "packages": packages}
    return SimpleNamespace(id=7, environment=facts)


@pytest.mark.slow
def test_a_run_is_executed_with_the_packages_of_its_record(tmp_path, cache):
    (tmp_path / "lab.py").write_text(LAB)
    versions = {name: importlib.metadata.version(name) for name in NEEDED}
    said = []
    python = recorded_python(recorded(**versions, numpy=OTHER_NUMPY), said.append)
    assert said == [
        f"Installing the environment of run 7: Python {platform.python_version()} and "
        f"{len(NEEDED) + 1} packages, kept in {next(cache.glob('*/'))}."
    ]
    done = run([python, "-m", "lab"], tmp_path)
    assert done.returncode == 0, done.stderr
    runs = tmp_path / "runs"
    assert json.loads((runs / "1" / "run.json").read_text())["result"] == OTHER_NUMPY

    # The environment lies in the project, as a .venv does; version 1.0 sealed such paths whole.
    entry = json.loads((runs / "1" / "run.json").read_text())
    sources = {name: kept[-35:-3] for name, kept in entry["experiment"]["sources"]}
    assert f"{cache.relative_to(tmp_path)}/" in " ".join(sources)
    info = json.loads((runs / "1" / "info.json").read_text())
    text = json.dumps(sources, sort_keys=True, separators=(",", ":"))
    info["seal"]["sources"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    (runs / "1" / "info.json").write_text(json.dumps(info))

    code, output = command(["reproduce", "1"], tmp_path)
    assert code == 1, output
    assert f"packages.numpy: recorded {OTHER_NUMPY}, now " in output
    assert "executes run 1 again: differs" in output

    code, output = command(["reproduce", "1", "--environment", "recorded"], tmp_path)
    assert code == 0, output
    assert "packages." not in output
    assert "Executing run 1 (lab) again, in its recorded environment." in output
    # The record named the same packages, so that what is in the cache served.
    assert "Installing" not in output
    environment = json.loads((runs / "3" / "info.json").read_text())["environment"]
    assert environment["python"]["executable"] == python
    verdict = json.loads((runs / "1" / "info.json").read_text())["verdicts"][-1]
    assert verdict["environment"] == "recorded"

    # An interrupted installation does not count: it is made again.
    next(cache.glob("*/complete.json")).unlink()
    (numpy,) = cache.glob("*/lib/python*/site-packages/numpy")
    shutil.rmtree(numpy)
    assert recorded_python(recorded(**versions, numpy=OTHER_NUMPY), said.append) == python
    assert said[1:] == said[:1]
    assert numpy.is_dir()


@pytest.mark.parametrize(
    ("packages", "python", "reason"),
    [
        ({}, None, "does not name its Python and all its packages"),
        ({"numpy": "1.26.3"}, "3.11", "does not name its Python and all its packages"),
        ({"--index-url": "1"}, None, r"names the package '--index-url==1', which is not the name"),
        ({"numpy": "1 --pre"}, None, r"names the package 'numpy==1 --pre', which is not the name"),
        ({"numpy": "@ file:///tmp"}, None, "damaged or forged"),
        ({"numpy": "1.26.3"}, "3.99.1", r"no python3\.99\. Install one, or uv|can't be installed"),
        (
            {"reproducible-ml-of-nobody": "0.1"},
            None,
            r"(?s)environment of run 7 can't be installed.*reproducible-ml-of-nobody.*FIND_LINKS",
        ),
    ],
)
def test_what_can_not_be_installed_is_refused(cache, packages, python, reason):
    run = recorded(**packages)
    run.environment["python"]["version"] = python or platform.python_version()
    with pytest.raises(NotComparable, match=reason):
        recorded_python(run, lambda line: None)
    assert not list(cache.glob("*/complete.json"))
