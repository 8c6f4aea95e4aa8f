"""What tf.data does not notice is an error when the data set is opened."""

import itertools
import json
import mmap
import os
import shutil
import time

import numpy as np
import pytest

from reproducible_ml.input_fn import checked, dataset_from_records, input_fn
from reproducible_ml.input_fn.check import check_shards, file_checksum
from reproducible_ml.input_fn.readers.copying import copy_rows
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


def test_a_check_that_takes_long_says_how_far_it_is(manifest, monkeypatch, capsys):
    monkeypatch.setattr("reproducible_ml.utils.progress._LINE_SECONDS", 0.0)
    check_shards(manifest, "train")
    assert capsys.readouterr().err.splitlines() == [
        "5 of 12 records checked (41%)",
        "10 of 12 records checked (83%)",
        "12 of 12 records checked (100%)",
    ]


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


@pytest.mark.parametrize("way", ["by the kernel", "from the file"])
def test_rows_of_a_file_cut_after_it_was_mapped_are_an_error_and_no_dead_process(
    tmp_path, monkeypatch, way
):
    if way == "from the file":
        monkeypatch.setattr(
            "reproducible_ml.input_fn.readers.copying._process_vm_readv", lambda: None
        )
    path = tmp_path / "rows"
    expected = np.random.default_rng(0).integers(0, 256, (3000, 100), np.uint8)
    expected.tofile(path)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table = np.frombuffer(mapped, np.uint8).reshape(expected.shape)
    rows = np.random.default_rng(1).permutation(3000)
    np.testing.assert_array_equal(copy_rows(table, rows, path), expected[rows])
    os.truncate(path, 8192)
    np.testing.assert_array_equal(
        copy_rows(table, rows[rows < 81], path), expected[rows[rows < 81]]
    )
    with pytest.raises(OSError, match=r"can't be read|ends within a record"):
        copy_rows(table, rows, path)


@pytest.mark.parametrize("reader", ["auto", "memmap"])
def test_a_shard_cut_while_it_is_read_is_an_error_and_no_dead_process(tmp_path, reader):
    """A signal would end the process, and this test with it."""
    write_by_hand(tmp_path, {"train": 3000}, per_shard=1000)
    fn = input_fn(tmp_path, reader=reader, memory_budget_bytes=0, batch_size=500)
    batches = iter(fn())
    next(batches)
    os.truncate(tmp_path / "train-00001.tfrecord", 100)
    with pytest.raises(Exception, match=r"train-00001\.tfrecord has 100 bytes, expected"):
        list(itertools.islice(batches, 50))


def test_exchanged_shards_of_equal_size_stop_training_whatever_the_size_of_the_data(tmp_path):
    """Sparse files of over 2 GiB, whose bytes are all read."""
    manifest = write_by_hand(tmp_path, {"train": 4}, per_shard=2)
    shards = [tmp_path / shard.file for shard in manifest.splits["train"].shards]
    huge = 2**31 // 2 + 4096
    for shard in shards:
        os.truncate(shard, huge)
        object.__setattr__(manifest.splits["train"].shards[shards.index(shard)], "bytes", huge)
        object.__setattr__(
            manifest.splits["train"].shards[shards.index(shard)], "checksum", file_checksum(shard)
        )
    check_shards(manifest, "train")
    swap_names(*shards)
    check_shards(manifest, "train", "size")
    with pytest.raises(DataError, match=r"train-00000\.tfrecord is damaged"):
        check_shards(manifest, "train")


def swap_names(one, other):
    kept = one.with_name("kept")
    one.rename(kept)
    other.rename(one)
    kept.rename(other)


class TestRememberedChecks:
    """A full check is remembered until a shard changes."""

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path_factory, monkeypatch):
        self.cache = tmp_path_factory.mktemp("cache")
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))

    @pytest.fixture
    def read(self, monkeypatch):
        """The shards that a check has read."""
        from reproducible_ml.input_fn import check

        found = []

        def counted(path):
            found.append(os.path.basename(path))
            return file_checksum(path)

        monkeypatch.setattr(check, "file_checksum", counted)
        return found

    @pytest.fixture
    def old(self, tmp_path):
        """A data set that was written a while ago."""
        manifest = write_by_hand(tmp_path, {"train": RECORDS, "test": 3}, per_shard=PER_SHARD)
        let_settle(tmp_path)
        return manifest

    def test_a_data_set_is_read_at_its_first_start_only(self, old, read):
        for _ in range(3):
            check_shards(old, "train")
        assert read == [f"train-0000{i}.tfrecord" for i in range(3)]
        check_shards(old, "test")
        assert read[3:] == ["test-00000.tfrecord"]

    def test_full_reads_it_each_time(self, old, read):
        for _ in range(2):
            check_shards(old, "train", "full")
        assert len(read) == 6

    def test_what_was_written_just_now_is_not_remembered(self, tmp_path, read):
        """A change within the same tick of the clock would leave no trace."""
        manifest = write_by_hand(tmp_path, {"train": RECORDS}, per_shard=PER_SHARD)
        for _ in range(2):
            check_shards(manifest, "train")
        assert len(read) == 6

    def test_a_flipped_byte_is_found_though_its_times_were_set_back(self, old, tmp_path):
        check_shards(old, "train")
        shard = tmp_path / "train-00001.tfrecord"
        before = shard.stat()
        with open(shard, "r+b") as file:
            file.seek(40)
            byte = file.read(1)[0]
            file.seek(40)
            file.write(bytes([byte ^ 1]))
        os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
        let_settle(tmp_path)
        assert shard.stat().st_mtime_ns == before.st_mtime_ns
        with pytest.raises(DataError, match=r"train-00001\.tfrecord is damaged"):
            check_shards(old, "train")

    def test_exchanged_shards_are_found(self, old, tmp_path):
        check_shards(old, "train")
        swap_names(tmp_path / "train-00000.tfrecord", tmp_path / "train-00001.tfrecord")
        let_settle(tmp_path)
        with pytest.raises(DataError, match=r"train-00000\.tfrecord is damaged"):
            check_shards(old, "train")

    def test_another_checksum_in_the_manifest_is_found(self, old):
        check_shards(old, "train")
        object.__setattr__(old.splits["train"].shards[2], "checksum", "00000000")
        with pytest.raises(DataError, match=r"train-00002\.tfrecord is damaged"):
            check_shards(old, "train")

    def test_a_damaged_data_set_is_not_remembered(self, old, tmp_path):
        flip(tmp_path / "train-00000.tfrecord", 40)
        let_settle(tmp_path)
        for _ in range(2):
            with pytest.raises(DataError, match="damaged"):
                check_shards(old, "train")

    @pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1, 2]", b'{"x": 3}', b"[" * 100_000])
    def test_a_damaged_cache_is_no_cache(self, old, read, content):
        checked.cache_file().parent.mkdir(parents=True)
        checked.cache_file().write_bytes(content)
        for _ in range(2):
            check_shards(old, "train")
        assert len(read) == 3

    def test_a_cache_that_cannot_be_written_is_no_error(self, old, read):
        (self.cache / "reproducible-ml").touch()  # a file where the folder would be
        for _ in range(2):
            check_shards(old, "train")
        assert len(read) == 6

    def test_the_cache_stays_small(self, old, tmp_path):
        for number in range(300):
            checked.remember(old.moved_to(str(tmp_path / str(number))), "train", "0" * 64)
        assert len(json.loads(checked.cache_file().read_text())) == 256
        assert [path.name for path in checked.cache_file().parent.iterdir()] == ["checked.json"]


def let_settle(folder):
    """Wait until the files are older than what a coarse clock can't tell apart."""
    while max(path.stat().st_ctime for path in folder.iterdir()) > time.time() - 2.1:
        time.sleep(0.1)
