"""The step log holds every step's losses, whatever their names and number."""

import struct

import numpy as np
import pytest

from reproducible_ml.models.exact.step_log import StepLog, read_losses, read_steps
from reproducible_ml.utils.errors import DataError


def log_steps(folder, losses, first=1, last=3, restored_step=0):
    log = StepLog(folder, restored_step, losses)
    for step in range(first, last + 1):
        log.append(step, {name: step + place / 4 for place, name in enumerate(losses)})
    log.close()


def test_a_gan_s_log_is_16_bytes_a_step_and_nothing_else(tmp_path):
    log_steps(tmp_path, ("generator_loss", "critic_loss"))
    expected = b"".join(struct.pack("<qff", step, step, step + 0.25) for step in (1, 2, 3))
    assert (tmp_path / "steps.log").read_bytes() == expected
    assert not (tmp_path / "losses.json").exists()


@pytest.mark.parametrize("losses", [("loss",), ("loss", "regularization", "total")])
def test_other_losses_are_read_back_by_name(tmp_path, losses):
    log_steps(tmp_path, losses)
    steps = read_steps(tmp_path)
    assert read_losses(tmp_path) == losses
    assert steps["step"].tolist() == [1, 2, 3]
    for place, name in enumerate(losses):
        np.testing.assert_array_equal(steps[name], np.float32([1, 2, 3]) + place / 4)


def test_a_resume_cuts_what_lies_behind_the_checkpoint(tmp_path):
    log_steps(tmp_path, ("loss",))
    log_steps(tmp_path, ("loss",), first=3, last=5, restored_step=2)
    assert read_steps(tmp_path)["loss"].tolist() == [1, 2, 3, 4, 5]


def test_a_resume_with_other_losses_is_refused(tmp_path):
    log_steps(tmp_path, ("loss", "penalty"))
    with pytest.raises(
        DataError, match=r"holds the losses loss, penalty; this training has loss\."
    ):
        StepLog(tmp_path, 3, ("loss",))
