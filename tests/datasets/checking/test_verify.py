"""Every defect of a data set is found, named, and nothing else is."""

import json
import os
import random
import resource
import shutil
import struct
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import read_manifest, write_records
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.serialize.manifest import write_manifest
from reproducible_ml.datasets.serialize.wire.tfrecord import frame, header, scan
from reproducible_ml.handlers import ArrayHandler, IntegersHandler, LabelHandler, TextHandler
from tests.tracking.toy_project import command

ROWS = 7


def make(folder, compression=""):
    draw = np.random.default_rng(1)
    rows = [
        {"image": draw.integers(0, 256, (4, 4), np.uint8), "label": i % 3, "name": f"row {i}" * i}
        for i in range(1, ROWS + 1)
    ]
    handlers = {
        "image": ArrayHandler((4, 4), "uint8"),
        "label": LabelHandler(3),
        "name": TextHandler(),
    }
    write_records(
        folder,
        "{}-{:05d}.tfrecord",
        handlers,
        3,
        {"train": ROWS},
        lambda split: iter(rows),
        compression=compression,
    )
    return folder


@pytest.fixture(scope="module", params=["", "GZIP", "ZLIB"])
def written(request, tmp_path_factory):
    return make(tmp_path_factory.mktemp("written") / "data", request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make(tmp_path_factory.mktemp("plain") / "data")


@pytest.fixture
def data(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "data")


def shard(folder, number=0):
    return folder / f"train-{number:05d}.tfrecord"


def texts(folder):
    return [str(one) for one in verify(folder)]


def test_a_data_set_as_it_was_written_has_no_defect(written):
    assert verify(written) == []


def test_a_shard_cut_at_any_byte_is_named(written, tmp_path):
    copy = shutil.copytree(written, tmp_path / "data")
    whole = shard(copy, 1).read_bytes()
    for length in range(len(whole)):
        shard(copy, 1).write_bytes(whole[:length])
        found = verify(copy)
        assert found, length
        assert {one.file for one in found} == {"train-00001.tfrecord"}, length


@pytest.mark.parametrize("flips", [300, pytest.param(800, marks=pytest.mark.slow)])
def test_flipped_bytes_are_found_and_no_other_shard_is_blamed(written, tmp_path, flips):
    copy = shutil.copytree(written, tmp_path / "data")
    moments = random.Random(3)
    for _ in range(flips):
        path = shard(copy, moments.randrange(3))
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[moments.randrange(len(whole))] ^= 1 << moments.randrange(8)
        path.write_bytes(damaged)
        assert {one.file for one in verify(copy)} == {path.name}
        path.write_bytes(whole)
    assert verify(copy) == []


def test_a_flipped_byte_is_named_with_its_record(data):
    whole = bytearray(shard(data).read_bytes())
    frames = list(scan(bytes(whole)))
    whole[frames[1].payload.start + 5] ^= 1
    shard(data).write_bytes(whole)
    (found,) = verify(data)
    assert (found.file, found.record) == ("train-00000.tfrecord", 1)
    assert "does not match its CRC" in found.found


def test_a_damaged_length_is_named_with_its_record(data):
    whole = bytearray(shard(data).read_bytes())
    whole[list(scan(bytes(whole)))[2].offset] ^= 1
    shard(data).write_bytes(whole)
    (found,) = verify(data)
    assert found.record == 2
    assert "the length does not match its CRC" in found.found


def test_records_that_changed_places_are_noticed(data):
    whole = shard(data).read_bytes()
    parts = [whole[one.offset : one.payload.stop + 4] for one in scan(whole)]
    shard(data).write_bytes(b"".join([parts[1], parts[0], parts[2]]))
    assert texts(data) == [
        "train-00000.tfrecord: holds complete records, but other ones, or in another order"
    ]


def test_a_record_that_was_cut_out_is_noticed(data):
    whole = shard(data).read_bytes()
    shard(data).write_bytes(whole[: list(scan(whole))[2].offset])
    assert "train-00000.tfrecord: holds 2 records, expected 3" in texts(data)


def test_missing_empty_extra_renamed_and_exchanged_shards_are_named(data):
    shard(data, 2).unlink()
    assert texts(data) == ["train-00002.tfrecord: is missing; expected 1 records"]
    shard(data, 2).touch()
    assert "is empty; expected" in texts(data)[0]


def test_an_extra_shard_is_named(data):
    shutil.copy(shard(data), shard(data, 9))
    (found,) = texts(data)
    assert found == "train-00009.tfrecord: is an extra file, not listed in the manifest"


def test_a_renamed_shard_is_named_with_its_right_name(data):
    shard(data, 1).rename(shard(data, 5))
    assert texts(data) == [
        "train-00005.tfrecord: is train-00001.tfrecord under another name; rename it back",
        "train-00001.tfrecord: is missing; expected 3 records",
    ]


def test_exchanged_shards_are_named_both(data):
    shard(data, 0).rename(data / "kept")
    shard(data, 1).rename(shard(data, 0))
    (data / "kept").rename(shard(data, 1))
    assert texts(data) == [
        f"train-0000{a}.tfrecord: holds the records of train-0000{b}.tfrecord: the files were "
        "exchanged"
        for a, b in ((0, 1), (1, 0))
    ]


def test_bytes_behind_the_last_record_are_named(data):
    with open(shard(data), "ab") as file:
        file.write(b"x")
    (found,) = verify(data)
    assert found.record == 3
    assert "the file ends inside the length" in found.found
    assert "after 3 complete records" in found.found


def test_a_missing_gzip_trailer_is_named(tmp_path):
    data = make(tmp_path / "data", "GZIP")
    shard(data).write_bytes(shard(data).read_bytes()[:-8])
    assert "its end or trailer is missing" in texts(data)[0]


def test_a_forged_length_in_a_small_file_does_not_fill_the_memory(tmp_path):
    """1 MB of GZIP can hold a gigabyte of zeros, all of them one record by its header."""
    data = make(tmp_path / "data", "GZIP")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(header(1 << 30))
    packed += b"".join(packer.compress(bytes(1 << 22)) for _ in range(100)) + packer.flush()
    shard(data).write_bytes(packed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (found, *_) = verify(data)
    assert found.record == 0
    assert "the length is 1073741824, more than the 268435456 bytes" in found.found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_folder_in_the_place_of_a_shard_is_named(data):
    shard(data).unlink()
    shard(data).mkdir()
    assert texts(data) == ["train-00000.tfrecord: is a folder, expected a file of records"]


@contextmanager
def as_nobody():
    """Leave the rights of root, who may read everything; others keep theirs."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def readable():
    """A folder that anyone can read, unlike the tests' own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_shard_that_cannot_be_read_is_named(plain, readable):
    copy = shutil.copytree(plain, readable / "data")
    shard(copy, 1).chmod(0)
    with as_nobody():
        assert texts(copy) == ["train-00001.tfrecord: can't be read: Permission denied"]


def write_lengths(folder, lengths, compression=""):
    """Write texts of given lengths beside labels of one and two bytes and lists of integers."""
    rows = [
        {"name": "x" * length, "label": i % 300, "list": list(range(i % 5))}
        for i, length in enumerate(lengths)
    ]
    handlers = {"name": TextHandler(), "label": LabelHandler(), "list": IntegersHandler()}
    write_records(
        folder, "{}-{:05d}.tfrecord", handlers, 1000, {"train": len(rows)},
        lambda split: iter(rows), compression=compression,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_records_of_many_lengths_are_as_they_were_written(tmp_path, compression):
    lengths = [(7 * i) % 400 for i in range(1500)] + [0, 127, 128, 20_000]
    assert verify(write_lengths(tmp_path / "data", lengths, compression)) == []


WRONG_FORMS = {
    "another label's kind": lambda one: one["label"].bytes_list.value.append(b"three"),
    "two labels": lambda one: one["label"].int64_list.value.append(9),
    "no label": lambda one: one["label"].int64_list.ClearField("value"),
    "two names": lambda one: one["name"].bytes_list.value.append(b"more"),
    "another feature": lambda one: one["other"].int64_list.value.append(1),
    "a feature less": lambda one: one.pop("list"),
}


@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("wrong", WRONG_FORMS)
def test_a_record_of_another_form_is_named_among_others_of_many_lengths(tmp_path, wrong, number):
    """Framed, listed and summed as if it belonged there; protobuf alone says what is in it."""
    data = write_lengths(tmp_path / "data", [3, 200, 5, 130, 7])
    payloads = payloads_of(shard(data))
    example = tf.train.Example.FromString(payloads[number])
    WRONG_FORMS[wrong](example.features.feature)
    payloads[number] = example.SerializeToString(deterministic=True)
    list_anew(data, b"".join(map(frame, payloads)))
    found = [one for one in verify(data) if one.file != "dataset.json"]
    assert [(one.file, one.record) for one in found] == [("train-00000.tfrecord", number)]


def test_records_whose_features_come_in_another_order_are_of_the_form(tmp_path):
    """What another writer may do: the order on the wire is nobody's promise."""
    data = write_lengths(tmp_path / "data", [3, 200, 5])
    payloads = payloads_of(shard(data))
    parts = {
        key: tf.train.Features(feature={key: value}).SerializeToString()
        for key, value in tf.train.Example.FromString(payloads[1]).features.feature.items()
    }
    inner = b"".join(parts[key] for key in sorted(parts, reverse=True))
    length = tf.train.Example.FromString(payloads[1]).features.ByteSize()
    assert len(inner) == length
    payloads[1] = payloads[1][: len(payloads[1]) - length] + inner
    list_anew(data, b"".join(map(frame, payloads)))
    assert {one.file for one in verify(data)} == {"dataset.json"}, "only the content digest differs"


def payloads_of(path):
    content = path.read_bytes()
    return [content[one.payload] for one in scan(content)]


def list_anew(data, content):
    """Put other bytes in place of the first shard and list them in the manifest."""
    import crc32c

    shard(data).write_bytes(content)

    def change(manifest):
        first = manifest.splits["train"].shards[0]
        object.__setattr__(first, "bytes", len(content))
        object.__setattr__(first, "checksum", f"{crc32c.crc32c(content):08x}")

    rewritten(data, change)


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_a_large_record_is_put_together_once_whatever_pieces_it_comes_in(
    tmp_path, compression, monkeypatch
):
    """With a copy of all that came so far for each piece, this would take a minute."""
    rows = np.zeros((2, 16 << 20), np.uint8)
    write_records(
        tmp_path / "data", "{}-{}.tfrecord", {"rows": ArrayHandler()}, 2, {"train": 2},
        lambda split: {"rows": rows}, compression=compression,
    )  # fmt: skip
    monkeypatch.setattr("reproducible_ml.datasets.serialize.shard.reader._PIECE_BYTES", 1024)
    begun = time.process_time()
    assert verify(tmp_path / "data") == []
    assert time.process_time() - begun < 20


def test_an_edited_manifest_is_named(data):
    path = data / "dataset.json"
    values = json.loads(path.read_text())
    values["splits"]["train"]["records"] = 6
    path.write_text(json.dumps(values))
    (found,) = texts(data)
    assert found.startswith("dataset.json: ")
    assert "was altered" in found


def rewritten(data, change):
    """Change the manifest and give it a checksum that fits, as a careful forger would."""
    manifest = read_manifest(data)
    change(manifest)
    write_manifest(manifest)


def test_wrong_counts_in_a_manifest_that_fits_itself_are_named(data):
    def change(manifest):
        object.__setattr__(manifest.splits["train"], "records", 6)

    rewritten(data, change)
    found = "\n".join(texts(data))
    assert "split train lists 6 records, but its shards 7" in found
    assert "the fingerprint does not match" in found


def test_a_record_of_another_form_is_named_with_its_field(data):
    """A record whose label is a text, framed and listed as if it belonged there."""
    import crc32c

    whole = shard(data, 2).read_bytes()
    example = tf.train.Example.FromString(whole[next(scan(whole)).payload])
    example.features.feature["label"].bytes_list.value.append(b"three")
    changed = frame(example.SerializeToString())
    shard(data, 2).write_bytes(changed)

    def change(manifest):
        last = manifest.splits["train"].shards[2]
        object.__setattr__(last, "bytes", len(changed))
        object.__setattr__(last, "checksum", f"{crc32c.crc32c(changed):08x}")

    rewritten(data, change)
    found = verify(data)
    assert (found[0].file, found[0].record, found[0].field) == ("train-00002.tfrecord", 0, "label")
    assert "is a bytes list, expected a int64 list" in found[0].found


def test_the_command_says_what_it_found_and_what_to_do(data, tmp_path):
    code, output = command(["verify", str(data)], tmp_path)
    assert code == 0, output
    assert "3 shards are as they were written (7 train)" in output
    whole = bytearray(shard(data).read_bytes())
    whole[20] ^= 1
    shard(data).write_bytes(whole)
    code, output = command(["verify", str(data)], tmp_path)
    assert code == 1
    assert "train-00000.tfrecord, record 0: the payload at byte 0 does not match its CRC" in output
    assert "reproducible-ml repair" in output
    (data / "dataset.json").write_text("{}")
    code, output = command(["verify", str(data)], tmp_path)
    assert code == 1
    assert "reproducible-ml repair" not in output, "a repair needs the manifest"
    code, output = command(["verify", str(tmp_path / "nothing")], tmp_path)
    assert code == 1
    assert "holds no data set" in output


def test_the_framing_is_that_of_tensorflow(plain):
    shards = [shard(plain, number) for number in range(3)]
    payloads = [one.numpy() for one in tf.data.TFRecordDataset([str(one) for one in shards])]
    lengths = []
    for path in shards:
        content = path.read_bytes()
        offset = 0
        while offset < len(content):
            (length,) = struct.unpack_from("<Q", content, offset)
            lengths.append(length)
            offset += 16 + length
    assert [len(one) for one in payloads] == lengths
