"""What tf.data does not notice is an error when the data set is opened."""

import json
import shutil

import pytest

from reproducible_ml.input_fn import dataset_from_records, input_fn
from reproducible_ml.input_fn.check import check_shards, file_checksum
from reproducible_ml.utils.errors import DataError
from tests.input_fn.by_hand import write_by_hand

RECORDS, PER_SHARD = 12, 5


@pytest.fixture(params=["", "GZIP", "ZLIB"])
def manifest(tmp_path, request):
    return write_by_hand(tmp_path, {"train": RECORDS, "test": 3}, None, request.param, PER_SHARD)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def flip(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def swap(one, other):
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


DAMAGES = {
    "cut between two records": (lambda shard: cut(shard, shard.stat().st_size // 5), "bytes"),
    "cut inside a length": (lambda shard: cut(shard, 5), "has 5 bytes"),
    "emptied": (lambda shard: cut(shard, 0), "has 0 bytes"),
    "without its last 8 bytes": (lambda shard: cut(shard, -8), "bytes"),
    "with bytes behind": (lambda shard: shard.write_bytes(shard.read_bytes() + b"\0"), "bytes"),
    "with a flipped bit": (lambda shard: flip(shard, 40), "its checksum is"),
    "missing": (lambda shard: shard.unlink(), "is missing"),
    "renamed": (lambda shard: shard.rename(shard.with_name("train-00009.tfrecord")), "is missing"),
    "swapped": (
        lambda shard: swap(shard, shard.with_name("train-00001.tfrecord")),
        "damaged|bytes",
    ),
    "doubled": (
        lambda shard: shutil.copy(shard, shard.with_name("train-00003.tfrecord")),
        "train-00003.tfrecord is named like a shard but",
    ),
    "a folder": (lambda shard: shard.unlink() or shard.mkdir(), "bytes"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_stops_training_before_the_first_step(manifest, tmp_path, damage):
    inflict, message = DAMAGES[damage]
    inflict(tmp_path / "train-00000.tfrecord")
    with pytest.raises(DataError, match=message):
        input_fn(tmp_path)
    with pytest.raises(DataError, match=message):
        dataset_from_records(tmp_path / "train-*.tfrecord")


def test_damage_after_opening_is_seen_when_the_dataset_is_built(manifest, tmp_path):
    fn = input_fn(tmp_path)
    cut(tmp_path / "train-00000.tfrecord", -1)
    with pytest.raises(DataError, match=r"train-00000\.tfrecord has"):
        fn()


def test_damage_in_another_split_does_not_matter(manifest, tmp_path):
    flip(tmp_path / "test-00000.tfrecord", 20)
    assert input_fn(tmp_path, split="train")
    with pytest.raises(DataError, match="damaged"):
        input_fn(tmp_path, split="test")


def test_an_edited_manifest_stops_training(manifest, tmp_path):
    path = tmp_path / "dataset.json"
    values = json.loads(path.read_text())
    values["splits"]["train"]["shards"].pop()
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="altered"):
        input_fn(tmp_path)


def test_a_folder_without_a_manifest_holds_no_data_set(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        input_fn(tmp_path / "nowhere")


def test_sizes_alone_are_compared_on_request(manifest, tmp_path):
    flip(tmp_path / "train-00000.tfrecord", 40)
    check_shards(manifest, "train", "size")
    with pytest.raises(DataError, match="damaged"):
        check_shards(manifest, "train", "full")


def test_a_checksum_is_that_of_the_file(manifest, tmp_path):
    shard = manifest.splits["train"].shards[0]
    assert file_checksum(tmp_path / shard.file) == shard.checksum
    (tmp_path / "empty").touch()
    assert file_checksum(tmp_path / "empty") == "00000000"


@pytest.mark.parametrize("reader", ["memory", "memmap", "stream"])
def test_damage_that_sizes_do_not_show_stops_the_reader(tmp_path, reader):
    write_by_hand(tmp_path, {"train": RECORDS}, per_shard=PER_SHARD)
    flip(tmp_path / "train-00001.tfrecord", 40)
    fn = input_fn(tmp_path, check="size", reader=reader, batch_size=RECORDS)
    with pytest.raises(Exception, match=r"(?i)train-00001.*(CRC|damaged)|corrupted record"):
        list(fn().take(2))
