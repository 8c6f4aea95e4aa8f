"""GANs of a data set whose classes alternate: their floor, and the labels asked for."""

import numpy as np
import pytest

from reproducible_ml.input_fn.split import split_batches
from reproducible_ml.models.evaluation.classifier import Classifier
from reproducible_ml.models.evaluation.evaluate import evaluate_gan
from reproducible_ml.models.evaluation.real_images import split_outputs
from reproducible_ml.models.gan.sampling import TrainedGAN
from reproducible_ml.utils.errors import ConfigError
from tests.models import training_processes as training
from tests.models.evaluation.test_classifier import train, write_shapes
from tests.models.evaluation.test_real_images import by_hand

CLASSES = 3
CADENCE = {"max_steps": 1, "evaluate_every_steps": 1}
N = 131


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", order=upright_at_even_places)


def upright_at_even_places(kinds):
    """Return an order in which every second row is of class 0, as long as there are some."""
    order = np.full(len(kinds), -1)
    places = np.arange(0, len(kinds), 2)[: (kinds == 0).sum()]
    order[places] = np.flatnonzero(kinds == 0)
    order[order < 0] = np.flatnonzero(kinds != 0)
    return order


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
    # The floor: N training images, drawn at random.
    rows = by_hand(300, N, 2)
    assert one.floor == agreed(images[rows], labels[rows]) > 0.95
    assert (one.layer, one.references, one.floor_references) == ("logits", 0, 0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, shapes, judge):
    """A GAN without labels."""
    folder = tmp_path_factory.mktemp("plain")
    assert training.run(shapes, folder, {}, CADENCE, classifier_dir=str(judge)) is None
    return folder


def test_a_gan_without_labels_has_no_such_figure(plain):
    names = {name for name, _, _ in training.points(plain)}
    assert "small_recall" in names
    assert "small_label_agreement" not in names


def frechet(x, y):
    a, b = np.cov(x.T), np.cov(y.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * roots


def test_the_floor_is_that_of_random_training_images(tmp_path, shapes, judge, plain):
    found = evaluate_gan(shapes, plain, judge, tmp_path / "out", samples=150, seed=4)
    figures = {one.name: one for one in found.figures}
    one, nearest = figures["frechet_distance"], figures["nearest_training_distance"]
    assert (one.samples, one.floor_samples, one.references) == (150, 150, 141)
    assert (one.floor_references, one.against, one.seed) == (141, "test", 4)
    assert (nearest.references, nearest.floor_references, nearest.against) == (300, 299, "train")

    classifier = Classifier.load(judge)
    seen, test = (
        split_outputs(classifier, shapes, split).features.astype(float)
        for split in ("train", "test")
    )
    rows = by_hand(300, 150, 4)
    assert one.floor == pytest.approx(frechet(seen[rows], test), rel=1e-3)
    lengths = np.linalg.norm(seen[rows][:, None] - seen[None], axis=2)
    lengths[np.arange(150), rows] = np.inf
    assert nearest.floor == pytest.approx(np.median(lengths.min(1)), rel=1e-6)

    random = np.random.default_rng(1)
    draws = [frechet(seen[random.permutation(300)[:150]], test) for _ in range(10)]
    assert one.floor < 2 * max(draws)
    for wrong in (seen[::2], seen[:150:2]):
        assert frechet(wrong, test) > 2 * max(draws)


def test_a_part_of_a_split_is_drawn(shapes, judge):
    classifier = Classifier.load(judge)
    whole = split_outputs(classifier, shapes, "train")
    part = split_outputs(classifier, shapes, "train", limit=140, seed=3)
    np.testing.assert_array_equal(part.logits, whole.logits[by_hand(300, 140, 3)])
    everything = split_outputs(classifier, shapes, "train", limit=1000)
    np.testing.assert_array_equal(everything.features, whole.features)
    with pytest.raises(ConfigError, match=r"no split 'dev'"):
        split_outputs(classifier, shapes, "dev")


def test_a_classifier_of_other_data_is_named(tmp_path, judge, shapes, plain, capsys):
    other = write_shapes(tmp_path / "other", seed=6)
    assert training.run(other, tmp_path / "model", {}, {"max_steps": 1}) is None
    evaluate_gan(other, tmp_path / "model", judge, tmp_path / "out", samples=N)
    said = capsys.readouterr().err
    assert f"The classifier in {judge} was trained on other data (fingerprint " in said
    evaluate_gan(shapes, plain, judge, tmp_path / "out", samples=N)
    assert "was trained on other data" not in capsys.readouterr().err
