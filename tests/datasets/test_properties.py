"""Whatever the schema and the values: the bytes of protobuf, and the values back."""

import struct
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import crc32c
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import (
    ArrayHandler,
    FeatureHandler,
    FeatureSchema,
    FloatHandler,
    IntegersHandler,
    LabelHandler,
    TextHandler,
)

ROUND = {"deadline": None, "derandomize": True, "database": None}
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

PREFIXES = ("image", "image/h", "image/height", "image/height/", "i", "im", "imagf", "image\0")
OTHER_NAMES = (
    "größe",
    "größe/ü",
    "画像",
    "画像/高さ",
    "é",
    "e\u0301",
    "🖼",
    " ",
    "a b",
    "{}",
    "\x7f",
)
DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip
INT64 = (-(2**63), -(2**63) + 1, -1, 0, 1, 127, 128, 2**31, 2**53 + 1, 2**62 + 1, 2**63 - 1)
# Bits of float32: zeros, subnormals, largest, infinities, NaNs that are quiet and signalling, with
# and without sign and payload.
FLOAT_BITS = (
    0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x3F800000, 0x7F7FFFFF, 0xFF7FFFFF,
    0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7FC12345, 0x7F800001, 0xFFBFFFFF, 0xFFFFFFFF,
)  # fmt: skip


class Blob(FeatureHandler):
    """A handler without batch method, of byte strings of any length."""

    def handle(self, row, key):
        return {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[row[key]]))}

    def schema(self):
        return FeatureSchema("bytes", "uint8", None, "raw")


class Column(NamedTuple):
    """One feature: its handler, its values as rows have them, and what must be stored."""

    handler: FeatureHandler
    values: list[Any]
    stored: list[Any]  # bytes, or lists of int, or arrays of float32
    kind: str


def array_column(draw, count):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    source = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind == "b":
        values = source.integers(0, 2, (count, *shape)).astype(bool)
    else:
        # Any bits that there are, so that NaN, infinity and both ends of each range come along.
        size = count * int(np.prod(shape, dtype=int)) * dtype.itemsize
        few = np.array([0, 0x7F, 0x80, 0xFF, 0xF0], np.uint8)
        raw = source.choice(few, size) if draw(st.booleans()) else source.integers(0, 256, size)
        values = raw.astype(np.uint8).view(dtype).reshape(count, *shape)
    stored = [one.tobytes() for one in values]
    form = draw(st.sampled_from(["as it is", "big-endian", "transposed"]))
    given_values = list(values)
    if form == "big-endian":
        given_values = [one.astype(dtype.newbyteorder(">")) for one in values]
    elif form == "transposed":
        given_values = [np.asarray(one, order="F") for one in values]
    named = draw(st.booleans())
    handler = ArrayHandler(shape, dtype.name) if named else ArrayHandler()
    return Column(handler, given_values, stored, "bytes")


def integer(draw):
    return draw(st.sampled_from(INT64) | st.integers(-(2**63), 2**63 - 1))


def label_column(draw, count):
    stored = [[integer(draw)] for _ in range(count)]
    forms = st.sampled_from([int, np.int64, lambda value: np.array([value])])
    form = draw(forms)
    return Column(LabelHandler(), [form(value) for (value,) in stored], stored, "int64")


def float_column(draw, count):
    bits = st.sampled_from(FLOAT_BITS) | st.integers(0, 2**32 - 1)
    drawn = np.array([draw(bits) for _ in range(count)], np.uint32)
    values = drawn.view(np.float32)
    as_arrays = draw(st.booleans())
    rows = [values[i : i + 1] if as_arrays else values[i] for i in range(count)]
    return Column(FloatHandler(), rows, [values[i : i + 1] for i in range(count)], "float")


def integers_column(draw, count):
    fixed = draw(st.none() | st.integers(0, 4))
    sizes = st.integers(0, 4) if fixed is None else st.just(fixed)
    stored = [[integer(draw) for _ in range(draw(sizes))] for _ in range(count)]
    handler = IntegersHandler(None if fixed is None else (fixed,))
    return Column(handler, [np.array(one, np.int64) for one in stored], stored, "int64")


def text_column(draw, count):
    texts = draw(st.lists(st.text(max_size=6), min_size=count, max_size=count))
    if draw(st.booleans()):
        texts[-1] = "日" * draw(st.integers(40, 6000))  # its length takes two bytes, or three
    return Column(TextHandler(), texts, [text.encode("utf-8") for text in texts], "bytes")


def blob_column(draw, count):
    blobs = draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))
    return Column(Blob(), blobs, list(blobs), "bytes")


COLUMNS = (array_column, label_column, float_column, integers_column, text_column, blob_column)


@st.composite
def data_sets(draw):
    """Draw columns by name, and the number of their rows."""
    count = draw(st.sampled_from([1, 2, 3, 5, 9, 14, 33]))
    any_name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
    names = st.sampled_from(PREFIXES) | st.sampled_from(OTHER_NAMES) | any_name
    keys = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    return {key: draw(st.sampled_from(COLUMNS))(draw, count) for key in keys}, count


def feature(kind, stored):
    if kind == "bytes":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[stored]))
    if kind == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=stored))
    # Not by Python's floats, which are of 64 bits and turn signalling NaNs into quiet ones.
    raw = stored.astype("<f4").tobytes()
    packed = tf.train.FloatList.FromString(b"\x0a" + bytes([len(raw)]) + raw)
    return tf.train.Feature(float_list=packed)


def framed(payload):
    def masked(data):
        crc = crc32c.crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def records_of(columns, count):
    records = []
    for row in range(count):
        features = {key: feature(one.kind, one.stored[row]) for key, one in columns.items()}
        example = tf.train.Example(features=tf.train.Features(feature=features))
        records.append(example.SerializeToString(deterministic=True))
    return records


def check_values(columns, paths, compression):
    """Parse what is in the files with TensorFlow and compare it, bit by bit."""
    records = list(tf.data.TFRecordDataset([str(path) for path in paths], compression))
    dtypes = {"int64": tf.int64, "float": tf.float32}
    spec = {
        key: tf.io.FixedLenFeature([], tf.string)
        if one.kind == "bytes"
        else tf.io.RaggedFeature(dtypes[one.kind])
        for key, one in columns.items()
    }
    parsed = tf.io.parse_example(tf.stack(records), spec)
    for key, one in columns.items():
        if one.kind == "bytes":
            assert parsed[key].numpy().tolist() == one.stored
        elif one.kind == "int64":
            assert parsed[key].to_list() == one.stored
        else:
            found = parsed[key].flat_values.numpy().view(np.uint32)
            assert found.tolist() == np.concatenate(one.stored).view(np.uint32).tolist()


def column_of(one):
    """Put values into one array: of numbers where they are alike, else of objects."""
    alike = {(type(value), np.shape(value)) for value in one.values}
    numbers = len(alike) == 1 and not isinstance(one.values[0], (str, bytes))
    dtype = np.asarray(one.values[0]).dtype if numbers else object
    column = np.empty((len(one.values), *(np.shape(one.values[0]) if numbers else ())), dtype)
    for row, value in enumerate(one.values):
        column[row] = value
    return column


def rows_of(columns, count, layout):
    if layout == "columns":
        return {key: column_of(one) for key, one in columns.items()}
    rows = [{key: one.values[i] for key, one in columns.items()} for i in range(count)]
    return iter(rows) if layout == "iterator" else rows


def check(drawn, samples, other_samples, compression, layouts):
    columns, count = drawn

    def write(folder, samples_per_record, layout, compressed=""):
        return write_records(
            folder,
            "{}-{}.tfrecord",
            {key: one.handler for key, one in columns.items()},
            samples_per_record,
            {"train": count},
            lambda _: rows_of(columns, count, layout),
            compression=compressed,
        )

    records = records_of(columns, count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write(folder / "plain", samples, layouts[0])
        shards = [folder / "plain" / one.file for one in manifest.splits["train"].shards]
        found = [shard.read_bytes() for shard in shards]
        starts = range(0, count, samples)
        assert found == [b"".join(map(framed, records[i : i + samples])) for i in starts]
        check_values(columns, shards, "")

        packed = write(folder / "packed", other_samples, layouts[1], compression)
        assert packed.fingerprint == manifest.fingerprint
        shards = [folder / "packed" / one.file for one in packed.splits["train"].shards]
        check_values(columns, shards, compression)


ARGUMENTS = (
    data_sets(),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["GZIP", "ZLIB"]),
    st.permutations(["iterator", "list", "columns"]),
)


@settings(max_examples=40, suppress_health_check=SLOW, **ROUND)
@given(*ARGUMENTS)
def test_any_schema_has_the_bytes_of_the_loop_and_its_values_back(
    drawn, samples, other, packing, layouts
):
    check(drawn, samples, other, packing, layouts)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=SLOW, **ROUND)
@given(*ARGUMENTS)
def test_100_schemas_have_the_bytes_of_the_loop_and_their_values_back(
    drawn, samples, other, packing, layouts
):
    check(drawn, samples, other, packing, layouts)


def written(folder, handler, values, samples=100, layout=iter):
    manifest = write_records(
        folder,
        "{}-{}.tfrecord",
        {"it": handler},
        samples,
        {"train": len(values)},
        lambda _: layout([{"it": value} for value in values]),
    )
    files = [str(folder / one.file) for one in manifest.splits["train"].shards]
    records = tf.data.TFRecordDataset(files).as_numpy_iterator()
    return manifest, [tf.train.Example.FromString(one).features.feature["it"] for one in records]


def test_integers_of_several_types_in_one_block_keep_their_values(tmp_path):
    # NumPy brings unsigned and signed integers together as floats, which end at 2**53.
    values = [1, np.uint64(2**53 + 1), -1, 2**53 + 3, 1.0, True]
    _, found = written(tmp_path / "data", LabelHandler(), values)
    assert [one.int64_list.value[0] for one in found] == [int(value) for value in values]


@pytest.mark.parametrize("samples", [1, 100])
def test_a_float_is_rounded_once_whatever_stands_in_the_next_row(samples, tmp_path):
    # Half of a float32's step and a bit, which float64 cuts off: a tie, and rounded down.
    value = 2**54 + 2**30 + 1
    assert np.float32(np.int64(value)) != np.float32(np.float64(value))
    _, found = written(tmp_path / "data", FloatHandler(), [value, value, 1.5, value], samples)
    stored = [one.float_list.value[0] for one in found]
    assert stored == [2**54 + 2**31, 2**54 + 2**31, 1.5, 2**54 + 2**31]


def test_the_bits_of_a_float_do_not_depend_on_the_shard_size(tmp_path):
    values = list(np.array(FLOAT_BITS, np.uint32).view(np.float32))
    prints = {
        written(tmp_path / str(samples), FloatHandler(), values, samples)[0].fingerprint
        for samples in (1, 2, 3, 100)
    }
    assert len(prints) == 1


class Floats(FeatureHandler):
    """A handler without batch method, of floats as they are."""

    def handle(self, row, key):
        return {key: feature("float", row[key])}

    def schema(self):
        return FeatureSchema("float", "float32", None, "list")


def test_the_bits_of_floats_of_a_handler_without_batch_method_are_kept(tmp_path):
    bits = np.array(FLOAT_BITS, np.uint32)
    rows = [{"it": bits[: 1 + i].view(np.float32), "label": i} for i in range(len(bits))]
    write_records(
        tmp_path / "data",
        "{}-{}.tfrecord",
        {"it": Floats(), "label": LabelHandler()},
        100,
        {"train": len(rows)},
        lambda _: iter(rows),
    )
    records = tf.data.TFRecordDataset([str(tmp_path / "data" / "train-0.tfrecord")])
    for number, record in enumerate(records):
        parsed = tf.io.parse_single_example(record, {"it": tf.io.RaggedFeature(tf.float32)})
        assert parsed["it"].numpy().view(np.uint32).tolist() == list(FLOAT_BITS[: 1 + number])


@pytest.mark.parametrize("values", [[b"a\0", b"\0\0", b"", b"bc"], [b"\0"], [b"ab\0\0", b"abcd"]])
def test_zeros_at_the_end_of_byte_strings_are_kept(values, tmp_path):
    """NumPy's own strings end before them."""
    layouts = {"iterator": iter, "list": list, "columns": lambda rows: {"it": values}}
    for name, layout in layouts.items():
        _, found = written(tmp_path / name, Blob(), values, layout=layout)
        assert [one.bytes_list.value[0] for one in found] == values


def test_numbers_of_several_types_in_a_column_keep_their_values(tmp_path):
    values = [2**53 + 1, np.uint64(2**53 + 1), -(2**53) - 1, 1.0, 2**63 - 1]
    _, found = written(tmp_path / "data", LabelHandler(), values, layout=lambda _: {"it": values})
    assert [one.int64_list.value[0] for one in found] == [int(value) for value in values]


def test_texts_in_a_column_keep_their_ends(tmp_path):
    values = ["a\0", "\0", "", "bc  "]
    _, found = written(tmp_path / "data", TextHandler(), values, layout=lambda _: {"it": values})
    assert [one.bytes_list.value[0] for one in found] == [value.encode() for value in values]
