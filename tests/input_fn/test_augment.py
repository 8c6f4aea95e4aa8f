"""Augmentation is drawn for each position and changes nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn import input_fn
from reproducible_ml.input_fn.augment import augment_images
from reproducible_ml.utils.errors import ConfigError
from tests.input_fn.by_hand import write_by_hand

IMAGES = np.random.default_rng(1).uniform(-1, 1, (400, 6, 7, 2)).astype(np.float32)
POSITIONS = np.arange(400, dtype=np.int64)


def augmented(changes, positions=POSITIONS, seed=0):
    images = tf.constant(IMAGES[: len(positions)])
    return augment_images(images, tf.constant(positions), seed, changes).numpy()


def test_a_flip_mirrors_about_half_of_the_samples():
    found = augmented(["flip"])
    mirrored = (found == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (found == IMAGES).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_a_shift_moves_each_sample_by_every_offset():
    found = augmented([("shift", 1)])
    padded = np.pad(IMAGES, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-1)
    moves = np.zeros(9, int)
    for i, image in enumerate(found):
        matches = [
            (image == padded[i, y : y + 6, x : x + 7]).all() for y in range(3) for x in range(3)
        ]
        assert sum(matches) == 1
        moves += matches
    assert moves.min() > 20


def test_a_crop_cuts_a_window_out():
    found = augmented([("crop", (3, 4))])
    assert found.shape == (400, 3, 4, 2)
    for i, image in enumerate(found):
        assert any(
            (image == IMAGES[i, y : y + 3, x : x + 4]).all() for y in range(4) for x in range(4)
        )


def test_noise_has_its_deviation_and_stays_in_range():
    added = augmented([("noise", 0.1)]) - IMAGES
    inner = added[np.abs(IMAGES) < 0.5]
    assert abs(inner.std() - 0.1) < 0.01
    assert np.abs(augmented([("noise", 2.0)])).max() <= 1


@pytest.mark.parametrize("change", ["flip", ("shift", 2), ("crop", (4, 4)), ("noise", 0.1)])
def test_a_sample_depends_on_seed_and_position_alone(change):
    found = augmented([change])
    np.testing.assert_array_equal(found[:10], augmented([change], POSITIONS[:10]))
    assert not np.array_equal(found, augmented([change], POSITIONS + 400))
    assert not np.array_equal(found, augmented([change], seed=1))


def test_the_same_change_twice_draws_twice():
    assert not np.array_equal(augmented(["flip", "flip"]), IMAGES)


def test_readers_and_workers_change_no_augmentation(tmp_path):
    write_by_hand(tmp_path, {"train": 40}, per_shard=9)
    changes = ["flip", ("shift", 1), ("noise", 0.1)]

    def read(**arguments):
        dataset = input_fn(tmp_path, augment=changes, **arguments)().take(3)
        return [images.numpy() for _, images in dataset]

    whole = read(batch_size=8)
    np.testing.assert_array_equal(whole, read(batch_size=8, reader="memmap"))
    halves = [read(batch_size=4, num_workers=2, worker_index=i) for i in range(2)]
    np.testing.assert_array_equal(whole, np.concatenate(halves, axis=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("turn", "augment has 'turn'"),
        (3, "augment has 3"),
        (("flip",), r"augment has \('flip',\)"),
        ((), r"augment has \(\)"),
        (("shift", 1, 2), "augment has"),
        (([], 1), "augment has"),
        (("shift", 1.5), "shift takes a number of pixels"),
        (("shift", True), "shift takes a number of pixels"),
        ("crop", "crop takes"),
        (("crop", 3), "crop takes"),
        (("crop", (3,)), "crop takes"),
        (("crop", ("3", "4")), "crop takes"),
        (("noise", "much"), "noise takes"),
        (("noise", float("nan")), "noise takes"),
        (("flip", 1), "flip takes no argument"),
        ("shift", "shift takes a number of pixels"),
        (("crop", (9, 3)), "crop takes"),
        (("noise", -1), "noise takes"),
    ],
)
def test_a_change_that_cannot_work_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        augmented([change])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["turn"], "augment has 'turn'"),
        ("flip", "augment is 'flip', expected a list"),
        (3, "augment is 3, expected a list"),
        ([("crop", (5, 5))], r"crop takes \(height, width\) within \(4, 5\)"),
        # What an earlier crop left is what a later one may cut from.
        ([("crop", (3, 4)), "flip", ("crop", (4, 4))], r"within \(3, 4\)"),
    ],
)
def test_a_wrong_change_is_refused_before_anything_is_built(tmp_path, changes, message):
    write_by_hand(tmp_path, {"train": 4})
    with pytest.raises(ConfigError, match=message):
        input_fn(tmp_path, augment=changes)
