"""Room on the disk is made in advance for large shards; it is given back, and nothing needs it."""

import ctypes
from pathlib import Path

import numpy as np

from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.handlers import ArrayHandler
from tests.datasets.small_data import tree, write
from tests.small_disk import small_disk

MEGABYTE = 1 << 20


def write_megabytes(record_dir, count):
    """Write one shard of so many megabytes of noise, and return its file."""
    images = np.random.default_rng(3).integers(0, 256, (count, MEGABYTE), np.uint8)
    write(
        record_dir,
        {"train": count},
        count,
        keys_to_handlers={"x": ArrayHandler()},
        rows_gen=lambda split: {"x": images},
    )
    return Path(record_dir, "train-00000.tfrecord")


def test_a_large_shard_takes_no_more_of_the_disk_than_its_bytes():
    found = write_megabytes("data", 36).stat()
    assert 36 * MEGABYTE < found.st_size < 36 * MEGABYTE + 36 * 100
    assert found.st_blocks * 512 < found.st_size + 64 * 1024
    assert verify("data") == []


def test_a_system_that_makes_no_room_writes_the_same_bytes(tmp_path, monkeypatch):
    write_megabytes("room", 20)

    def missing(*arguments, **options):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    write_megabytes("none", 20)
    assert tree(tmp_path / "none") == tree(tmp_path / "room")


def test_a_disk_that_has_room_for_the_shard_only_is_enough(tmp_path):
    """At 16 MB room for as much again is asked for, which 24 MB can't give."""
    with small_disk(tmp_path / "disk", "24m") as disk:
        write_megabytes(disk / "data", 20)
        assert verify(disk / "data") == []
