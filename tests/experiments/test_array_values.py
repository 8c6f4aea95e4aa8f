"""Arrays of a user from an NPZ file to a report, by the commands that a user types."""

import json

import numpy as np
import pytest

from tests.experiments.running import experiment

IMAGES = np.random.default_rng(2).integers(0, 256, (24, 10, 10))
QUICK = ["batch_size=2", "noise_dims=4", "max_steps=1", "critic_steps=1"]


def saved(folder, images):
    np.savez(folder / "mine.npz", x_train=images, y_train=np.arange(len(images)) % 2)


def serialized(folder, *updates):
    choice = ["source=npz", "npz_file=mine.npz", "record_dir=data/mine"]
    return experiment("mnist_serialize", folder, "with", *choice, *updates)


def test_a_range_is_asked_for_and_then_recorded(tmp_path):
    saved(tmp_path, IMAGES * 16)
    code, output = serialized(tmp_path)
    assert code == 1
    assert "mine.npz: x_train: the values are int64 from 0 to 4080" in output
    assert not (tmp_path / "data").exists()
    code, output = serialized(tmp_path, "value_range=[0,4095]")
    assert code == 0, output
    manifest = json.loads((tmp_path / "data" / "mine" / "dataset.json").read_text())
    assert manifest["features"]["image"]["value_range"] == [0, 4095]
    assert manifest["source"]["arguments"]["value_range"] == [0, 4095]
    config = json.loads((tmp_path / "runs" / "2" / "config.json").read_text())
    assert config["value_range"] == [0, 4095]
    code, output = experiment("mnist_serialize", tmp_path, "with", "smoke", "value_range=[0,1]")
    assert code == 1
    assert "source=digits takes no value_range, which is [0, 1]" in output


def test_dark_bytes_are_remarked_upon(tmp_path):
    saved(tmp_path, (IMAGES % 17).astype(np.uint8))
    code, output = serialized(tmp_path)
    assert code == 0, output
    assert "image holds values of 0 to 16 only and is read as 0 to 255" in output
    assert "state value_range=[0,16]." in output


@pytest.mark.slow
def test_integers_of_an_npz_train_a_step_and_are_reported_in_their_range(tmp_path):
    from reproducible_ml.input_fn import input_fn
    from tests import warm

    saved(tmp_path, IMAGES.astype(np.int32))
    choice = ["source=npz", "npz_file=mine.npz", "record_dir=data/mine", "model_dir=models/mine"]
    code, output = experiment("mnist_wgan", tmp_path, "with", *choice, *QUICK)
    assert code == 0, output
    ((_, images),) = input_fn(
        tmp_path / "data" / "mine", batch_size=22, shuffle=False, repeat=False
    )()
    # The other rows were drawn for eval.
    pixels = (images.numpy() + 1) * 127.5
    np.testing.assert_allclose(pixels, np.round(pixels), rtol=0, atol=1e-3)
    read = {row.tobytes() for row in np.round(pixels).astype(np.uint8)}
    assert len(read) == 22
    assert read <= {row.tobytes() for row in IMAGES.astype(np.uint8)[..., None]}
    done = warm.run("-m", "reproducible_ml.cli", "report", "2", "-o", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "int32" in page
    assert "0 to 255" in page
