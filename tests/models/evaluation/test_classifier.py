"""The classifier: trained in processes of their own, loaded here."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest, write_records
from reproducible_ml.handlers import ImageHandler, LabelHandler
from reproducible_ml.input_fn.split import split_batches
from reproducible_ml.models.evaluation.classifier import Classifier, export_classifier
from reproducible_ml.utils.errors import ConfigError, DataError, ReproducibleMLError
from tests import warm

SIZES = {"train": 300, "eval": 140, "test": 141}


def write_shapes(record_dir, seed=5, labels=True, order=None):
    """Write noisy bars: upright, lying and none, which are classes 0, 1 and 2.

    ``order`` returns the order of the rows, given their classes; None for a random one.
    """
    random = np.random.default_rng(seed)
    rows = {}
    for split, count in SIZES.items():
        kinds = random.integers(0, 3, count)
        kinds = kinds if order is None else kinds[order(kinds)]
        images = random.integers(0, 90, (count, 10, 10, 1))
        for image, kind, place in zip(images, kinds, random.integers(2, 7, count)):
            if kind == 0:
                image[:, place : place + 2] += 150
            elif kind == 1:
                image[place : place + 2] += 150
        rows[split] = [
            {"image": image, "label": kind} if labels else {"image": image}
            for image, kind in zip(images.astype(np.uint8), kinds)
        ]
    handlers = {"image": ImageHandler(shape=[10, 10, 1])}
    if labels:
        handlers["label"] = LabelHandler()
    write_records(str(record_dir), "{}-{:05d}.tfrecord", handlers, 100, SIZES, rows.__getitem__)
    return str(record_dir)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes")


def _train(results, record_dir, classifier_dir, settings, environment):
    from reproducible_ml.models.evaluation.classifier_training import (
        ClassifierSettings,
        train_classifier,
    )

    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", **environment)
    points = []
    try:
        settings = {"batch_size": 20, "max_steps": 60, "shift_pixels": 1, "seed": 3, **settings}
        result = train_classifier(
            record_dir,
            classifier_dir,
            ClassifierSettings(**settings),
            log_every_steps=25,
            scalar=lambda *point: points.append(point),
        )
    except ReproducibleMLError as error:
        results.put(error)
        sys.exit(1)
    results.put((result, points))


def train(record_dir, classifier_dir, environment=None, **settings):
    """Train in a process of its own; return the result and the points, or raise its error."""
    results = warm.CONTEXT.Queue()
    process = warm.process(
        _train, results, record_dir, str(classifier_dir), settings, environment or {}
    )
    process.start()
    found = results.get(timeout=200)
    process.join()
    if isinstance(found, Exception):
        raise found
    return found


class Trained:
    def __init__(self, folder, record_dir):
        self.folder = folder
        self.result, self.points = train(record_dir, folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shapes):
    return Trained(tmp_path_factory.mktemp("classifier") / "judge", shapes)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the classifier's two files, to be spoilt."""
    for name in ("classifier.json", "classifier.npz"):
        shutil.copy(trained.folder / name, tmp_path / name)
    return tmp_path


def by_hand(images, weights):
    """The network in NumPy loops over the kernel, in float64."""

    def convolve(layer, kernel, bias, stride):
        count, side, _, _ = layer.shape
        out = -(-side // stride)
        missing = max((out - 1) * stride + 3 - side, 0)
        before = missing // 2
        padded = np.pad(layer, [(0, 0), *[(before, missing - before)] * 2, (0, 0)])
        found = np.zeros((count, out, out, kernel.shape[-1])) + bias
        for y in range(3):
            for x in range(3):
                part = padded[:, y : y + out * stride : stride, x : x + out * stride : stride]
                found += part[:, :out, :out] @ kernel[y, x]
        return np.maximum(found, 0)

    w = {name.split("classifier/")[1]: value.astype(float) for name, value in weights.items()}
    layer = convolve(images, w["conv1/weights"], w["conv1/bias"], 1)
    layer = convolve(layer, w["conv2/weights"], w["conv2/bias"], 2)
    layer = layer.reshape(len(layer), -1)
    features = np.maximum(layer @ w["features/weights"] + w["features/bias"], 0)
    return features, features @ w["logits/weights"] + w["logits/bias"]


def test_it_learns_to_tell_the_classes_apart(trained, shapes):
    assert trained.result.accuracy > 0.95
    classifier = Classifier.load(trained.folder)
    right = count = 0
    for images, labels in split_batches(shapes, "test", "label"):
        right += (classifier.outputs(images).probabilities.argmax(axis=1) == labels).sum()
        count += len(labels)
    assert count == 141
    assert trained.result.accuracy == right / count


def test_the_exported_network_is_the_one_written_down_by_hand(trained, shapes):
    images = np.concatenate([images for images, _ in split_batches(shapes, "eval")])
    with np.load(trained.folder / "classifier.npz") as weights:
        features, logits = by_hand(images.astype(float), dict(weights))
    found = Classifier.load(trained.folder).outputs(images)
    assert found.features.shape == (140, 128)
    np.testing.assert_allclose(found.features, features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, p, atol=1e-4)


def test_what_it_says_of_an_image_does_not_depend_on_the_others(trained, shapes):
    images = np.concatenate([images for images, _ in split_batches(shapes, "train")])
    classifier = Classifier.load(trained.folder)
    whole = classifier.outputs(images)
    np.testing.assert_array_equal(classifier.outputs(images[:1]).features, whole.features[:1])
    np.testing.assert_array_equal(classifier.outputs(images[:260]).logits, whole.logits[:260])
    assert classifier.outputs(images[:0]).logits.shape == (0, 3)


def test_the_description_says_what_it_is_and_was_made_of(trained, shapes):
    description = json.loads((trained.folder / "classifier.json").read_text())
    assert description["image_shape"] == [10, 10, 1]
    assert description["classes"] == 3
    assert description["data"] == {"fingerprint": read_manifest(shapes).fingerprint}
    assert description["settings"]["seed"] == 3
    assert description["settings"]["determinism"]["intra_op_threads"] == 2
    assert description["digest"] == trained.result.digests["weights"]
    assert description["accuracy"]["test"] == trained.result.accuracy


def test_the_loss_is_told_with_true_steps_and_falls(trained):
    assert [(name, step) for name, _, step in trained.points] == [
        ("loss", 25),
        ("loss", 50),
        ("loss", 60),
    ]
    assert trained.points[-1][1] == trained.result.loss < trained.points[0][1]


def test_two_processes_give_the_same_bits_and_another_seed_others(trained, shapes, tmp_path):
    again, points = train(shapes, tmp_path / "again")
    assert again.digests == trained.result.digests
    assert points == trained.points
    other, _ = train(shapes, tmp_path / "other", seed=4, max_steps=2)
    same, _ = train(shapes, tmp_path / "same", max_steps=2)
    assert all(other.digests[part] != same.digests[part] for part in ("weights", "losses"))


def test_a_cluster_that_the_shell_names_changes_nothing(trained, shapes, tmp_path):
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    task = {"cluster": cluster, "task": {"type": "worker", "index": 1}}
    result, _ = train(shapes, tmp_path / "judge", {"TF_CONFIG": json.dumps(task)})
    assert result.digests == trained.result.digests


def test_a_loss_that_is_no_number_stops_training_and_leaves_no_classifier(shapes, tmp_path):
    with pytest.raises(ReproducibleMLError, match=r"loss is (nan|inf) at step \d+\. Try a lower"):
        train(shapes, tmp_path / "judge", learning_rate=1e38)
    with pytest.raises(DataError, match=r"there is no classifier\.json"):
        Classifier.load(tmp_path / "judge")


def test_shifts_change_what_is_learned(shapes, tmp_path):
    moved, _ = train(shapes, tmp_path / "moved", max_steps=2)
    still, _ = train(shapes, tmp_path / "still", max_steps=2, shift_pixels=0)
    assert moved.digests["losses"] != still.digests["losses"]


def test_a_used_folder_is_refused_and_kept(trained, shapes):
    before = (trained.folder / "classifier.npz").read_bytes()
    with pytest.raises(ConfigError, match="already holds a classifier"):
        train(shapes, trained.folder)
    assert (trained.folder / "classifier.npz").read_bytes() == before


def test_records_without_labels_are_named_before_anything_is_written(tmp_path):
    bare = write_shapes(tmp_path / "bare", labels=False)
    with pytest.raises(DataError, match="label"):
        train(bare, tmp_path / "judge")
    assert not (tmp_path / "judge").exists()


def test_a_folder_without_classifier_is_named_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no classifier: there is no classifier\.json.*mnist_cla"):
        Classifier.load(tmp_path / "nothing")


def test_missing_weights_are_named(copy):
    (copy / "classifier.npz").unlink()
    with pytest.raises(DataError, match=r"there is no classifier\.npz"):
        Classifier.load(copy)


def test_changed_weights_are_seen(copy):
    with np.load(copy / "classifier.npz") as file:
        weights = dict(file)
    weights["classifier/logits/bias"][1] += 1e-6
    np.savez(copy / "classifier.npz", **weights)
    with pytest.raises(DataError, match=r"classifier\.npz was altered: its digest is"):
        Classifier.load(copy)


@pytest.mark.parametrize("name", ["classifier.json", "classifier.npz"])
def test_a_cut_file_is_named(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"can't be read: .* Train one"):
        Classifier.load(copy)


def test_a_flipped_bit_in_the_weights_file_is_named(copy):
    content = bytearray((copy / "classifier.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "classifier.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"Train one"):
        Classifier.load(copy)


def test_images_of_another_shape_are_named(trained):
    classifier = Classifier.load(trained.folder)
    with pytest.raises(ConfigError, match=r"takes images of shape \(10, 10, 1\), .* \(8, 8, 1\)"):
        classifier.outputs(np.zeros((3, 8, 8, 1)))


def test_an_export_is_complete_or_not_there(trained, tmp_path):
    with np.load(trained.folder / "classifier.npz") as file:
        weights = dict(file)
    description = json.loads((trained.folder / "classifier.json").read_text())
    export_classifier(tmp_path, description, weights)
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == [
        "classifier.json",
        "classifier.npz",
    ]
    assert Classifier.load(tmp_path).digest == description["digest"]


@pytest.mark.parametrize(
    ("setting", "value"), [("learning_rate", 0.0), ("max_steps", 0), ("shift_pixels", -1)]
)
def test_settings_that_cannot_work_are_refused(setting, value):
    from reproducible_ml.models.evaluation.classifier_training import ClassifierSettings

    with pytest.raises(ConfigError, match=f"{setting} must be .*, found"):
        ClassifierSettings(**{setting: value})
