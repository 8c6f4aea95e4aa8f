"""A repair gives back exactly the bytes that were written, or says why it can't."""

import shutil

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest, serialize_source, write_records
from reproducible_ml.datasets.serialize.checking.repairing import repair
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.serialize.manifest import write_manifest
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
    with pytest.raises(DataError, match="have changed since the data set was written"):
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
    with pytest.raises(DataError, match="rows_gen, which the manifest does not record"):
        repair(tmp_path / "data")


def test_an_altered_manifest_is_not_trusted(data):
    path = data / "dataset.json"
    path.write_text(path.read_text().replace('"records": 5', '"records": 4', 1))
    with pytest.raises(DataError, match=r"was altered.*Restore it from a backup, or ser.*: npz"):
        repair(data)
    (found,) = verify(data)
    assert "Restore it from a backup" in str(found)
    assert "verify" not in str(found)
    assert "rows.npz" in str(found)


def test_the_command_names_what_it_wrote(data, tmp_path):
    (data / "train-00001.tfrecord").write_bytes(b"")
    code, output = command(["repair", str(data)], tmp_path)
    assert code == 0, output
    assert "train-00001.tfrecord: is again as it was written" in output
    shutil.rmtree(data)
    code, output = command(["repair", str(data)], tmp_path)
    assert code == 1
    assert "holds no data set" in output


@pytest.fixture
def sourceless(tmp_path):
    """A data set whose rows can't be asked for again."""
    write_records(
        tmp_path / "data",
        "{}-{:05d}.tfrecord",
        {"label": LabelHandler()},
        2,
        {"train": 7},
        lambda split: iter(range(7)),
    )
    return tmp_path / "data"


def test_a_renamed_shard_is_renamed_back_without_a_source(sourceless):
    before = contents(sourceless)
    (sourceless / "train-00001.tfrecord").rename(sourceless / "train-00077.tfrecord")
    assert repair(sourceless) == ["train-00001.tfrecord"]
    assert contents(sourceless) == before
    assert verify(sourceless) == []


def test_exchanged_shards_are_exchanged_back_without_a_source(sourceless):
    before = contents(sourceless)
    names = [f"train-0000{i}.tfrecord" for i in range(3)]
    for name, other in zip(names, (*names[1:], names[0])):
        (sourceless / name).write_bytes(before[other])
    assert repair(sourceless) == names
    assert contents(sourceless) == before


def test_what_can_be_put_back_is_though_the_rest_has_no_source(sourceless):
    (sourceless / "train-00001.tfrecord").rename(sourceless / "train-00077.tfrecord")
    (sourceless / "train-00002.tfrecord").unlink()
    with pytest.raises(DataError, match="rows_gen, which the manifest does not record"):
        repair(sourceless)
    assert {one.file for one in verify(sourceless)} == {
        "train-00002.tfrecord",
        "train-00077.tfrecord",
    }


def test_a_surplus_file_is_left_and_named(data):
    (data / "train-00001.tfrecord").write_bytes(b"x")
    (data / "train-00077.tfrecord").write_bytes(b"y")
    with pytest.raises(DataError, match=r"as they were written.*also train-00077.*Move it away"):
        repair(data)
    assert {one.file for one in verify(data)} == {"train-00077.tfrecord"}


def test_a_folder_in_the_way_is_named_and_nothing_changes(data):
    (data / "train-00000.tfrecord").unlink()
    (data / "train-00000.tfrecord").mkdir()
    (data / "train-00001.tfrecord").write_bytes(b"x")
    with pytest.raises(DataError, match=r"train-00000\.tfrecord is a folder.*Move it away"):
        repair(data)
    assert (data / "train-00001.tfrecord").read_bytes() == b"x"


def test_a_repair_that_fails_at_a_later_shard_leaves_nothing_behind(data):
    """The manifest states a checksum that no row of the source gives, as of another version."""
    manifest = read_manifest(data)
    object.__setattr__(manifest.splits["train"].shards[1], "checksum", "00000000")
    write_manifest(manifest)
    for number in range(2):
        (data / f"train-0000{number}.tfrecord").write_bytes(b"x")
    before = contents(data)
    with pytest.raises(DataError, match=r"train-00001.*written again it has checksum"):
        repair(data)
    assert contents(data) == before


def killed_repair(data):
    """What a repair leaves that is killed while it writes its second shard."""
    whole = (data / "train-00000.tfrecord").read_bytes()
    (data / "train-00000.tfrecord").unlink()
    (data / "train-00000.tfrecord.repair").write_bytes(whole)
    half = (data / "train-00001.tfrecord").read_bytes()[:40]
    (data / "train-00001.tfrecord.repair").write_bytes(half)


def test_the_rest_of_a_killed_repair_is_used_or_removed(data):
    before = contents(data)
    killed_repair(data)
    assert repair(data) == ["train-00000.tfrecord"]
    assert contents(data) == before


def test_the_only_copy_of_a_shard_outlives_a_repair_that_fails(sourceless):
    """Killed between two renames of exchanged shards, a repair has it under this name alone."""
    before = contents(sourceless)
    killed_repair(sourceless)
    (sourceless / "train-00003.tfrecord").unlink()
    with pytest.raises(DataError, match="rows_gen, which the manifest does not record"):
        repair(sourceless)
    shard = "train-00000.tfrecord"
    assert (sourceless / shard).read_bytes() == before[shard]


def test_a_data_set_with_the_rest_of_a_killed_repair_can_be_replaced(data, tmp_path):
    before = contents(data)
    killed_repair(data)
    source = make_source("npz", npz_file=str(tmp_path / "rows.npz"))
    compression = read_manifest(data).compression
    serialize_source(source, data, samples_per_record=5, compression=compression, overwrite=True)
    assert contents(data) == before
