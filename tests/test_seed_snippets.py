"""The snippets of the project's first description, run as it gives them.

Each ``Changed:`` says where a snippet had to change and why: an API that no longer exists, or a
name that the snippet uses and never defines. All else, names and order included, is the text's own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

# Changed: `layers` was tf.contrib.layers, which ended with TensorFlow 1; tf-slim is its successor.
import tf_slim as layers

from reproducible_ml import input_fn as library_input
from reproducible_ml import models, utils
from reproducible_ml.datasets.serialize import (
    div_mod,
    get_writer,
    read_manifest,
    serialize_npz,
    write_samples,
)
from reproducible_ml.datasets.serialize import write_records as library_write_records
from reproducible_ml.handlers import FeatureHandler
from reproducible_ml.input_fn import dataset_from_records, map_fn, shuffle_repeat_prefetch

# Changed: not `import tensorflow_gan as tfgan`, because TF-GAN 2.1 calls inspect.getargspec, which
# Python 3.11 removed; this is the same module with that one name put back.
from reproducible_ml.models import tfgan
from reproducible_ml.utils.paths import mkdir_and_join

ROOT = Path(__file__).parents[1]
PATTERN = "{}-{:05d}.tfrecord"
SIZES = {"train": 5, "eval": 2, "test": 3}


# --- Handlers -------------------------------------------------------------------------------------


class TestHandler(FeatureHandler):
    """Handler to rescale images from [91,91] to [128,128]."""

    __test__ = False  # Changed: added, for pytest takes a class of this name for a test.

    def __init__(self, img_folder, img_shape, img_dtype):
        super(TestHandler, self).__init__(delegate_to=None, shape=[])  # noqa: UP008
        self.img_folder = img_folder
        self.img_shape = img_shape
        self.img_dtype = getattr(np, img_dtype)

    def handle(self, row, key):
        # Changed: the snippet never says what img_path is; the row is taken for the file's name.
        img_path = os.path.join(self.img_folder, row)
        img = np.load(img_path)
        if self.img_shape != list(img.shape):
            # Changed: scipy.misc.imresize was removed in SciPy 1.3; this is bilinear, too.
            factors = np.divide(self.img_shape, img.shape)
            img = scipy.ndimage.zoom(img, factors, order=1, mode="nearest", grid_mode=True)
        img_feature = {}
        # Changed: ndarray.tostring is deprecated in favour of its other name, tobytes.
        img_feature[key] = utils.bytes_feature(img.tobytes())
        return img_feature


@pytest.fixture
def img_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (f"{split}{n}" for split, size in SIZES.items() for n in range(size)):
        rows, columns = np.mgrid[0:91, 0:91]
        shade = sum(name.encode()) % 100
        np.save(folder / f"{name}.npy", (rows + columns // 2 + shade).astype(np.uint8))
    return folder


def rows_gen(split):
    for n in range(SIZES[split]):
        yield f"{split}{n}.npy"


def resized(path):
    """Resize by the definition: linear interpolation between pixel centres, edges repeated."""
    image = np.load(path).astype(np.float64)
    centres = np.clip((np.arange(128) + 0.5) * 91 / 128 - 0.5, 0, 90)
    low = np.minimum(centres.astype(int), 89)
    part = centres - low
    image = image[low] * (1 - part)[:, None] + image[low + 1] * part[:, None]
    return image[:, low] * (1 - part) + image[:, low + 1] * part


def stored(paths):
    return [
        tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
        for record in tf.data.TFRecordDataset([str(path) for path in paths]).as_numpy_iterator()
    ]


def test_the_handler_rescales_91x91_npy_images_to_128x128(img_folder):
    handler = TestHandler(str(img_folder), [128, 128], "uint8")
    features = handler.handle("train0.npy", "image")
    assert list(features) == ["image"]
    (content,) = features["image"].bytes_list.value
    image = np.frombuffer(content, np.uint8).reshape(128, 128)
    assert np.abs(image - resized(img_folder / "train0.npy")).max() <= 1


def test_the_handler_leaves_images_of_the_wanted_shape_alone(img_folder):
    features = TestHandler(str(img_folder), [91, 91], "uint8").handle("train0.npy", "image")
    assert features["image"].bytes_list.value[0] == np.load(img_folder / "train0.npy").tobytes()


# --- Conversion -----------------------------------------------------------------------------------


def write_records(
    record_dir, record_pattern, keys_to_handlers, samples_per_record, split_to_size, rows_gen
):
    record_pattern = mkdir_and_join(record_dir, record_pattern)
    for split in ["train", "eval", "test"]:
        rgen = rows_gen(split)
        n_records, n_samples_left = div_mod(split_to_size[split], samples_per_record)
        for idx in range(n_records):
            writer, record_path = get_writer(record_pattern, split, idx)  # noqa: RUF059
            write_samples(samples_per_record, rgen, keys_to_handlers, writer)
        if n_samples_left > 0:
            writer, _ = get_writer(record_pattern, split, n_records)
            write_samples(n_samples_left, rgen, keys_to_handlers, writer)


@pytest.mark.parametrize("function", [write_records, library_write_records])
def test_write_records_gives_full_shards_and_one_with_the_rest(function, img_folder, tmp_path):
    handlers = {"image": TestHandler(str(img_folder), [128, 128], "uint8")}
    function(str(tmp_path / "records"), PATTERN, handlers, 2, SIZES, rows_gen)
    shards = sorted((tmp_path / "records").glob("*.tfrecord"))
    found = {path.name: len(stored([path])) for path in shards}
    assert found == {
        "eval-00000.tfrecord": 2,
        "test-00000.tfrecord": 2,
        "test-00001.tfrecord": 1,
        "train-00000.tfrecord": 2,
        "train-00001.tfrecord": 2,
        "train-00002.tfrecord": 1,
    }
    for split in SIZES:
        images = stored(sorted((tmp_path / "records").glob(f"{split}-*.tfrecord")))
        for image, name in zip(images, rows_gen(split)):
            difference = np.frombuffer(image, np.uint8) - resized(img_folder / name).ravel()
            assert np.abs(difference).max() <= 1


def test_the_template_and_the_library_write_the_same_bytes(img_folder, tmp_path):
    handlers = {"image": TestHandler(str(img_folder), [128, 128], "uint8")}
    write_records(tmp_path / "template", PATTERN, handlers, 2, SIZES, rows_gen)
    library_write_records(tmp_path / "library", PATTERN, handlers, 2, SIZES, rows_gen)
    for path in (tmp_path / "template").iterdir():
        assert path.read_bytes() == (tmp_path / "library" / path.name).read_bytes()


# --- Serialization --------------------------------------------------------------------------------


def config(npz_file):
    img_shape = [128, 128]
    img_dtype = "uint8"
    keys_to_descriptions = {"image": "Digit Image"}
    # Changed: TestHandler() lacks the three arguments that its own __init__ asks for.
    keys_to_handlers = {"image": TestHandler(os.path.dirname(npz_file), img_shape, img_dtype)}
    # Changed: a Sacred config function returns nothing; here the values are wanted.
    return keys_to_descriptions, keys_to_handlers


def serialize(npz_file, key):
    serialize_npz(npz_file=npz_file, key=key)


def test_serialize_npz_writes_an_array_of_a_file(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (7, 28, 28), np.uint8)
    np.savez(tmp_path / "digits.npz", image=images)
    serialize("digits.npz", "image")
    assert stored(sorted(Path("data/npz").glob("train-*.tfrecord"))) == [
        i.tobytes() for i in images
    ]


def test_the_configured_handlers_and_descriptions_serialize_and_stand_in_the_manifest(img_folder):
    descriptions, handlers = config(str(img_folder / "x.npz"))
    library_write_records(
        "records", PATTERN, handlers, 2, SIZES, rows_gen, keys_to_descriptions=descriptions
    )
    image = read_manifest("records").features["image"]
    assert image.description == "Digit Image"
    assert (image.kind, image.dtype, image.shape) == ("bytes", "uint8", (128 * 128,))


# --- Data input pipeline --------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path):
    """Serialize 12 digits where the library's input_fn looks by default."""
    images = np.random.default_rng(2).integers(0, 256, (12, 28, 28, 1), np.uint8)
    np.savez(tmp_path / "digits.npz", image=images)
    serialize_npz("digits.npz", "image", "data/digits", samples_per_record=5)
    return images


batch_size = 4


def input_fn():
    def fn():
        # Changed: the path.
        dataset = dataset_from_records("data/digits/train-*.tfrecord")
        # Changed: left out `tf.data.TFRecordDataset(tf.data.TFRecordDataset)`, which gives a class
        # to itself; what dataset_from_records returns are the records already.
        dataset = dataset.map(map_func=map_fn())
        dataset = dataset.batch(batch_size)
        dataset = shuffle_repeat_prefetch(dataset)
        return dataset

    return fn


def test_the_input_function_gives_every_image_once_an_epoch(dataset):
    batches = list(input_fn()().take(3).as_numpy_iterator())
    assert [batch.shape for batch in batches] == [(4, 28, 28, 1)] * 3
    found = np.concatenate(batches)
    assert found.dtype == np.float32
    wanted = dataset.astype(np.float64) / 127.5 - 1
    order = [np.abs(wanted - image).max(axis=(1, 2, 3)).argmin() for image in found]
    assert sorted(order) == list(range(12))
    np.testing.assert_allclose(found, wanted[order], atol=1e-6)


# --- The core of machine learning -----------------------------------------------------------------


def generator_fn(gan_type):
    def generator(noise):
        with tf.name_scope("critic") as scope:  # noqa: F841
            layer = layers.fully_connected(noise, 1024)
            layer = layers.fully_connected(layer, 7 * 7 * 256)
            layer = tf.reshape(layer, [-1, 7, 7, 256])
            layer = layers.conv2d_transpose(layer, 64, [4, 4], stride=2)  # 14x14
            layer = layers.conv2d_transpose(layer, 32, [4, 4], stride=2)  # 28x28
            layer = layers.conv2d(
                layer, 1, [4, 4], stride=1, activation_fn=tf.tanh, normalizer_fn=None
            )
            return layer

    return generator


def critic_fn(gan_type):
    # Changed: TF-GAN calls it with a second argument, the latents, since tf.contrib.gan ended.
    def critic(images, conditioning=None):
        with tf.name_scope("critic") as scope:  # noqa: F841
            layer = layers.conv2d(images, 64, [4, 4], stride=2)  # 14x14
            layer = layers.conv2d(layer, 128, [4, 4], stride=2)  # 7x7
            layer = layers.conv2d(layer, 1, [4, 4], stride=2)  # 7x7
            return tf.reduce_mean(layer)

    return critic


def with_latents(fn):
    """Put latents before the images, which the snippet's input function leaves to the reader."""

    def both():
        draw = tf.random.stateless_normal
        return (
            fn()
            .enumerate()
            .map(
                lambda step, images: (draw([batch_size, 64], [1, tf.cast(step, tf.int32)]), images)
            )
        )

    return both


@pytest.mark.parametrize("networks", ["snippet", "library"])
def test_generator_and_critic_have_the_shapes_of_the_text(networks):
    make_generator, make_critic = (
        (generator_fn, critic_fn)
        if networks == "snippet"
        else (models.generator_fn, models.critic_fn)
    )
    with tf.Graph().as_default():
        with tf.compat.v1.variable_scope("Generator"):
            images = make_generator("wgan")(tf.zeros([4, 64]))
        with tf.compat.v1.variable_scope("Critic"):
            scores = make_critic("wgan")(images)
        assert images.shape == (4, 28, 28, 1)
        # The snippet averages over the batch; the library keeps a score for each sample.
        assert scores.shape == (() if networks == "snippet" else (4,))
        kernels = {
            name: [
                v.shape.as_list() for v in tf.compat.v1.global_variables(name) if v.shape.ndims > 1
            ]
            for name in ("Generator", "Critic")
        }
    assert kernels == {
        "Generator": [[64, 1024], [1024, 12544], [4, 4, 64, 256], [4, 4, 32, 64], [4, 4, 32, 1]],
        "Critic": [[4, 4, 1, 64], [4, 4, 64, 128], [4, 4, 128, 1]],
    }


def main(model_dir, generator_fn, critic_fn, input_fn, gan_type="wgan", gen_lr=5e-5, crit_lr=5e-5):
    # Changed: RunConfig takes the folder as a text.
    config = tf.estimator.RunConfig(model_dir=str(model_dir))
    gan_estimator = tfgan.estimator.GANEstimator(
        generator_fn=generator_fn(gan_type),
        discriminator_fn=critic_fn(gan_type),
        generator_loss_fn=tfgan.losses.wasserstein_generator_loss,
        discriminator_loss_fn=tfgan.losses.wasserstein_discriminator_loss,
        # Changed (both): tf.train.RMSPropOptimizer stands in tf.compat.v1 since TensorFlow 2.
        generator_optimizer=tf.compat.v1.train.RMSPropOptimizer(gen_lr),
        discriminator_optimizer=tf.compat.v1.train.RMSPropOptimizer(crit_lr),
        config=config,
    )
    # Changed: two steps; the data repeats without end.
    gan_estimator.train(input_fn(), max_steps=2)
    return gan_estimator


def check_trained(estimator):
    assert estimator.get_variable_value("global_step") == 2
    weights = [estimator.get_variable_value(name) for name in estimator.get_variable_names()]
    assert all(np.isfinite(values).all() for values in weights)


@pytest.mark.filterwarnings("ignore::UserWarning")  # each layer of tf-slim says it is deprecated
def test_main_trains_the_snippets_own_networks(dataset, tmp_path):
    check_trained(
        main(tmp_path / "model", generator_fn, critic_fn, lambda: with_latents(input_fn()))
    )


def test_main_trains_the_librarys_networks_on_the_librarys_input(dataset, tmp_path):
    check_trained(
        main(tmp_path / "m", models.generator_fn, models.critic_fn, library_input.input_fn)
    )


# --- Experiment tracking --------------------------------------------------------------------------

TEST_SACRED = """\
from sacred import Experiment
ex = Experiment()
@ex.config
def config():
    samples_per_record = 10
    compression = "GZIP"
@ex.automain
def main(samples_per_record, compression):
    print(samples_per_record)
    print(compression)
"""


def run_test_sacred(folder, *arguments):
    (folder / "test_sacred.py").write_text(TEST_SACRED)
    done = subprocess.run(
        # Sacred still imports pkg_resources, which warns of its own end.
        [sys.executable, "-W", "ignore::UserWarning", "-m", "test_sacred", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("updates", "values"),
    [((), "10\nGZIP\n"), (("with", "samples_per_record=20", 'compression="ZIP"'), "20\nZIP\n")],
)
def test_test_sacred_prints_its_configuration(updates, values, tmp_path):
    # Changed: without `-m sacred`, which needs a MongoDB on this machine; the next test has one.
    printed, log = run_test_sacred(tmp_path, *updates)
    assert printed == values
    assert log[:3] == [
        "WARNING - test_sacred - No observers have been added to this run",
        "INFO - test_sacred - Running command 'main'",
        # Changed: Sacred names no id where nothing records the run.
        "INFO - test_sacred - Started",
    ]
    assert re.fullmatch(r"INFO - test_sacred - Completed after 0:00:0\d", log[3])
    assert len(log) == 4


def test_test_sacred_records_its_runs_in_a_mongodb(tmp_path, mongo_uri, mongo_client):
    # Changed: the test's server in front of the database's name; `-m sacred` takes the usual one.
    name = f"seed_{tmp_path.name}"[:60].rstrip("_")
    address = f"{mongo_uri.removeprefix('mongodb://').rstrip('/')}:{name}"
    updates = ("with", "samples_per_record=20", 'compression="ZIP"')
    try:
        printed, log = run_test_sacred(tmp_path, *updates, "-m", address)
        assert printed == "20\nZIP\n"
        assert 'INFO - test_sacred - Started run with ID "1"' in log
        (stored,) = mongo_client[name].runs.find()
        assert stored["status"] == "COMPLETED"
        assert stored["config"]["samples_per_record"] == 20
        assert stored["config"]["compression"] == "ZIP"
    finally:
        mongo_client.drop_database(name)
