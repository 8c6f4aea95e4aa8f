"""The input function: what an element is, and that it depends on seed and step alone."""

import time

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.input_fn import input_fn, latents
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.input_fn import simon
from tests.input_fn.by_hand import (
    FEATURES,
    SIZE,
    bytes_list,
    digit_records,
    example,
    images_of,
    write_by_hand,
)

RECORDS = 50
READERS = ["memory", "memmap", "stream"]


@pytest.fixture(scope="module")
def record_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    write_by_hand(folder, {"train": RECORDS, "test": 10}, per_shard=20)
    return folder


def scaled(images):
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def elements(fn, count):
    """Take elements eagerly, starting at step 0."""
    return [tf.nest.map_structure(lambda t: t.numpy(), element) for element in fn().take(count)]


def elements_in_graph(fn, start, count, graph_seed=0):
    """Take elements as an Estimator does that was restored at a step."""
    with tf.Graph().as_default() as graph:
        tf.compat.v1.set_random_seed(graph_seed)
        global_step = tf.compat.v1.train.create_global_step()
        iterator = tf.compat.v1.data.make_initializable_iterator(fn())
        element = iterator.get_next()
        with tf.compat.v1.Session() as session:
            session.run(global_step.initializer)
            session.run(global_step.assign(start))
            session.run(iterator.initializer)
            taken = [session.run(element) for _ in range(count)]
    return taken, graph


def assert_equal(found, expected):
    tf.nest.assert_same_structure(found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
        np.testing.assert_array_equal(one, other)


def expected_images(step, batch_size, critic_steps=1, seed=0):
    """Work out a step's images from the formula of the data order."""
    first = step * critic_steps * batch_size
    images = scaled(images_of(RECORDS))
    drawn = [
        simon.record_at(p, RECORDS, seed) for p in range(first, first + critic_steps * batch_size)
    ]
    return images[drawn].reshape(critic_steps, batch_size, *SIZE)


@pytest.mark.parametrize("reader", ["memory", "memmap"])
def test_a_batch_is_the_formula(record_dir, reader):
    for step, (noise, images) in enumerate(elements(input_fn(record_dir, reader=reader), 4)):
        np.testing.assert_array_equal(images, expected_images(step, 32)[0])
        np.testing.assert_array_equal(noise, latents(0, step, 0, 32, 64).numpy())


@pytest.mark.parametrize("reader", READERS)
def test_an_element_is_what_a_step_needs(record_dir, reader):
    fn = input_fn(
        record_dir, critic_steps=3, batch_size=8, noise_dims=5, label_key="label", reader=reader
    )
    assert (fn.critic_steps, fn.batch_size, fn.noise_dims, fn.seed) == (3, 8, 5, 0)
    assert fn.reader == reader
    spec = fn().element_spec
    assert spec[0]["latents"].shape == (4, 8, 5)
    assert spec[0]["labels"].shape == (3, 8)
    assert spec[1].shape == (3, 8, *SIZE)
    for step, (features, images) in enumerate(elements(fn, 3)):
        expected = [latents(0, step, substep, 8, 5).numpy() for substep in range(4)]
        np.testing.assert_array_equal(features["latents"], np.stack(expected))
        assert features["labels"].dtype == np.int32
        numbers = np.rint((images[..., 0, 0:2, 0] + 1) * 127.5) @ [256, 1]
        np.testing.assert_array_equal(features["labels"], numbers % 10)
        if reader != "stream":
            np.testing.assert_array_equal(images, expected_images(step, 8, critic_steps=3))


@pytest.mark.parametrize("reader", READERS)
def test_a_restored_graph_starts_at_its_step(record_dir, reader):
    fn = input_fn(record_dir, critic_steps=2, batch_size=8, seed=4, reader=reader)
    straight, _ = elements_in_graph(fn, 0, 25)
    for start in (1, 3, 7, 20):  # Epochs end within steps 3, 6, 9 and so on.
        resumed, _ = elements_in_graph(fn, start, 5, graph_seed=start)
        assert_equal(resumed, straight[start : start + 5])
    assert_equal(elements(fn, 10), straight[:10])


@pytest.mark.parametrize("reader", READERS)
def test_step_ten_million_is_reached_at_once(record_dir, reader):
    fn = input_fn(record_dir, critic_steps=5, batch_size=32, reader=reader)
    elements_in_graph(fn, 0, 1)
    begun = time.perf_counter()
    [(noise, images)], _ = elements_in_graph(fn, 10_000_000, 1)
    # Reading up to there would take hours; a busy machine takes seconds for the graph alone.
    assert time.perf_counter() - begun < 60
    np.testing.assert_array_equal(noise[2], latents(0, 10_000_000, 2, 32, 64).numpy())
    if reader != "stream":
        np.testing.assert_array_equal(images, expected_images(10_000_000, 32, critic_steps=5))


@pytest.mark.parametrize("reader", READERS)
def test_the_graph_holds_no_data(record_dir, reader):
    _, graph = elements_in_graph(input_fn(record_dir, reader=reader), 0, 1)
    serialized = graph.as_graph_def().SerializeToString()
    assert images_of(RECORDS)[0].tobytes() not in serialized
    functions = {node.op for f in graph.as_graph_def().library.function for node in f.node_def}
    assert ("PyFunc" in functions or "PyFuncStateless" in functions) == (reader == "memmap")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_the_batches_of_one(record_dir, reader, workers):
    shared = [
        elements(
            input_fn(record_dir, batch_size=4, num_workers=workers, worker_index=i, reader=reader),
            9,
        )
        for i in range(workers)
    ]
    whole = elements(input_fn(record_dir, batch_size=4 * workers, reader=reader), 9)
    for step in range(9):
        joined = np.concatenate([shared[i][step][1] for i in range(workers)])
        np.testing.assert_array_equal(joined, whole[step][1])
        assert len({shared[i][step][0].tobytes() for i in range(workers)}) == workers


@pytest.mark.parametrize("reader", READERS)
def test_workers_together_read_each_record_of_a_pass_once(record_dir, reader):
    read = []
    for i in range(3):
        fn = input_fn(
            record_dir, batch_size=4, num_workers=3, worker_index=i, repeat=False, reader=reader
        )
        read += [image.tobytes() for _, images in elements(fn, RECORDS) for image in images]
    assert sorted(read) == sorted(image.tobytes() for image in scaled(images_of(RECORDS)))


@pytest.mark.parametrize("reader", READERS)
def test_replicas_of_one_process_take_turns(record_dir, reader):
    fn = input_fn(record_dir, batch_size=4, critic_steps=2, reader=reader)
    context = tf.distribute.InputContext(1, 0, num_replicas_in_sync=2)
    turns = [tf.nest.map_structure(lambda t: t.numpy(), e) for e in fn(context).take(6)]
    for number, (noise, images) in enumerate(turns):
        one = input_fn(
            record_dir,
            batch_size=4,
            critic_steps=2,
            num_workers=2,
            worker_index=number % 2,
            reader=reader,
        )
        assert_equal((noise, images), elements(one, 3)[number // 2])


def test_pipelines_whose_replicas_are_not_in_sync_share_the_data(record_dir):
    """Parameter servers: a pipeline for each worker, and one replica in sync."""
    fn = input_fn(record_dir, batch_size=4)
    contexts = [tf.distribute.InputContext(3, i, num_replicas_in_sync=1) for i in range(3)]
    shared = [[images.numpy() for _, images in fn(one).take(6)] for one in contexts]
    for step in range(6):
        joined = np.concatenate([shared[i][step] for i in range(3)])
        np.testing.assert_array_equal(joined, expected_images(step, 12)[0])


@pytest.mark.parametrize("reader", READERS)
def test_pipelines_of_a_strategy_read_each_record_of_a_pass_once(record_dir, reader):
    fn = input_fn(record_dir, batch_size=4, repeat=False, reader=reader)
    read = []
    for i in range(2):
        context = tf.distribute.InputContext(2, i, num_replicas_in_sync=4)
        read += [image.tobytes() for _, images in fn(context) for image in images.numpy()]
    assert sorted(read) == sorted(image.tobytes() for image in scaled(images_of(RECORDS)))


def test_replicas_that_do_not_divide_among_the_pipelines_are_refused(record_dir):
    fn = input_fn(record_dir, batch_size=4)
    with pytest.raises(ConfigError, match="3 replicas in sync on 2 input pipelines"):
        fn(tf.distribute.InputContext(2, 0, num_replicas_in_sync=3))


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": RECORDS + 1, "critic_steps": 1},
        {"batch_size": 20, "critic_steps": 3},
        {"batch_size": RECORDS, "num_workers": 2, "worker_index": 1},
    ],
)
def test_a_pass_that_would_hold_nothing_is_refused(record_dir, arguments):
    with pytest.raises(ConfigError, match="repeat is False, but the 50 records of split 'train'"):
        input_fn(record_dir, repeat=False, **arguments)


def test_a_pass_that_would_hold_nothing_for_a_replica_is_refused(record_dir):
    fn = input_fn(record_dir, batch_size=30, critic_steps=1, repeat=False)
    with pytest.raises(ConfigError, match="worker 1 of 2 nothing to read"):
        fn(tf.distribute.InputContext(2, 1, num_replicas_in_sync=2))


@pytest.mark.parametrize("reader", READERS)
def test_a_single_pass_reads_every_record_once_and_ends(record_dir, reader):
    fn = input_fn(record_dir, batch_size=16, repeat=False, shuffle=False, reader=reader)
    batches = elements(fn, 100)
    assert [len(images) for _, images in batches] == [16, 16, 16, 2]
    assert [len(noise) for noise, _ in batches] == [16, 16, 16, 2]
    read = np.concatenate([images for _, images in batches])
    np.testing.assert_array_equal(read, scaled(images_of(RECORDS)))


@pytest.mark.parametrize("reader", READERS)
def test_a_single_pass_in_steps_leaves_out_what_fills_no_step(record_dir, reader):
    fn = input_fn(record_dir, batch_size=8, critic_steps=2, repeat=False, reader=reader)
    assert len(elements(fn, 100)) == RECORDS // 16


@pytest.mark.parametrize("reader", READERS)
def test_a_single_pass_starts_at_its_beginning_whatever_the_step(record_dir, reader):
    fn = input_fn(record_dir, batch_size=16, repeat=False, reader=reader)
    taken, _ = elements_in_graph(fn, 1000, 4)
    assert_equal(taken, elements(fn, 4))


def test_all_readers_read_an_epoch_of_all_records(record_dir):
    for reader in READERS:
        fn = input_fn(record_dir, batch_size=RECORDS, reader=reader)
        epochs = [images for _, images in elements(fn, 2)]
        everything = sorted(image.tobytes() for image in scaled(images_of(RECORDS)))
        for epoch in epochs:
            assert sorted(image.tobytes() for image in epoch) == everything
        assert not np.array_equal(*epochs)


def test_sharding_and_compression_change_no_batch(record_dir, tmp_path):
    expected = elements(input_fn(record_dir, critic_steps=2, label_key="label"), 3)
    for number, compression in enumerate(["", "GZIP", "ZLIB"]):
        write_by_hand(tmp_path / str(number), {"train": RECORDS}, None, compression, 7)
        fn = input_fn(tmp_path / str(number), critic_steps=2, label_key="label")
        assert_equal(elements(fn, 3), expected)


def test_an_estimator_takes_the_function(record_dir, tmp_path):
    seen = []

    def model_fn(features, labels, mode):
        step = tf.compat.v1.train.get_or_create_global_step()
        recorded = tf.numpy_function(
            lambda *values: seen.append(values) or np.float32(0),
            [step, features, labels],
            tf.float32,
        )
        with tf.control_dependencies([recorded]):
            train = tf.compat.v1.assign_add(step, 1)
        return tf.estimator.EstimatorSpec(mode, loss=recorded, train_op=train)

    fn = input_fn(record_dir, critic_steps=2, batch_size=4, seed=2)
    for max_steps in (3, 7):  # The second call restores the first one's checkpoint.
        estimator = tf.estimator.Estimator(model_fn, str(tmp_path / "model"))
        estimator.train(fn, max_steps=max_steps)
    expected = elements(fn, 7)
    assert [step for step, _, _ in seen] == list(range(7))
    assert_equal([(noise, images) for _, noise, images in seen], expected)


def test_the_choice_of_a_reader_follows_size_and_form(record_dir, tmp_path):
    assert input_fn(record_dir).reader == "memory"
    needed = RECORDS * int(np.prod(SIZE))
    assert input_fn(record_dir, memory_budget_bytes=needed).reader == "memory"
    assert input_fn(record_dir, memory_budget_bytes=needed - 1).reader == "memmap"
    write_by_hand(tmp_path, {"train": RECORDS}, compression="GZIP")
    assert input_fn(tmp_path, memory_budget_bytes=needed - 1).reader == "stream"
    with pytest.raises(ConfigError, match="compressed with GZIP"):
        input_fn(tmp_path, reader="memmap")


def test_records_of_different_length_are_not_mapped(tmp_path):
    features = {
        "image": FEATURES["image"],
        "text": FEATURES["label"].__class__("bytes", "string", (), "utf8"),
    }
    rows = [
        example({"image": bytes_list(image.tobytes()), "text": bytes_list(b"x" * i)})
        for i, image in enumerate(images_of(9))
    ]
    write_by_hand(tmp_path, {"train": rows}, features)
    with pytest.raises(ConfigError, match="differ in length"):
        input_fn(tmp_path, reader="memmap")
    fn = input_fn(tmp_path, reader="auto", memory_budget_bytes=0, batch_size=9, shuffle=False)
    assert fn.reader == "stream"
    np.testing.assert_array_equal(elements(fn, 1)[0][1], scaled(images_of(9)))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "8"}, "batch_size is '8', expected an integer"),
        ({"batch_size": 2.5}, "batch_size is 2.5, expected an integer"),
        ({"batch_size": True}, "batch_size is True, expected an integer"),
        ({"critic_steps": 1.0}, "critic_steps is 1.0"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"num_workers": "2"}, "num_workers is '2'"),
        ({"memory_budget_bytes": -1}, "memory_budget_bytes is -1"),
        ({"noise_dims": 0}, "noise_dims is 0"),
        ({"critic_steps": 0}, "critic_steps is 0"),
        ({"num_workers": 2, "worker_index": 2}, "worker_index is 2"),
        ({"num_workers": 0}, "num_workers is 0"),
        ({"split": "training"}, "no split 'training'; it has train, test"),
        ({"reader": "fast"}, "reader is 'fast'"),
        ({"check": "maybe"}, "check is 'maybe'"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(record_dir, argument, message):
    with pytest.raises(ConfigError, match=message):
        input_fn(record_dir, **argument)


def test_a_feature_that_the_records_lack_is_named(record_dir):
    with pytest.raises(DataError, match="no feature 'picture'; its features are image, label"):
        input_fn(record_dir, image_key="picture")
    with pytest.raises(DataError, match="a label is one integer"):
        input_fn(record_dir, label_key="image")
    with pytest.raises(DataError, match="an image has 2 or 3 dimensions"):
        input_fn(record_dir, image_key="label")


def test_images_without_channels_get_one(tmp_path):
    flat = FEATURES["image"].__class__("bytes", "uint8", SIZE[:2], "raw", "", (0.0, 255.0))
    write_by_hand(tmp_path, {"train": digit_records(6)}, {"image": flat})
    assert input_fn(tmp_path, batch_size=2)().element_spec[1].shape == (2, *SIZE)
