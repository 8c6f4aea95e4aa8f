"""Packed values of configurations: unpacked without jsonpickle, and nothing else is."""

import datetime as dt
import enum
import json
import pickle
from collections import UserDict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from uuid import UUID

import numpy as np
import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.packing import packed, unpacked
from reproducible_ml.tracking.sacred_parts import flatten
from reproducible_ml.utils.errors import ConfigError


class Color(enum.Enum):
    RED = "red"


ROWS = np.arange(60, dtype=np.int32).reshape(4, 15)
PACKABLE = [
    *(Path("a", "b"), PurePosixPath("a"), {"b", "a"}, frozenset([(1, 2)]), (1, (2, {"c"}))),
    *(b"\0ab", 1 + 2j, Decimal("1.50"), Fraction(1, 3), UUID(int=5), slice(1, None), range(3)),
    *(dt.datetime(2026, 1, 2, 3, 4, 5, 67890), dt.date(2026, 1, 2), dt.time(1, 2, 3, 4)),
    *(dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone.utc), dt.timedelta(-1, 5)),
    dt.datetime(2026, 1, 2, fold=1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    *(np.float32(1.5), np.bool_(True), np.int64(2**62), np.array([1.5], np.float32)),
    *(ROWS, ROWS.T, np.asfortranarray(ROWS), ROWS[1:, ::2], np.array(5.0), np.zeros((2, 0))),
    *(np.array(["a", "bc"]), np.array([b"a"]), np.array([1 + 2j])),
    {"deep": [{"json://x": 1, "plain": None}], "n": [1, 2.5, True, "t"]},
]


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("value", PACKABLE, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value):
    assert same(unpacked(json.loads(json.dumps(packed(value)))), value)


@pytest.mark.parametrize("value", PACKABLE, ids=lambda value: type(value).__name__)
def test_what_sacred_itself_packs_comes_back(value):
    # A view is packed with the array that it is a part of.
    assert same(unpacked(json.loads(json.dumps(flatten(value)))), value)


def test_keys_and_members_come_back():
    keyed = UserDict({1: "a", (1, 2): {3}, None: 1, "text": 2})
    assert unpacked(packed(keyed)).data == keyed.data
    assert unpacked(packed([Color.RED])) == [Color.RED]
    assert unpacked(packed(Color.RED), members=False) == packed(Color.RED)


def call(name, *arguments):
    return {"py/reduce": [{"py/type": name}, {"py/tuple": list(arguments)}]}


HOSTILE = {
    "reduce": call("os.system", "touch HERE"),
    "function": {"py/function": "os.system"},
    "type": {"py/type": "os.system"},
    "object": {"py/object": "subprocess.Popen", "py/newargs": {"py/tuple": [["touch", "HERE"]]}},
    "new": {"py/object": "builtins.complex", "py/newargsex": [[], {}]},
    "state": {"py/object": "datetime.datetime", "__reduce__": [{"py/type": "os.system"}, ["ls"]]},
    "repr": {"py/repr": "os/os.system('touch HERE')"},
    "module": {"py/mod": "os/os.system"},
    "reference": {"a": [], "b": {"py/id": 1}},
    "numpy": {"py/object": "numpy.f2py.compile", "dtype": "int8", "value": "touch HERE"},
    "pickled": {"py/object": "numpy.ndarray", "dtype": "object", "values": ["touch HERE"]},
    "long": {"py/object": "numpy.ndarray", "dtype": "int8", "values": "eA==", "shape": [2**40]},
    "outside": {
        "py/object": "numpy.ndarray",
        "dtype": "int8",
        "shape": [2**20],
        "base": {"py/object": "numpy.ndarray", "dtype": "int8", "values": [1]},
    },
    "key": {"json://" + json.dumps(call("os.system", "touch HERE")): 1},
    "inner": {"deep": [{"py/tuple": [{"py/set": [call("os.system", "touch HERE")]}]}]},
    "path": call("pathlib.PosixPath", call("os.system", "touch HERE")),
    "member": {"py/enum": ["os", "system", "touch HERE"]},
    "unimported": {"py/enum": ["antigravity", "Color", "RED"]},
    "number": call("fractions.Fraction", "1e999999999"),
    "time": {
        "py/object": "datetime.datetime",
        "__reduce__": [{"py/type": "datetime.datetime"}, ["////////////////"]],
    },
    "unhashable": {"py/set": [[1]]},
    "odd": {"py/tuple": 3},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="an object packed by jsonpickle"):
        unpacked({"x": HOSTILE[name]}, "config.json")
    assert list(tmp_path.iterdir()) == []


def test_depth_and_number_of_values_are_bounded():
    deep = json.loads("[" * 300 + "]" * 300)
    with pytest.raises(ConfigError, match="nested deeper than 100 levels"):
        unpacked(deep)
    wide = [0] * 100
    for _ in range(5):
        wide = [wide] * 100
    with pytest.raises(ConfigError, match="more than 1,000,000 values"):
        unpacked(wide)


CODE = "import pathlib; pathlib.Path('HERE').touch()"


class Pickled:
    def __reduce__(self):
        return exec, (CODE,)


FILES = {
    "reduce.json": (json.dumps({"lr": call("builtins.exec", CODE)}), "packed by jsonpickle"),
    "object.json": (json.dumps({"lr": HOSTILE["object"]}), "packed by jsonpickle"),
    "type.json": (json.dumps({"lr": {"py/type": "os.system"}}), "packed by jsonpickle"),
    "top.json": (json.dumps(call("builtins.exec", CODE)), "packed by jsonpickle"),
    "tagged.yaml": (f"lr: !!python/object/apply:exec [{CODE!r}]", "such a tag would run code"),
    "named.yml": ("lr: !!python/name:os.system", "such a tag would run code"),
    "packed.yaml": ("lr: {py/type: os.system}", "packed by jsonpickle"),
    "values.pickle": (pickle.dumps(Pickled()), "is a pickle, which can run any code"),
    "deep.json": ('{"lr": ' + "[" * 5000 + "]" * 5000 + "}", "nested"),
}


@pytest.fixture(scope="module")
def toy():
    ex = experiment("packed")

    @ex.config
    def config():
        lr = 0.5  # noqa: F841

    @ex.main
    def main(lr):
        return lr

    return ex


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["checked", "forced"])
@pytest.mark.parametrize("name", FILES)
def test_a_configuration_file_runs_nothing(name, force, toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content, said = FILES[name]
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        toy.run_commandline(["packed", "with", f"./{name}", "-F", "runs", *force])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (1, 1)
    assert error.startswith("Error: ")
    assert said in error
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_argument_runs_nothing(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        toy.run_commandline(["packed", "with", f"lr={call('builtins.exec', CODE)}", "-F", "runs"])
    assert ended.value.code == 1
    assert "packed by jsonpickle" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
