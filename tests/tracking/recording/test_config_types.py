"""What ``with`` asks for is checked against the defaults before anything starts."""

import re

import numpy as np
import pytest

from reproducible_ml.tracking.recording.config_check import checked_updates
from reproducible_ml.tracking.runs.run import flat
from reproducible_ml.utils.errors import ConfigError
from tests.tracking import lab

DEFAULTS = {
    "seed": 1,
    "lr": 0.5,
    "steps": 3,
    "name": "plain",
    "fast": False,
    "shape": [4, 3],
    "optimizer": {"kind": "sgd", "momentum": 0.9},
    "extra": {},
    "free": None,
    "npz_file": None,
}
TYPES = {"npz_file": (str, None)}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("lr", 2, 2.0),
        ("lr", 0.25, 0.25),
        ("lr", np.float32(0.25), 0.25),
        ("steps", np.int64(7), 7),
        ("name", "other", "other"),
        ("fast", True, True),
        ("fast", np.bool_(True), True),
        ("shape", (1, 2), (1, 2)),
        ("optimizer", {"momentum": 1}, {"momentum": 1.0}),
        ("extra", {"any": "thing"}, {"any": "thing"}),
        ("free", [1], [1]),
        ("npz_file", "a.npz", "a.npz"),
        ("npz_file", None, None),
        ("seed", 2**32 - 1, 2**32 - 1),
    ],
)
def test_a_value_of_the_defaults_type_passes(key, value, expected):
    found = checked_updates({key: value}, DEFAULTS, TYPES)[key]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr", "fast", "lr must be a number, like its default 0.5, found 'fast' (str)."),
        ("lr", True, "lr must be a number"),
        ("steps", 2.5, "steps must be an integer, like its default 3, found 2.5 (float)."),
        ("steps", True, "steps must be an integer"),
        ("steps", None, "found None (NoneType)"),
        ("name", 7, "name must be a string, like its default 'plain', found 7 (int). Quote it"),
        ("fast", 1, "fast must be True or False"),
        ("shape", 4, "shape must be a list"),
        ("optimizer", "adam", "optimizer must be a dictionary"),
        ("optimizer", {"momentum": "much"}, "optimizer.momentum must be a number"),
        ("npz_file", 3, "npz_file must be a string or None"),
        ("seed", -1, "seed must be an integer from 0 to 4294967295, found -1"),
        ("seed", 1.0, "seed must be an integer"),
        ("seed", 2**32, "seed must be an integer"),
    ],
)
def test_a_value_of_another_type_is_refused_with_key_value_and_type(key, value, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        checked_updates({key: value}, DEFAULTS, TYPES)


def test_an_unknown_key_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"'stepps'; did you mean 'steps'\?"):
        checked_updates({"stepps": 1}, DEFAULTS, TYPES)
    with pytest.raises(ConfigError, match=r"'optimizer.momentun'; did you mean .*momentum'\?"):
        checked_updates({"optimizer": {"momentun": 1.0}}, DEFAULTS, TYPES)


def test_a_key_that_only_a_function_takes_is_known():
    assert checked_updates({"other": 1}, DEFAULTS, TYPES, free={"other"}) == {"other": 1}


def test_leaves_are_named_by_dotted_key():
    assert flat({"a": {"b": 1, "c": {}}, "d": [2]}, "") == {"a.b": 1, "a.c": {}, "d": [2]}


@pytest.mark.parametrize(
    ("updates", "said"),
    [
        (("steps=many",), "Error: steps must be an integer, like its default 3, found 'many'"),
        (("stepps=3",), "Error: There is no configuration key 'stepps'; did you mean 'steps'?"),
        (("quik",), "Error: There is no named configuration 'quik'; did you mean 'quick'?"),
        (("broken",), "Error: steps must be an integer"),
    ],
)
def test_the_command_line_refuses_in_a_sentence_and_starts_nothing(
    tmp_path_factory, tmp_path, updates, said
):
    project = lab.recorded(tmp_path_factory)
    code, output = lab.run(project, "lab.train", "with", *updates, cwd=tmp_path)
    assert code == 1
    assert output.startswith(said)
    assert "Traceback" not in output
    assert not (tmp_path / "runs").exists()


def test_force_lets_a_wrong_type_through(tmp_path_factory, tmp_path):
    project = lab.recorded(tmp_path_factory)
    code, output = lab.run(project, "lab.train", "-f", "with", "name=7", cwd=tmp_path)
    assert code == 0, output
