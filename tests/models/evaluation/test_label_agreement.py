"""Conditional types are judged by whether they draw the class that was asked for."""

import numpy as np
import pytest

from reproducible_ml.input_fn.split import split_batches
from reproducible_ml.models.evaluation.classifier import Classifier
from reproducible_ml.models.evaluation.evaluate import evaluate_gan
from reproducible_ml.models.gan.sampling import TrainedGAN
from tests.models import training_processes as training
from tests.models.evaluation.test_classifier import train, write_shapes

CLASSES = 3
CADENCE = {"max_steps": 1, "evaluate_every_steps": 1}
N = 131


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def judge(tmp_path_factory, shapes):
    folder = tmp_path_factory.mktemp("classifier") / "judge"
    train(shapes, folder)
    return folder


@pytest.mark.parametrize("gan_type", ["cgan", "acgan"])
def test_agreement_is_that_of_the_labels_asked_for_while_training_and_after(
    tmp_path, shapes, judge, gan_type
):
    model_dir, settings = tmp_path / "model", {"gan_type": gan_type, "batch_size": 16}
    error = training.run(shapes, model_dir, settings, CADENCE, classifier_dir=str(judge))
    assert error is None
    classifier, gan = Classifier.load(judge), TrainedGAN(model_dir, shapes)

    def agreed(images, labels):
        seen = classifier.outputs(images).logits.argmax(axis=1)
        return sum(int(a) == int(b) for a, b in zip(seen, labels)) / len(labels)

    in_turn = [row % CLASSES for row in range(250)]
    small = {name: value for name, _, value in training.points(model_dir)}
    # One sample of 250 may fall on the other side: other graph, other last bits.
    expected = agreed(gan.draw(250, seed=11), in_turn)
    assert small["small_label_agreement"] == pytest.approx(expected, abs=0.005)

    found = evaluate_gan(shapes, model_dir, judge, tmp_path / "out", samples=N, seed=2)
    one = next(one for one in found.figures if one.name == "label_agreement")
    assert one.value == agreed(gan.draw(N, seed=2), in_turn[:N])
    images, labels = (
        np.concatenate(part) for part in zip(*split_batches(shapes, "train", "label"))
    )
    # The floor: N of the 150 images at even places, evenly spread.
    rows = [2 * (row * 150 // N) for row in range(N)]
    assert one.floor == agreed(images[rows], labels[rows]) > 0.95
    assert (one.layer, one.references, one.floor_references) == ("logits", 0, 0)


def test_a_gan_without_labels_has_no_such_figure(tmp_path, shapes, judge):
    error = training.run(shapes, tmp_path, {}, CADENCE, classifier_dir=str(judge))
    assert error is None
    names = {name for name, _, _ in training.points(tmp_path)}
    assert "small_recall" in names
    assert "small_label_agreement" not in names


def test_a_classifier_of_other_data_is_named(tmp_path, judge, shapes, capsys):
    other = write_shapes(tmp_path / "other", seed=6)
    assert training.run(other, tmp_path / "model", {}, {"max_steps": 1}) is None
    evaluate_gan(other, tmp_path / "model", judge, tmp_path / "out", samples=N)
    said = capsys.readouterr().err
    assert f"The classifier in {judge} was trained on other data (fingerprint " in said
    assert training.run(shapes, tmp_path / "same", {}, {"max_steps": 1}) is None
    evaluate_gan(shapes, tmp_path / "same", judge, tmp_path / "out", samples=N)
    assert "was trained on other data" not in capsys.readouterr().err
