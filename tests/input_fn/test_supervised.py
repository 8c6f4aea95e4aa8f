"""Features and labels of any data: exact from any step, however they are read."""

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import (
    ArrayHandler,
    FloatHandler,
    ImageHandler,
    IntegersHandler,
    LabelHandler,
    TextHandler,
)
from reproducible_ml.input_fn import input_fn, starting_at, supervised_input_fn
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.input_fn import simon
from tests.input_fn.by_hand import write_by_hand

RECORDS = 50
KEYS = ["image", "age", "vector", "words", "text"]


def rows():
    draw = np.random.default_rng(3)
    return [
        {
            "image": draw.integers(0, 256, (4, 5, 1), np.uint8),
            "age": np.float32(n / 4),
            "vector": draw.normal(size=3),
            "words": draw.integers(0, 9, n % 4),
            "text": f"row {n} " + "é" * (n % 3),
            "label": n % 7,
        }
        for n in range(RECORDS)
    ]


HANDLERS = {
    "image": ImageHandler((4, 5, 1)),
    "age": FloatHandler(value_range=(0, 50)),
    "vector": ArrayHandler(),
    "words": IntegersHandler(),
    "text": TextHandler(),
    "label": LabelHandler(7),
}


def write(folder, keys, compression=""):
    """Write some of the features."""
    handlers = {key: HANDLERS[key] for key in (*keys, "label")}
    write_records(
        folder,
        "{}-{:05d}.tfrecord",
        handlers,
        20,
        {"train": RECORDS},
        lambda split: [{key: row[key] for key in handlers} for row in rows()],
        compression=compression,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data sets: all features, a table whose records have one length, a compressed one."""
    folder = tmp_path_factory.mktemp("supervised")
    write(folder / "all", KEYS)
    write(folder / "table", ["age", "vector"])
    write(folder / "packed", KEYS, "GZIP")
    return folder


def values(dataset, count=None):
    taken = dataset if count is None else dataset.take(count)
    return [tf.nest.map_structure(lambda one: one.numpy(), element) for element in taken]


def values_at(fn, start, count):
    """Take elements as an Estimator does that was restored at a step."""
    with tf.Graph().as_default():
        step = tf.compat.v1.train.create_global_step()
        iterator = tf.compat.v1.data.make_initializable_iterator(fn())
        element = iterator.get_next()
        with tf.compat.v1.Session() as session:
            session.run(step.initializer)
            session.run(step.assign(start))
            session.run(iterator.initializer)
            return [session.run(element) for _ in range(count)]


def assert_equal(found, expected):
    tf.nest.assert_same_structure(found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
        np.testing.assert_array_equal(one, other)


def batch_of(picked):
    """Work out what rows become."""
    longest = max(len(row["words"]) for row in picked)
    words = np.full((len(picked), longest), -1, np.int64)
    for line, row in zip(words, picked):
        line[: len(row["words"])] = row["words"]
    features = {
        "image": np.stack([row["image"] for row in picked]).astype(np.float32) / 127.5 - 1,
        "age": np.array([row["age"] for row in picked], np.float32) / 25 - 1,
        "vector": np.stack([row["vector"] for row in picked]),
        "words": words,
        "words_length": np.array([len(row["words"]) for row in picked]),
        "text": np.array([row["text"].encode() for row in picked], object),
    }
    return features, np.array([row["label"] for row in picked])


def test_a_batch_is_the_rows_that_the_order_names(folder):
    fn = supervised_input_fn(folder / "all", KEYS, "label", batch_size=8, seed=5)
    assert (fn.reader, fn.label_key, fn.substeps) == ("memory", "label", None)
    all_rows = rows()
    for step, found in enumerate(values(fn(), 14)):
        drawn = [simon.record_at(p, RECORDS, 5) for p in range(8 * step, 8 * step + 8)]
        expected = batch_of([all_rows[one] for one in drawn])
        assert_equal(found, expected)
        assert {key: one.dtype for key, one in found[0].items()} == {
            key: one.dtype for key, one in expected[0].items()
        }
    spec = fn().element_spec
    assert spec[0]["words"].shape.as_list() == [8, None]
    assert (spec[0]["age"].shape, spec[0]["text"].shape, spec[1].shape) == ((8,), (8,), (8,))


@pytest.mark.parametrize(
    ("data", "keys", "reader"),
    [
        ("all", KEYS, "memory"),
        ("all", KEYS, "stream"),
        ("packed", KEYS, "stream"),
        ("table", ["age", "vector"], "memmap"),
    ],
)
def test_it_is_exact_from_any_step_and_by_any_number_of_workers(folder, data, keys, reader):
    def opened(batch_size=6, **arguments):
        return supervised_input_fn(
            folder / data, keys, "label", batch_size=batch_size, reader=reader, **arguments
        )

    straight = values(opened()(), 20)
    for start in (1, 17):  # Epochs end within steps 8 and 16.
        assert_equal(values_at(opened(), start, 3), straight[start : start + 3])
    with starting_at(9):
        assert_equal(values_at(opened(), 2, 2), straight[9:11])
    halves = [values(opened(3, num_workers=2, worker_index=i)(), 4) for i in range(2)]
    for step, whole in enumerate(straight[:4]):
        labels = np.concatenate([half[step][1] for half in halves])
        np.testing.assert_array_equal(labels, whole[1])
        for key in keys:
            # Each worker pads to the longest of its own batch.
            joined = [
                row[row >= 0] if key == "words" else row for h in halves for row in h[step][0][key]
            ]
            expected = [row[row >= 0] if key == "words" else row for row in whole[0][key]]
            assert all(np.array_equal(*pair) for pair in zip(joined, expected))
    once = values(opened(16, repeat=False, shuffle=False)())
    assert [len(labels) for _, labels in once] == [16, 16, 16, 2]
    vectors = np.concatenate([found["vector"] for found, _ in once])
    np.testing.assert_array_equal(vectors, batch_of(rows())[0]["vector"])
    with starting_at(2):
        assert_equal(values(opened(16, repeat=False, shuffle=False)()), once[2:])


def test_without_a_label_there_are_features_alone(folder):
    (found,) = values(
        supervised_input_fn(folder / "all", ["text"], batch_size=2, shuffle=False)(), 1
    )
    assert_equal(found, {"text": np.array([b"row 0 ", "row 1 é".encode()], object)})


def test_labels_may_be_of_any_kind(folder):
    def labels(key):
        fn = supervised_input_fn(folder / "all", ["age"], key, batch_size=4, shuffle=False)
        return values(fn(), 1)[0]

    assert labels("text")[1].tolist() == batch_of(rows()[:4])[0]["text"].tolist()
    assert labels("vector")[1].shape == (4, 3)
    features, words = labels("words")
    assert set(features) == {"age", "words_length"}
    assert words.shape == (4, 3)


def test_text_is_not_counted_as_nothing_and_ragged_data_is_not_mapped(folder):
    def open_text(budget, data):
        fn = supervised_input_fn(folder / data, ["text"], memory_budget_bytes=budget)
        return fn.reader

    size = sum(path.stat().st_size for path in (folder / "all").glob("*.tfrecord"))
    assert (open_text(size, "all"), open_text(size - 1, "all")) == ("memory", "stream")
    packed = sum(path.stat().st_size for path in (folder / "packed").glob("*.tfrecord"))
    assert (open_text(4 * packed, "packed"), open_text(4 * packed - 1, "packed")) == (
        "memory",
        "stream",
    )
    with pytest.raises(ConfigError, match="the length of its feature 'words' varies"):
        supervised_input_fn(folder / "all", ["words"], reader="memmap")


@pytest.mark.parametrize(
    ("keys", "arguments", "kind", "message"),
    [
        ("age", {}, ConfigError, "feature_keys is 'age', expected a list"),
        ([], {}, ConfigError, "expected a list"),
        (["size"], {}, DataError, "no feature 'size'"),
        (["age"], {"augment": ["flip"]}, ConfigError, r"feature_keys is \['age'\]; name the"),
        (["vector"], {"augment": ["flip"], "image_key": "vector"}, DataError, "2 or 3 dimensions"),
        (["age"], {"batch_size": 0}, ConfigError, "batch_size is 0"),
    ],
)
def test_what_cannot_work_is_refused(folder, keys, arguments, kind, message):
    with pytest.raises(kind, match=message):
        supervised_input_fn(folder / "all", keys, "label", **arguments)


# --- augment


def brighter(image, seed):
    return tf.image.stateless_random_brightness(image, 0.5, seed)


def cropped(image, seed):
    return tf.image.stateless_random_crop(image, [3, 3, 1], seed)


def test_a_function_of_ones_own_is_drawn_for_seed_and_position_alone(folder):
    def read(augment=(brighter, "flip", cropped), start=0, count=3, **arguments):
        fn = supervised_input_fn(
            folder / "all", ["image"], "label", augment=list(augment), **arguments
        )
        found = values(fn(), count) if not start else values_at(fn, start, count)
        return np.array([features["image"] for features, _ in found])

    whole = read(batch_size=8, count=10)
    assert whole.shape == (10, 8, 3, 3, 1)
    np.testing.assert_array_equal(read(batch_size=8, start=7), whole[7:10])
    np.testing.assert_array_equal(read(batch_size=4, count=20).reshape(whole.shape), whole)
    halves = [read(batch_size=4, num_workers=2, worker_index=i) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole[:3])
    assert not np.array_equal(read(batch_size=8, seed=1), whole[:3])
    # The same function twice draws twice, and each image has a draw of its own.
    plain, once = read([], batch_size=8), read([brighter], batch_size=8)
    moved = (once - plain).reshape(24, -1)
    np.testing.assert_allclose(moved, moved[:, :1].repeat(20, 1), atol=1e-6)
    assert len(set(moved[:, 0].tolist())) == 24
    twice = (read([brighter, brighter], batch_size=8) - once).reshape(24, -1)
    assert not np.allclose(twice[:, 0], moved[:, 0])


def test_both_input_functions_draw_the_same(tmp_path):
    write_by_hand(tmp_path, {"train": 40}, per_shard=9)
    seeds = []

    def watched(image, seed):
        seeds.append(seed)
        return brighter(image, seed)

    of_gan = input_fn(tmp_path, batch_size=4, critic_steps=2, augment=watched, seed=3)
    images = np.concatenate([images for _, images in values(of_gan(), 3)])
    assert {(tuple(seed.shape), seed.dtype) for seed in seeds} == {((2,), tf.int32)}
    plain = supervised_input_fn(tmp_path, ["image"], batch_size=4, augment=brighter, seed=3)
    np.testing.assert_array_equal([one["image"] for one in values(plain(), 6)], images)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda image, seed: image + tf.random.uniform([]), "draws with RandomUniform, whose"),
        (lambda image, seed: tf.image.random_crop(image, [2, 2, 1]), "draws with Random"),
        (lambda image, seed: None, "returns None, expected one float32 image"),
        (lambda image, seed: tf.cast(image, tf.uint8), "expected one float32 image"),
        (lambda image, seed: image[0], "of shape"),
    ],
)
def test_a_function_that_could_not_repeat_or_gives_no_image_is_refused(folder, function, message):
    with pytest.raises(ConfigError, match=f"augment: <lambda> .*{message}"):
        supervised_input_fn(folder / "all", ["image"], augment=function)
