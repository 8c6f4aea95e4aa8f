"""Configurations with paths, sets, arrays and other values that JSON does not hold."""

import datetime as dt
import enum
import json
import math
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.folder import EXACT_CONFIG, exact_values, with_exact
from reproducible_ml.tracking.packing import unpacked
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.recording.config_check import checked_updates
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.utils.errors import ConfigError
from tests.tracking import toy_project


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


UTC = dt.timezone.utc
VALUES = {
    "path": Path("data", "rows.npz"),
    "paths": [Path("a"), Path("b")],
    "words": {"b", "a", "c"},
    "frozen": frozenset([3, 1]),
    "mixed": {1, "a", (2, 3)},
    "array": np.array([1.5, 2.5], np.float32),
    "single": np.array([5], np.uint8),
    "large": np.arange(2000).reshape(2, 1000),
    "raw": b"\x00ab",
    "time": dt.datetime(2026, 1, 2, 3, 4),
    "zoned": dt.datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    "day": dt.date(2026, 1, 2),
    "wait": dt.timedelta(seconds=90),
    "color": Color.RED,
    "complex": 1 + 2j,
    "keyed": {1: "one", 2: {"deep": (1, 2)}, (1, 2): "pair"},
    "group": {"folder": Path("out"), "inner": {"ids": {5, 6}}},
    "nan": math.nan,
    "nested": [[math.nan, math.inf], [2**70]],
    "pair": (1, 2),
    "object": slice(1, 2),
}
# As a person would write them in JSON; the others may have any form.
READABLE = {
    "path": "data/rows.npz",
    "paths": ["a", "b"],
    "words": ["a", "b", "c"],
    "frozen": [1, 3],
    "array": [1.5, 2.5],
    "single": 5,
    "raw": "b'\\x00ab'",
    "time": "2026-01-02T03:04:00.000000",
    "zoned": "2026-01-02T03:04:00.000000",
    "day": "2026-01-02",
    "wait": "0:01:30",
    "color": "red",
    "complex": "(1+2j)",
    "keyed": {"1": "one", "2": {"deep": [1, 2]}, "(1, 2)": "pair"},
    "group": {"folder": "out", "inner": {"ids": [5, 6]}},
    "pair": [1, 2],
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A completed run with all these values, whose main function changed one of them."""
    folder = tmp_path_factory.mktemp("typed") / "runs"
    ex = experiment("typed")
    ex.add_config(VALUES)

    @ex.main
    def main(_run, words, _log):
        words.add("later")
        _run.info["facts"] = {"seen": {1, 2}, "at": Path("there")}
        return {"words": {"x", "y"}, "path": Path("out"), "nan": math.nan}

    ex.run(options={"--file_storage": str(folder)})
    VALUES["words"].discard("later")
    return load_run(1, folder)


def test_no_part_of_an_intact_record_counts_as_altered(recorded):
    assert broken_parts(recorded.info["seal"], seal_of(recorded)) == []
    altered = load_run(1, recorded.store)
    altered.entry["config"]["path"] = "data/other.npz"
    assert broken_parts(recorded.info["seal"], seal_of(altered)) == ["the configuration"]


def test_the_record_is_readable(recorded):
    assert {key: recorded.config[key] for key in READABLE} == READABLE
    assert recorded.info["facts"] == {"seen": [1, 2], "at": "there"}
    assert recorded.result["words"] == ["x", "y"]
    assert math.isnan(recorded.config["nan"])


def same(a, b):
    """Tell whether two values have the same types and contents, NaN included."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and repr(a) == repr(b) if a != b else type(a) is type(b)


def test_a_rerun_gets_every_value_in_its_type(recorded):
    texts = recorded.entry["meta"][EXACT_CONFIG]
    config, lost = with_exact(recorded.config, recorded.config, texts)
    assert lost == []
    again = unpacked(json.loads(json.dumps(config)))
    again["keyed"] = again["keyed"].data
    # Sacred makes tuples lists before the run sees them.
    expected = {**VALUES, "pair": [1, 2], "keyed": {**VALUES["keyed"], 2: {"deep": [1, 2]}}}
    assert [key for key, value in expected.items() if not same(again[key], value)] == []


def test_a_string_takes_the_place_of_a_path_as_a_path():
    config = {"path": Path("a"), "group": {"folder": Path("b")}, "words": {"x"}}
    recorded = {"path": "a", "group": {"folder": "b"}, "words": ["x"]}
    changed = {**recorded, "path": "elsewhere", "words": ["y"]}
    typed, _ = with_exact(changed, recorded, exact_values(config))
    expected = {"path": Path("elsewhere"), "group": {"folder": Path("b")}, "words": ["y"]}
    assert unpacked(typed) == expected


def test_values_that_no_record_can_hold_are_named_and_secrets_left_out():
    config = {"act": lambda x: x, "api_token": b"geheim", "n": 1}
    texts = exact_values(config)
    assert [key for key, _ in texts] == ["act"]
    assert with_exact({"act": "<function>"}, {"act": "<function>"}, texts)[1] == ["act"]


@pytest.mark.parametrize(
    ("key", "told", "expected"),
    [
        ("path", "other/rows.npz", Path("other", "rows.npz")),
        ("paths", ["c"], [Path("c")]),
        ("words", ["z"], {"z"}),
        ("frozen", [7, 7], frozenset([7])),
        ("array", [1, 2, 3], np.array([1, 2, 3], np.float32)),
        ("single", [255], np.array([255], np.uint8)),
        ("raw", "ab", b"ab"),
        ("time", "2026-05-06 07:08", dt.datetime(2026, 5, 6, 7, 8)),
        ("day", "2026-05-06", dt.date(2026, 5, 6)),
        ("wait", 0.5, dt.timedelta(milliseconds=500)),
        ("color", "blue", Color.BLUE),
        ("color", "BLUE", Color.BLUE),
        ("complex", 3, 3 + 0j),
    ],
)
def test_such_a_default_is_set_from_a_command_line(key, told, expected):
    assert same(checked_updates({key: told}, VALUES, {})[key], expected)


@pytest.mark.parametrize(
    ("key", "told", "said"),
    [
        ("path", 5, "path must be a path, like its default PosixPath('data/rows.npz'), found 5"),
        ("words", 5, "words must be a set or list"),
        ("single", [300], "single must be an array of numbers"),
        ("single", [0.5], "single must be an array of numbers"),
        ("time", "noon", "time must be a date and time such as '2026-01-31 12:00'"),
        ("color", "green", "color must be one of red, blue"),
        ("keyed", {7: "x"}, "There is no configuration key 'keyed.7'"),
    ],
)
def test_another_value_for_it_is_refused(key, told, said):
    with pytest.raises(ConfigError) as caught:
        checked_updates({key: told}, VALUES, {})
    assert said in str(caught.value)


PROJECT = """
from pathlib import Path
from reproducible_ml.tracking import experiment

ex = experiment("typed")

@ex.config
def config():
    data = Path("start.txt")
    copy = data.parent / "copy.txt"
    layers = {3, 1}
    table = {1: "one", 2: "two"}

@ex.automain
def main(data, copy, layers, table):
    return [data.read_text(), copy.name, sorted(layers), table[1], table[2], len(table)]
"""


def test_a_run_with_such_values_reproduces_also_when_some_were_told(tmp_path):
    project = toy_project.Project(tmp_path)
    project.source.write_text(PROJECT)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "start.txt").write_text("0.5")
    told = ["data=other/start.txt", "layers=[4]", 'table={2: "zwei"}']
    assert project.record(*told) == 1
    result = load_run(1, project.runs).result
    assert result == ["0.5", "copy.txt", [4], "one", "zwei", 2]
    code, output = project.reproduce(1)
    assert code == 0, output
    assert "Run 2 executes run 1 again: identical." in output
