"""Small data sets for the tests of writing, and the processes that write them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import ImageHandler, LabelHandler

ROOT = Path(__file__).parents[2]
PATTERN = "{}-{:05d}.tfrecord"


def images_and_labels(count, seed=0):
    """Make random 4x4 images, and the labels 0, 1, 2, 0, ..."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), np.uint8)
    return images, np.arange(count) % 3


def handlers():
    """Make the handlers of such rows."""
    return {"image": ImageHandler((4, 4, 1)), "label": LabelHandler(3)}


def rows_of(sizes):
    """Make the rows_gen of splits of these sizes."""

    def rows_gen(split):
        for image, label in zip(*images_and_labels(sizes[split], len(split))):
            yield {"image": image, "label": label}

    return rows_gen


def write(record_dir, sizes, samples_per_record=4, **options):
    """Write a data set with all that can be left out left out."""
    values = {
        "record_pattern": PATTERN,
        "keys_to_handlers": handlers(),
        "rows_gen": rows_of(sizes),
        **options,
    }
    return write_records(
        record_dir, samples_per_record=samples_per_record, split_to_size=sizes, **values
    )


def read_back(paths, compression=""):
    """Read images and labels as anyone would, with TensorFlow alone."""
    images, labels = [], []
    dataset = tf.data.TFRecordDataset([str(path) for path in paths], compression_type=compression)
    for record in dataset.as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        images.append(np.frombuffer(features["image"].bytes_list.value[0], np.uint8))
        labels.append(features["label"].int64_list.value[0])
    return np.array(images), labels


def tree(folder):
    """List everything below a folder with its content, hidden files included."""
    return {
        os.path.relpath(path, folder): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


def start_writer(program, folder, measured=True, **values):
    """Start a Python process in a folder; ``values`` are its JSON argument.

    One that may write nothing is not measured: coverage's own file would be what fails. Nor is one
    that is interrupted: an interrupt while coverage holds its lock leaves every thread waiting.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if not measured:
        environment.pop("COVERAGE_PROCESS_CONFIG", None)
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(values)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
