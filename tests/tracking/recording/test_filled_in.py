"""A run records the values that it used, and marks those that a default filled in."""

# ruff: noqa: F841 - the variables of a config function are what Sacred reads

import json
from pathlib import Path

import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.recording.seal import make_seal
from reproducible_ml.tracking.reproduce.recorded import Recorded
from reproducible_ml.tracking.runs import list_runs, load_run
from reproducible_ml.utils.errors import TrackingError

RATES = {"slow": {"rate": 0.125}, "fast": {"rate": 8.0, "clip": 0.5}}
TYPES = {"rate": (float, None), "clip": (float, None)}
seen = {}


def fill_in(config):
    kind = config["kind"]
    return {
        key: (value, f"{kind} kind")
        for key, value in RATES[kind].items()
        if key in config and config[key] is None
    }


def make(name, **how):
    """Define an experiment that keeps what its main function is handed."""
    ex = experiment(name, types=TYPES, **how)

    @ex.config
    def config():
        seed = 5
        kind = "fast"
        rate = None
        clip = None

    @ex.named_config
    def slow():
        kind = "slow"
        rate = None

    @ex.main
    def main(_run, _config, _seed, rate, clip):
        _run.info["stage"] = {"cwd": "/", "inputs": [], "outputs": []}
        seen.update(config=dict(_config), seed=_seed, rate=rate, clip=clip)

    return ex


filled, plain = make("filled", fill_in=fill_in), make("plain")


def record(ex=filled, named=(), **updates):
    """Record a run and read it back."""
    run_id = ex.run(
        config_updates=updates, named_configs=named, options={"--loglevel": "ERROR"}
    )._id
    return load_run(run_id)


def recorded(run, name="config"):
    return json.loads(Path(f"runs/{run.id}/{name}.json").read_text("utf-8"))


def test_the_record_holds_and_marks_what_a_default_filled_in():
    run = record(clip=0.25)
    assert recorded(run) == {"clip": 0.25, "kind": "fast", "rate": 8.0, "seed": 5}
    assert recorded(run, "run")["meta"]["filled_in"] == {"rate": "fast kind"}
    assert run.filled_in == {"rate": "fast kind"}
    assert recorded(run, "run")["meta"]["config_updates"] == {"clip": 0.25}


@pytest.mark.parametrize(
    ("named", "updates"), [((), {"rate": None, "kind": "slow"}), (("slow",), {})]
)
def test_a_none_that_is_asked_for_is_filled_in_too(named, updates):
    run = record(named=named, **updates)
    assert run.config == {"clip": None, "kind": "slow", "rate": 0.125, "seed": 5}
    assert run.filled_in == {"rate": "slow kind"}


def test_functions_see_what_is_recorded_and_the_seeds_of_an_experiment_without():
    record(plain)
    seed = seen["seed"]
    assert seen["rate"] is None
    run = record()
    assert seen == {"config": run.config, "seed": seed, "rate": 8.0, "clip": 0.5}


def test_a_value_that_equals_the_default_but_was_given_has_no_mark():
    run = record(rate=8.0)
    assert run.filled_in == {"clip": "fast kind"}


def rerun_config(run, changes):
    """Return the configuration that ``reproduce`` makes from a record."""
    recorded = Recorded(run)
    return recorded.config_with({}, recorded.stage.new_outputs(Path("new"), False), changes)


def again(run, **changes):
    """Run with the configuration that ``reproduce`` makes from a record."""
    config = rerun_config(run, changes)
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")
    return record(named=["config.json"])


def test_a_second_execution_keeps_values_and_marks_although_the_default_changed(monkeypatch):
    run = record(clip=0.25)
    monkeypatch.setitem(RATES, "fast", {"rate": 9.0, "clip": 0.75})
    second = again(run)
    assert second.config == run.config
    assert second.filled_in == {"rate": "fast kind"}
    assert "__filled_in__" not in seen["config"]


def test_a_second_execution_with_a_change_takes_the_defaults_of_the_change():
    run = record()
    second = again(run, kind="slow")
    assert second.config == {"clip": None, "kind": "slow", "rate": 0.125, "seed": 5}
    assert second.filled_in == {"rate": "slow kind"}
    assert seen["clip"] is None
    third = again(run, rate=1.0)
    assert third.config == {**run.config, "rate": 1.0}
    assert third.filled_in == {"clip": "fast kind"}


@pytest.fixture
def old():
    """A sealed run as it was recorded before the configuration held the values that were used."""
    run = record(plain, rate=None, clip=0.25)
    config = {**recorded(run), "gan_type": "wgan", "defaults": "practical"}
    info = {**recorded(run, "info"), "settings": {"rate": 0.5, "clip": 0.25, "other": 1}}
    info["seal"] = make_seal(config, {}, {}, info)
    for name, content in (("config", config), ("info", info)):
        Path(f"runs/{run.id}/{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return load_run(run.id)


def test_an_older_record_shows_what_was_used_and_is_still_as_it_was_sealed(old):
    assert (old.config["rate"], old.config["clip"]) == (0.5, 0.25)
    assert old.filled_in == {"rate": "wgan, practical"}
    assert "other" not in old.config
    assert list_runs()["config.rate"].tolist() == [0.5]
    sealed = old.info["seal"]
    assert "the configuration" not in broken_parts(sealed, seal_of(old))


def test_an_older_record_is_executed_again_with_its_values_unless_defaults_may_change(old):
    assert rerun_config(old, {})["rate"] == 0.5
    assert rerun_config(old, {"defaults": "paper"})["rate"] is None


def test_runs_are_listed_by_a_value_of_their_configuration():
    first, _, third = record(), record(rate=1.0), record(kind="fast")
    assert list(list_runs(config={"rate": 8.0}).index) == [first.id, third.id]
    assert list(list_runs(config={"rate": 8, "clip": 0.25}).index) == []
    assert list_runs(config={"seed": True}).empty


def test_a_key_that_no_run_has_is_named_with_the_nearest_one():
    Path("runs").mkdir()
    assert list_runs(config={"rat": 8.0}).empty
    record()
    with pytest.raises(TrackingError, match=r"No run in runs has a configuration key 'rat'; did "):
        list_runs(config={"rat": 8.0})
    with pytest.raises(TrackingError, match="No run of filled in runs has a configuration key"):
        list_runs(config={"x": 1}, experiment="filled")
