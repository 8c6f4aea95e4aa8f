"""Labels that no class has are refused where samples are drawn, and in an exported graph."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models import GANSettings, draw_samples, make_gan_estimator
from reproducible_ml.models.export.saved_generator import draw_loaded, save_generator
from reproducible_ml.utils.errors import ConfigError
from tests.models import training_processes as training
from tests.models.labelled import CLASSES, write_labelled_records

LATENTS = np.random.default_rng(2).standard_normal((4, 6), np.float32)


def trained(folder, gan_type):
    """Train one step; return the estimator and its settings."""
    records = write_labelled_records(folder / "records")
    settings = {"gan_type": gan_type}
    assert training.run(records, folder / "model", settings, {"max_steps": 1}) is None
    settings = GANSettings(**training.SETTINGS, **settings)
    return make_gan_estimator(folder / "model", settings, (10, 10, 1), CLASSES), settings


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("conditional"), "cgan")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], "labels must be 4 integers from 0 to 2, found .* from 0 to 3"),
        ([0, -1, 2, 1], "from -1 to 2"),
        ([0, 1, 2], r"found shape \(3,\)"),
        ([0.0, 1.0, 2.0, 0.5], "of float64"),
        (None, "no labels are given: pass 4 integers from 0 to 2"),
    ],
)
def test_labels_that_are_no_classes_are_refused(conditional, labels, message):
    with pytest.raises(ConfigError, match=message):
        draw_samples(conditional[0], LATENTS, labels)


def test_labels_for_a_type_that_draws_without_are_refused(tmp_path):
    estimator, _ = trained(tmp_path, "wgan")
    assert draw_samples(estimator, LATENTS).shape == (4, 10, 10, 1)
    with pytest.raises(ConfigError, match=r"draws without labels, but labels are given"):
        draw_samples(estimator, LATENTS, [0, 1, 2, 0])


def test_an_exported_graph_refuses_other_labels_and_draws_the_same_bits(conditional, tmp_path):
    estimator, settings = conditional
    save_generator(estimator, settings, CLASSES, estimator.latest_checkpoint(), tmp_path / "out")
    labels = np.array([2, 0, 1, 1], np.int32)
    found = draw_loaded(tmp_path / "out", {"latents": LATENTS, "labels": labels})
    np.testing.assert_array_equal(found, draw_samples(estimator, LATENTS, labels))
    for wrong in (3, -1):
        labels[2] = wrong
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be from 0 to 2"):
            draw_loaded(tmp_path / "out", {"latents": LATENTS, "labels": labels})
