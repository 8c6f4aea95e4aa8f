"""A repair gives back exactly the bytes that were written, or says why it can't."""

import shutil

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import serialize_source, write_records
from reproducible_ml.datasets.serialize.repair import repair
from reproducible_ml.datasets.serialize.verify import verify
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.handlers import LabelHandler
from reproducible_ml.utils.errors import DataError
from tests.tracking.toy_project import command


def npz(path, seed=1):
    draw = np.random.default_rng(seed)
    np.savez(
        path,
        x_train=draw.integers(0, 256, (24, 4, 4), np.uint8),
        y_train=np.arange(24) % 3,
    )
    return path


@pytest.fixture(params=["", "GZIP"])
def data(request, tmp_path):
    source = make_source("npz", npz_file=str(npz(tmp_path / "rows.npz")))
    serialize_source(source, tmp_path / "data", samples_per_record=5, compression=request.param)
    return tmp_path / "data"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_damaged_and_missing_shards_come_back_byte_for_byte(data):
    before = contents(data)
    damaged = data / "train-00002.tfrecord"
    damaged.write_bytes(damaged.read_bytes()[:50])
    (data / "eval-00000.tfrecord").unlink()
    assert repair(data) == ["train-00002.tfrecord", "eval-00000.tfrecord"]
    assert contents(data) == before
    assert verify(data) == []
    assert repair(data) == []


def test_a_source_that_holds_other_data_is_refused_and_nothing_changes(data, tmp_path):
    npz(tmp_path / "rows.npz", seed=2)
    (data / "train-00000.tfrecord").write_bytes(b"x")
    before = contents(data)
    with pytest.raises(DataError, match="holds other data than when"):
        repair(data)
    assert contents(data) == before


def test_rows_of_a_generator_cannot_be_asked_for_again(tmp_path):
    write_records(
        tmp_path / "data",
        "{}-{:05d}.tfrecord",
        {"label": LabelHandler()},
        2,
        {"train": 3},
        lambda split: iter([1, 2, 3]),
    )
    (tmp_path / "data" / "train-00001.tfrecord").unlink()
    with pytest.raises(DataError, match="rows_gen that the manifest doesn't know"):
        repair(tmp_path / "data")


def test_an_altered_manifest_is_not_trusted(data):
    path = data / "dataset.json"
    path.write_text(path.read_text().replace('"records": 5', '"records": 4', 1))
    with pytest.raises(DataError, match="was altered"):
        repair(data)


def test_the_command_names_what_it_wrote(data, tmp_path):
    (data / "train-00001.tfrecord").write_bytes(b"")
    code, output = command(["repair", str(data)], tmp_path)
    assert code == 0, output
    assert "train-00001.tfrecord: written again" in output
    shutil.rmtree(data)
    code, output = command(["repair", str(data)], tmp_path)
    assert code == 1
    assert "holds no data set" in output
