"""The first difference of two trainings is found, and it is the first."""

import numpy as np
import pytest

from reproducible_ml.models.exact.step_log import step_dtype
from reproducible_ml.tracking.reproduce.divergence import first_divergence

STEPS, EVERY = 100, 10


def training(parts_at=None, loss="generator_loss", tensor="w"):
    """Make the logs of a training; from ``parts_at`` on, one loss and one variable are others."""
    steps = np.zeros(STEPS, step_dtype())
    steps["step"] = np.arange(1, STEPS + 1)
    steps["generator_loss"] = np.linspace(1, 0, STEPS)
    steps["critic_loss"] = np.linspace(-1, 0, STEPS)
    tensors = {step: {"b": f"b{step}", "w": f"w{step}"} for step in range(EVERY, STEPS + 1, EVERY)}
    if parts_at is not None and loss:
        values = steps[loss][parts_at - 1 :]
        steps[loss][parts_at - 1 :] = np.nextafter(values, np.float32(2))
    if parts_at is not None and tensor:
        for step in tensors:
            if step >= parts_at:
                tensors[step][tensor] += "x"
    return steps, tensors


def divergence(one, other):
    return first_divergence(one[0], other[0], one[1], other[1])


def test_equal_trainings_do_not_part():
    assert divergence(training(), training()) is None


@pytest.mark.parametrize("step", [1, 2, 9, 10, 11, 57, 99, 100])
def test_the_first_step_of_other_losses_is_named_with_both_values(step):
    found = divergence(training(), training(step))
    assert (found.step, found.equal_until) == (step, step - 1)
    one, other = found.losses["generator_loss"]
    assert one == training()[0]["generator_loss"][step - 1]
    assert other == np.nextafter(np.float32(one), np.float32(2))
    assert "critic_loss" not in found.losses
    assert f"at step {step}: generator_loss {one!r} / {other!r}" in found.describe()


@pytest.mark.parametrize(("step", "interval"), [(1, (0, 10)), (10, (0, 10)), (11, (10, 20))])
def test_a_variable_that_no_loss_shows_is_found_between_two_digests(step, interval):
    found = divergence(training(), training(step, loss=None))
    assert (found.equal_until, found.step) == interval
    assert found.tensors == {"w": (f"w{found.step}", f"w{found.step}x")}
    assert f"between step {interval[0]} (equal) and step {interval[1]}" in found.describe()


def test_a_variable_that_parts_before_the_losses_comes_first():
    one, other = training(), training(31, loss=None)
    other[0]["critic_loss"][60:] += 1
    assert divergence(one, other).step == 40


def test_losses_of_any_name_are_compared():
    one = np.zeros(3, step_dtype(["loss", "accuracy"]))
    one["step"] = [1, 2, 3]
    other = one.copy()
    other["accuracy"][1] = 0.5
    found = first_divergence(one, other, {}, {})
    assert (found.step, found.losses) == (2, {"accuracy": (0.0, 0.5)})


def test_losses_of_other_names_differ_from_the_first_step():
    one, other = (np.ones(3, step_dtype([name])) for name in ("loss", "error"))
    found = first_divergence(one, other, {}, {})
    assert (found.step, found.losses) == (1, {"error": (None, 1.0), "loss": (1.0, None)})


def test_a_shorter_training_is_compared_as_far_as_it_goes():
    steps, tensors = training(80)
    assert first_divergence(steps[:79], training()[0], tensors, training()[1]) is None
    assert first_divergence(steps[:80], training()[0], tensors, training()[1]).step == 80
