"""Several processes write the bytes that one writes, and leave nothing when they fail."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from reproducible_ml.datasets.serialize import read_manifest, serialize_source
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.handlers import FeatureHandler
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.small_data import images_and_labels, rows_of, tree, write

SIZES = {"train": 41, "test": 10}


def arrays_of(sizes):
    def rows_gen(split):
        images, labels = images_and_labels(sizes[split], len(split))
        return {"image": images, "label": labels}

    return rows_gen


def lists_of(sizes):
    return lambda split: list(rows_of(sizes)(split))


class Slow(FeatureHandler):
    """Takes its time, so that a kill meets it."""

    def handle(self, row, key):
        time.sleep(0.02)
        return {key: self.feature(row[key])}

    @staticmethod
    def feature(value):
        import tensorflow as tf

        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("rows", [arrays_of, lists_of])
def test_any_number_of_workers_writes_the_same_bytes(rows, compression, tmp_path):
    write(tmp_path / "one", SIZES, compression=compression)
    for workers in (1, 2, 4):
        written = write(
            tmp_path / "more",
            SIZES,
            rows_gen=rows(SIZES),
            workers=workers,
            compression=compression,
            overwrite=True,
        )
        assert tree(tmp_path / "more") == tree(tmp_path / "one")
        assert written.fingerprint == read_manifest(tmp_path / "one").fingerprint


def test_workers_load_the_images_of_a_folder(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("cat", "dög"):
        (tmp_path / "in put" / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 256, (9, 7, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "in put" / name / f"{number}.png")
    source = make_source("folder", image_dir=tmp_path / "in put", image_shape=(8, 8, 3))
    one = serialize_source(source, tmp_path / "one", samples_per_record=3)
    two = serialize_source(source, tmp_path / "two", samples_per_record=3, workers=2)
    assert one.fingerprint == two.fingerprint
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_generator_can_not_be_shared_among_workers(tmp_path):
    with pytest.raises(ConfigError, match=r"workers=2 needs rows .* rows_gen\('train'\) yields"):
        write(tmp_path / "new" / "data", SIZES, workers=2)
    assert not list(tmp_path.iterdir())


def test_a_bad_row_in_a_worker_is_named_and_nothing_is_left(tmp_path):
    def broken(split):
        rows = lists_of(SIZES)(split)
        rows[30]["label"] = 7
        return rows

    with pytest.raises(
        DataError, match=r"train-00007.tfrecord, record 2: field .label.: found label 7"
    ):
        write(tmp_path / "data", SIZES, rows_gen=broken, workers=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("found", [40, 42])
def test_another_number_of_rows_is_named_before_anything_is_written(found, tmp_path):
    with pytest.raises(
        DataError, match=f"should have 41 rows, but rows_gen.'train'. yields {found}"
    ):
        write(tmp_path / "data", SIZES, rows_gen=arrays_of({"train": found}), workers=2)
    assert not list(tmp_path.iterdir())


def test_a_killed_worker_is_an_error_that_leaves_nothing(tmp_path):
    def kill():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in psutil.Process().children(recursive=True):
                # A child that has just ended has no command line any more.
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "LokyProcess" in " ".join(child.cmdline()) and any(
                        tmp_path.glob("*/*.tfrecord")
                    ):
                        os.kill(child.pid, signal.SIGKILL)
                        return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(DataError, match=r"A worker that wrote shards to .* was killed"):
        write(
            tmp_path / "data",
            {"train": 400},
            keys_to_handlers={"label": Slow()},
            rows_gen=lambda split: [{"label": number} for number in range(400)],
            workers=2,
        )
    killer.join()
    assert not list(tmp_path.iterdir())
    write(tmp_path / "data", SIZES, rows_gen=arrays_of(SIZES), workers=2)
    assert verify(tmp_path / "data") == []


def test_fewer_than_one_worker_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="workers must be 1 or more, found 0"):
        write(tmp_path / "data", SIZES, workers=0)
