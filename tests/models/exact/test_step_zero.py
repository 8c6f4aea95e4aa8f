"""A folder whose only checkpoint is the one before the first step is continued by its like only."""

import shutil

import pytest

from reproducible_ml.models.exact.identity import wait_for_identity
from reproducible_ml.models.export import export_gan
from reproducible_ml.models.gan.sampling import TrainedGAN
from reproducible_ml.utils.errors import DataError
from tests.models import training_processes as training

# No float32 holds this rate: the first update leaves infinite weights, which are never saved.
DIVERGES = {"gan_type": "nsgan", "crit_lr": 1e39}


@pytest.fixture(scope="module")
def diverged(tmp_path_factory, small_records):
    """A training that left nothing but its weights of step 0."""
    model_dir = tmp_path_factory.mktemp("diverged") / "model"
    error = training.run(small_records, model_dir, DIVERGES, {"max_steps": 1})
    assert "not finite after step 1" in error
    assert [path.stem for path in model_dir.glob("*.index")] == ["model.ckpt-0"]
    return model_dir


@pytest.fixture
def model_dir(diverged, tmp_path):
    shutil.copytree(diverged, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 12}, "seed was 11, is 12"),
        ({"gan_type": "lsgan"}, "gan_type was 'nsgan', is 'lsgan'"),
        ({"noise_dims": 7}, "noise_dims was 6, is 7"),
    ],
)
def test_weights_of_step_zero_are_not_continued_with_other_settings(
    model_dir, small_records, change, message
):
    before = (model_dir / "training.json").read_bytes()
    error = training.run(small_records, model_dir, {**DIVERGES, **change}, {"max_steps": 2})
    assert "was trained up to step 0 with other values" in error
    assert message in error
    assert (model_dir / "training.json").read_bytes() == before


def test_weights_of_step_zero_are_not_continued_on_other_data(model_dir, other_records):
    error = training.run(other_records, model_dir, DIVERGES, {"max_steps": 2})
    assert "fingerprint was" in error


def test_a_training_killed_before_its_first_checkpoint_goes_on_to_the_same_bits(
    tmp_path, small_records
):
    assert training.run(small_records, tmp_path / "whole", cadence={"max_steps": 6}) is None
    late = {"max_steps": 900, "checkpoint_every_steps": 900}
    process = training.start(small_records, tmp_path / "cut", cadence=late)
    assert training.kill_at_step(process, tmp_path / "cut", 2)
    assert training.run(small_records, tmp_path / "cut", cadence={"max_steps": 6}) is None
    whole, cut = (training.result(tmp_path / name) for name in ("whole", "cut"))
    assert cut["resumed_from"] == 0
    assert cut["digests"] == whole["digests"]


@pytest.mark.parametrize("text", ["", '{"data": {"finger', "[]", "null", '{"data": 5}'])
def test_a_damaged_description_of_a_training_is_named_everywhere(model_dir, small_records, text):
    (model_dir / "training.json").write_text(text)
    for read in (
        lambda: TrainedGAN(model_dir, small_records),
        lambda: export_gan(model_dir, model_dir.parent / "out"),
        lambda: wait_for_identity(model_dir, {}, 0),
    ):
        with pytest.raises(
            DataError, match=r"training\.json does not describe a training .* a backup\."
        ):
            read()
    assert not (model_dir.parent / "out").exists()


def test_a_training_is_not_continued_from_a_damaged_description(model_dir, small_records):
    text = (model_dir / "training.json").read_text()
    (model_dir / "training.json").write_text(text[:-20])
    error = training.run(small_records, model_dir, DIVERGES, {"max_steps": 2})
    assert "training.json does not describe a training" in error
    assert (model_dir / "training.json").read_text() == text[:-20]
