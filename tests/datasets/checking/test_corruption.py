"""Random damage anywhere in a data set is found by verify, and never becomes training data."""

import gzip
import json
import random
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.datasets.serialize.checking.repairing import repair
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.handlers import ImageHandler, LabelHandler
from reproducible_ml.input_fn import input_fn
from reproducible_ml.utils.errors import DataError, ReproducibleMLError

ROWS, PER_SHARD = 7, 3
MANIFEST = "dataset.json"
# Of each of the four kinds of file, so that all are 2,000.
DEFAULT, MANY = 40, 200

UNPACKED = {"": bytes, "GZIP": gzip.decompress, "ZLIB": zlib.decompress}
PACKED = {"": bytes, "GZIP": gzip.compress, "ZLIB": zlib.compress}


def images():
    # Few values, so that a compressor has something to do.
    return np.random.default_rng(5).integers(0, 4, (ROWS, 4, 4, 1)).astype(np.uint8) * 60


def make(folder, compression=""):
    rows = [{"image": image, "label": i % 3} for i, image in enumerate(images())]
    write_records(
        folder,
        "{}-{}.tfrecord",
        {"image": ImageHandler((4, 4, 1)), "label": LabelHandler(3)},
        PER_SHARD,
        {"train": ROWS},
        lambda _: iter(rows),
        compression=compression,
        keys_to_descriptions={"image": "Bild in großen Körnern, 画像"},
    )
    return folder


def span(draw, data, longest=40):
    """Draw a range that is not empty."""
    start = draw.randrange(len(data))
    return start, min(len(data), start + draw.randint(1, longest))


def flip_a_bit(draw, data, compression):
    damaged = bytearray(data)
    damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(draw, data, compression):
    return data[: draw.randrange(len(data))]


def insert(draw, data, compression):
    at = draw.randint(0, len(data))
    return data[:at] + draw.randbytes(draw.randint(1, 20)) + data[at:]


def delete(draw, data, compression):
    start, stop = span(draw, data)
    return data[:start] + data[stop:]


def zero(draw, data, compression):
    start, stop = span(draw, data)
    return data[:start] + bytes(stop - start) + data[stop:]


def swap_ranges(draw, data, compression):
    a, b, c, d = sorted(draw.choices(range(len(data) + 1), k=4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def swap_ranges_of_one_length(draw, data, compression):
    size = draw.randint(1, len(data) // 3)
    a = draw.randint(0, len(data) - 2 * size)
    b = draw.randint(a + size, len(data) - size)
    return (
        data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]
    )


def repeat_a_record(draw, data, compression):
    """A whole record once more, framed and packed as if it belonged there."""
    content = UNPACKED[compression](data)
    starts = [0]
    while starts[-1] < len(content):
        starts.append(starts[-1] + 16 + struct.unpack_from("<Q", content, starts[-1])[0])
    number = draw.randrange(len(starts) - 1)
    record = content[starts[number] : starts[number + 1]]
    at = draw.choice(starts)
    return PACKED[compression](content[:at] + record + content[at:])


def repeat_a_line(draw, data, compression):
    lines = data.splitlines(keepends=True)
    line = draw.choice(lines)
    at = draw.randint(0, len(lines))
    return b"".join([*lines[:at], line, *lines[at:]])


def write_a_digit(draw, data, compression):
    """Change a number or a digest in its place: what is left is JSON as before."""
    places = [at for at, byte in enumerate(data) if byte in b"0123456789"]
    at = draw.choice(places)
    return data[:at] + b"%d" % draw.randrange(10) + data[at + 1 :]


def change_white_space(draw, data, compression):
    """The values stay as they are, where it hits the white space between them."""
    places = [at for at, byte in enumerate(data) if byte in b" \n"]
    at = draw.choice(places)
    return data[:at] + draw.choice([b"", b"\n", b"\t", b"  "]) + data[at + 1 :]


ANYWHERE = (flip_a_bit, cut, insert, delete, zero, swap_ranges, swap_ranges_of_one_length)
IN_SHARDS = (*ANYWHERE, repeat_a_record)
IN_MANIFESTS = (*ANYWHERE, repeat_a_line, write_a_digit, change_white_space)


def damages(path, kinds, count, compression="", seed=1):
    """Damage a file in one way after the other; it is whole again at the end."""
    draw = random.Random(f"{path.name}{compression}{seed}")
    whole = path.read_bytes()
    for _ in range(count):
        kind, damaged = draw.choice(kinds), whole
        while damaged == whole:
            damaged = kind(draw, whole, compression)
        path.write_bytes(damaged)
        yield kind.__name__, damaged
    path.write_bytes(whole)


def opened(folder, **options):
    """Tell whether a data set can be opened for training."""
    try:
        input_fn(folder, batch_size=ROWS, noise_dims=1, **options)
    except DataError:
        return False
    return True


def read(folder, reader):
    """Read the whole split, without the checksums when it is opened; None for an error."""
    try:
        fn = input_fn(
            folder, batch_size=ROWS, noise_dims=1, label_key="label", check="size", reader=reader,
            shuffle=False, repeat=False,
        )  # fmt: skip
        batches = [(batch.numpy(), given["labels"].numpy()) for given, batch in fn()]
    except (ReproducibleMLError, tf.errors.OpError):
        return None
    return [np.concatenate(column).tolist() for column in zip(*batches)]


EXPECTED = [(images() / np.float32(127.5) - 1).tolist(), [i % 3 for i in range(ROWS)]]


def same(one, other):
    """Compare JSON values; unlike ``==``, 1 is neither 1.0 nor true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def keeps_values(damaged, values):
    """Tell whether a manifest says what it did, and each thing once."""
    try:
        pairs = []
        found = json.loads(damaged, object_pairs_hook=lambda one: pairs.append(one) or dict(one))
        once = all(len(dict(one)) == len(one) for one in pairs)
        return once and same(found, values)
    except ValueError:
        return False


ROUNDS = pytest.mark.parametrize("count", [DEFAULT, pytest.param(MANY, marks=pytest.mark.slow)])


@ROUNDS
@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_damage_of_a_shard_is_found_and_stops_training(compression, count, tmp_path):
    data = make(tmp_path / "data", compression)
    readers = ["memory", "stream"] + ([] if compression else ["memmap"])
    for reader in readers:
        assert read(data, reader) == EXPECTED
    overlooked, silent = [], []
    for shard in range(3):
        path = data / f"train-{shard}.tfrecord"
        mine = count // 3 + (shard < count % 3)
        for number, (kind, damaged) in enumerate(damages(path, IN_SHARDS, mine, compression)):
            found = verify(data)
            if not found or {one.file for one in found} != {path.name}:
                overlooked.append(("verify", path.name, number, kind, found))
            if opened(data):
                overlooked.append(("open", path.name, number, kind, damaged))
            reader = readers[number % len(readers)]
            if read(data, reader) not in (None, EXPECTED):
                silent.append((reader, path.name, number, kind, damaged))
    assert not overlooked
    assert not silent
    assert verify(data) == []
    assert opened(data)


@ROUNDS
def test_damage_of_a_manifest_is_found_and_stops_training(count, tmp_path):
    data = make(tmp_path / "data")
    values = json.loads((data / MANIFEST).read_bytes())
    wrong, harmful = [], 0
    for number, (kind, damaged) in enumerate(damages(data / MANIFEST, IN_MANIFESTS, count)):
        fine = keeps_values(damaged, values)
        harmful += not fine
        if {one.file for one in verify(data)} != {MANIFEST}:
            wrong.append(("verify", number, kind, damaged))
        for check in ("auto", "size"):
            if fine != opened(data, check=check):
                wrong.append((check, number, kind, damaged))
    assert not wrong
    assert count // 2 < harmful < count, "both kinds of damage must come"


def test_a_manifest_laid_out_anew_is_found_and_trains_as_before(tmp_path):
    """Its checksum is over its values, so these are known to be those that were written."""
    data = make(tmp_path / "data")
    text = (data / MANIFEST).read_text("utf-8")
    values = json.loads(text)
    for changed in (
        text[:-1],
        text + "\n",
        text.replace("\n", "\n   ", 5),
        "\ufeff" + json.dumps(values),
        json.dumps(dict(reversed(values.items())), indent=1) + "\n",
        json.dumps(values, indent=7),
        json.dumps(values, indent=1),
        "\n\n" + json.dumps(values, separators=("\t,\r\n", " :"), ensure_ascii=False) + "\n\n",
    ):
        (data / MANIFEST).write_text(changed, encoding="utf-8")
        assert [str(one) for one in verify(data)] == [
            "dataset.json: has another layout than was written, with the same values"
        ]
        assert opened(data)
        assert repair(data) == [MANIFEST]
        assert (data / MANIFEST).read_text("utf-8") == text


def test_a_key_that_stands_twice_in_a_manifest_is_found(tmp_path):
    """JSON's usual reader takes the last of both, here the one that was written."""
    data = make(tmp_path / "data")
    text = (data / MANIFEST).read_text("utf-8")
    for changed in (
        text.replace('"format":', '"format": "evil", "format":', 1),
        text.replace('"records": 3', '"records": 99, "records": 3', 1),
    ):
        assert json.loads(changed) == json.loads(text)
        (data / MANIFEST).write_text(changed, encoding="utf-8")
        assert "appears twice" in str(verify(data)[0])
        assert not opened(data)


def test_a_manifest_nested_without_end_is_an_error_of_the_data(tmp_path):
    data = make(tmp_path / "data")
    (data / MANIFEST).write_bytes(b"[" * 200_000)
    assert verify(data)
    assert not opened(data)


def test_a_number_of_another_type_in_a_manifest_is_found(tmp_path):
    data = make(tmp_path / "data")
    text = (data / MANIFEST).read_text("utf-8")
    for changed in (text.replace('"records": 7', '"records": 7.0'), text + "\0", text + text):
        assert changed != text
        (data / MANIFEST).write_text(changed, encoding="utf-8")
        assert verify(data)
        assert not opened(data)


def test_a_record_in_the_place_of_another_is_found(tmp_path):
    """Each record is whole and the file as long as before: only checksums and digests tell."""
    data = make(tmp_path / "data")
    path = data / "train-0.tfrecord"
    whole = path.read_bytes()
    size = len(whole) // PER_SHARD
    first, second, third = (whole[at : at + size] for at in range(0, len(whole), size))
    for damaged in (first + first + third, third + second + first):
        path.write_bytes(damaged)
        assert [str(one) for one in verify(data)] == [
            "train-0.tfrecord: holds complete records, but other ones, or in another order"
        ]
        assert not opened(data)
