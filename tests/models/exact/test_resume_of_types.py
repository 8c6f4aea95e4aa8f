"""GAN types with noise, vectors or labels of their own continue to the bits of an unbroken run."""

import json

import numpy as np
import pytest

from reproducible_ml.utils.errors import ConfigError
from tests.models import training_processes as training
from tests.models.labelled import write_labelled_records

CADENCE = {"checkpoint_every_steps": 2, "digest_every_steps": 1, "grid_every_steps": 4}


@pytest.fixture(scope="module")
def labelled_records(tmp_path_factory):
    return write_labelled_records(tmp_path_factory.mktemp("data") / "labelled")


def assert_resumes(folder, records, settings):
    def run(name, max_steps):
        return training.run(records, folder / name, settings, {**CADENCE, "max_steps": max_steps})

    assert run("whole", 4) is None
    assert run("halves", 2) is None
    assert run("halves", 4) is None
    whole, halves = (training.result(folder / name) for name in ("whole", "halves"))
    assert halves["resumed_from"] == 2
    assert halves["digests"] == whole["digests"]
    for name in ("steps.log", "tensors.jsonl", "samples/step-00000004.png"):
        assert (folder / "halves" / name).read_bytes() == (folder / "whole" / name).read_bytes()


@pytest.mark.parametrize("gan_type", ["wgan_gp", "hinge", "acgan"])
def test_two_halves_are_the_whole(tmp_path, labelled_records, gan_type):
    assert_resumes(tmp_path, labelled_records, {"gan_type": gan_type, "critic_steps": 2})


def test_two_halves_are_the_whole_with_networks_that_draw(tmp_path, small_records):
    settings = {"networks": "tests.models.dropout_networks", "critic_steps": 2}
    assert_resumes(tmp_path, small_records, settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gan_type", "dtype"),
    [
        ("nsgan", "bfloat16"),
        ("dragan", "bfloat16"),
        ("relativistic", "float32"),
        ("cgan", "bfloat16"),
        ("hinge", "bfloat16"),
    ],
)
def test_two_halves_are_the_whole_for(tmp_path, labelled_records, gan_type, dtype):
    settings = {"gan_type": gan_type, "compute_dtype": dtype}
    assert_resumes(tmp_path, labelled_records, settings)


def test_labels_that_are_missing_are_named_with_the_features_there_are(tmp_path, small_records):
    error = training.run(small_records, tmp_path / "model", {"gan_type": "cgan"})
    assert f"{small_records} has no feature 'label'" in error
    assert "its features are image" in error
    assert not (tmp_path / "model").exists()


def test_a_folder_of_another_type_is_refused(tmp_path, small_records):
    assert training.run(small_records, tmp_path, {"gan_type": "nsgan"}, {"max_steps": 1}) is None
    before = (tmp_path / "training.json").read_text()
    error = training.run(small_records, tmp_path, {"gan_type": "lsgan"}, {"max_steps": 2})
    assert "gan_type was 'nsgan', is 'lsgan'" in error
    assert (tmp_path / "training.json").read_text() == before
    assert json.loads(before)["settings"]["gen_lr"] > 0


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, small_records):
    # No float32 holds this rate: the first update leaves infinite weights, after finite losses.
    error = training.run(
        small_records,
        tmp_path,
        {"gan_type": "nsgan", "crit_lr": 1e39},
        {"max_steps": 1, "checkpoint_every_steps": 1},
    )
    assert "Discriminator/" in error
    assert "holds values that are not finite after step 1" in error
    assert "lower learning rates" in error
    assert f"The checkpoint of step 0 is kept, {tmp_path}/model.ckpt-0, which is untrained" in error
    assert 'model_checkpoint_path: "model.ckpt-0"' in (tmp_path / "checkpoint").read_text()


def test_a_trained_conditional_gan_draws_the_labels_asked_for(tmp_path, labelled_records):
    from reproducible_ml.models.gan.sampling import TrainedGAN

    assert training.run(labelled_records, tmp_path, {"gan_type": "cgan"}, {"max_steps": 1}) is None
    gan = TrainedGAN(tmp_path, labelled_records)
    assert gan.labels(4).tolist() == [0, 1, 2, 0]
    in_turn = gan.draw(5, seed=2)
    zeros = gan.draw(5, seed=2, labels=[0] * 5)
    same = [bool(np.allclose(a, b, atol=1e-6)) for a, b in zip(in_turn, zeros)]
    assert same == [True, False, False, True, False]
    np.testing.assert_allclose(gan.draw(2, seed=2), in_turn[:2], atol=1e-6)
    with pytest.raises(ConfigError, match=r"labels must be 5 integers from 0 to 2.* from 3 to 3"):
        gan.draw(5, seed=2, labels=[3] * 5)
