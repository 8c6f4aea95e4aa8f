"""An experiment moved here by one import draws the numbers that it drew with plain Sacred."""

import random

import numpy as np
import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.sacred_parts import sacred


def ours(name, ingredients):
    return experiment(name, ingredients)


def stock(name, ingredients):
    return sacred.Experiment(name, ingredients, interactive=True, save_git_info=False)


def drawing(kind):
    """Define an experiment that draws wherever Sacred gives seeds."""
    data = sacred.Ingredient("data", interactive=True, save_git_info=False)
    ex = kind("draws", [data])
    drawn = []

    @data.config
    def data_config():
        size = 2  # noqa: F841

    @data.pre_run_hook
    def prepare(_seed, _rnd):
        drawn.append(("prepare", int(_seed), float(_rnd.random())))

    @data.capture
    def rows(_rnd, _seed, size):
        drawn.append(("rows", int(_seed), _rnd.random(size).tolist()))

    @ex.config
    def config():
        seed = 3  # noqa: F841
        # Drawn while the configuration is evaluated, which the checks do once more.
        start = random.random()  # noqa: F841

    @ex.capture
    def step(_rnd):
        drawn.append(("step", float(_rnd.random())))

    @ex.command
    def look(_seed):
        step()
        drawn.append(("look", int(_seed)))

    @ex.post_run_hook
    def leave(_seed):
        drawn.append(("leave", int(_seed)))

    @ex.main
    def main(_seed, _rnd, start):
        rows()
        step()
        step()
        drawn.append(("main", int(_seed), float(_rnd.random()), start))
        drawn.append(("global", random.random(), float(np.random.random())))
        look()

    return ex, drawn


@pytest.mark.parametrize(
    ("command", "updates"), [(None, {"data.seed": 5}), ("look", {"seed": 77, "data.size": 3})]
)
def test_seeds_and_draws_are_those_of_plain_sacred(command, updates):
    found = []
    for kind in (stock, ours):
        ex, drawn = drawing(kind)
        random.seed(11)
        np.random.seed(11)
        ex.run(command, config_updates=updates, options={"--unobserved": True})
        found.append(drawn)
    assert found[0]
    assert found[1] == found[0]
