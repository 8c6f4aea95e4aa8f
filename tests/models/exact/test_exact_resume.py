"""A training that was interrupted and continued gives the bits of one that was not."""

import json
import random
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import warm
from tests.models import training_processes as training


@pytest.fixture(scope="module")
def straight(tmp_path_factory, small_records):
    """A training that nothing interrupts."""
    model_dir = tmp_path_factory.mktemp("straight")
    assert training.run(small_records, model_dir) is None
    return model_dir


def assert_equal_to(straight, model_dir):
    assert training.result(model_dir)["digests"] == training.result(straight)["digests"]
    assert training.points(model_dir) == training.points(straight)
    for name in ("steps.log", "tensors.jsonl", "samples/step-00000024.png"):
        assert Path(model_dir, name).read_bytes() == Path(straight, name).read_bytes(), name


def test_two_processes_give_the_same_bits(tmp_path, straight, small_records):
    assert training.run(small_records, tmp_path) is None
    assert_equal_to(straight, tmp_path)


def test_another_seed_gives_other_bits(tmp_path, straight, small_records):
    assert training.run(small_records, tmp_path, {"seed": 12}) is None
    found, other = training.result(tmp_path)["digests"], training.result(straight)["digests"]
    assert all(found[part] != other[part] for part in ("weights", "losses", "samples", "run"))


def test_a_run_continued_after_a_normal_stop_is_the_uninterrupted_one(
    tmp_path, straight, small_records
):
    assert training.run(small_records, tmp_path, cadence={"max_steps": 13}) is None
    assert training.run(small_records, tmp_path) is None
    assert training.result(tmp_path)["resumed_from"] == 13
    assert_equal_to(straight, tmp_path)


def test_several_critic_steps_resume_exactly_across_epochs(tmp_path, small_records):
    # 5 critic steps of 4 images: an epoch of the 60 records ends every third step.
    settings = {"critic_steps": 5}
    assert training.run(small_records, tmp_path / "whole", settings) is None
    process = training.start(small_records, tmp_path / "cut", settings)
    assert training.kill_at_step(process, tmp_path / "cut", 12)
    assert training.run(small_records, tmp_path / "cut", settings) is None
    assert training.result(tmp_path / "cut")["resumed_from"] in (5, 10, 15, 20)
    assert_equal_to(tmp_path / "whole", tmp_path / "cut")


def test_a_run_killed_between_each_two_checkpoints_continues_to_the_same_bits(
    tmp_path, straight, small_records
):
    draw = random.Random(4)
    steps, every = (training.CADENCE[name] for name in ("max_steps", "checkpoint_every_steps"))
    # One training that is killed in each of its parts: before a checkpoint, after one, after two.
    for checkpoint in range(0, steps, every):
        process = training.start(small_records, tmp_path)
        step = draw.randint(checkpoint + 1, min(checkpoint + every, steps) - 1)
        assert training.kill_at_step(process, tmp_path, step)
    assert training.run(small_records, tmp_path) is None
    assert_equal_to(straight, tmp_path)


def test_a_full_disk_during_a_checkpoint_loses_nothing(tmp_path, straight, small_records):
    process = warm.process(_train_with_file_limit, small_records, tmp_path)
    process.start()
    process.join()
    assert process.exitcode != 0
    assert training.run(small_records, tmp_path) is None
    assert training.result(tmp_path)["resumed_from"] == 10
    assert_equal_to(straight, tmp_path)


def _train_with_file_limit(record_dir, model_dir):
    """Train to step 10, then go on where no file may grow beyond 100 kB: checkpoints fail."""
    import signal

    training.train(record_dir, model_dir, cadence={"max_steps": 10})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    training.train(record_dir, model_dir)


def test_a_checkpoint_whose_files_are_there_but_not_named_is_made_again(
    tmp_path, straight, small_records
):
    # A kill between the checkpoint's files and the file that names it leaves this.
    assert training.run(small_records, tmp_path, cadence={"max_steps": 15}) is None
    state = tmp_path / "checkpoint"
    lines = [line for line in state.read_text().splitlines() if "-15" not in line]
    state.write_text("\n".join(['model_checkpoint_path: "model.ckpt-10"', *lines]))
    assert training.run(small_records, tmp_path) is None
    assert training.result(tmp_path)["resumed_from"] == 10
    assert_equal_to(straight, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 12}, "seed was 11, is 12"),
        ({"gen_lr": 0.1}, "gen_lr was 0.0005, is 0.1"),
        ({"determinism": {"intra_op_threads": 1}}, "intra_op_threads was 2, is 1"),
    ],
)
def test_continuing_with_other_settings_is_refused(
    tmp_path, straight, small_records, change, message
):
    model_dir = tmp_path / "model"
    shutil.copytree(straight, model_dir)
    error = training.run(small_records, model_dir, change, {"max_steps": 25})
    assert message in error
    assert "allow_changed=True" in error


def test_continuing_with_another_data_set_or_code_is_refused_unless_allowed(
    tmp_path, straight, small_records, other_records
):
    model_dir = tmp_path / "model"
    shutil.copytree(straight, model_dir)
    identity = json.loads((model_dir / "training.json").read_text())
    identity["code"]["generator_fn"] = "0" * 16
    (model_dir / "training.json").write_text(json.dumps(identity))
    cadence = {"max_steps": 25}
    error = training.run(other_records, model_dir, cadence=cadence)
    assert "code: generator_fn was changed" in error
    assert "fingerprint was" in error
    assert training.run(other_records, model_dir, cadence=cadence, allow_changed=True) is None


def test_a_shortened_step_log_is_refused(tmp_path, straight, small_records):
    model_dir = tmp_path / "model"
    shutil.copytree(straight, model_dir)
    log = model_dir / "steps.log"
    log.write_bytes(log.read_bytes()[:-5])
    error = training.run(small_records, model_dir, cadence={"max_steps": 25})
    assert "steps.log holds 23 whole steps" in error


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_checkpoint(
    tmp_path, small_records
):
    assert training.run(small_records, tmp_path, cadence={"max_steps": 10}) is None
    error = training.run(
        small_records,
        tmp_path,
        {"crit_lr": 1e38, "critic_weight_clip": 1e38},
        {"max_steps": 24},
        allow_changed=True,
    )
    assert "is " in error
    assert "at step " in error
    assert "lower learning rates" in error
    assert f"The checkpoint of step 10 is kept, {tmp_path}/model.ckpt-10. " in error
    assert 'model_checkpoint_path: "model.ckpt-10"' in (tmp_path / "checkpoint").read_text()


def test_the_step_log_holds_each_step_once(straight):
    from reproducible_ml.models.exact.step_log import read_steps, read_tensor_digests

    steps = read_steps(straight)
    np.testing.assert_array_equal(steps["step"], np.arange(1, 25))
    assert list(read_tensor_digests(straight)) == list(range(4, 25, 4))
