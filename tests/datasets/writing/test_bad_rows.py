"""Rows, images and paths that are unlike others: an error that names them, or right data."""

import os
import random
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reproducible_ml.datasets.serialize import serialize_source, write_records
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.handlers import (
    ArrayHandler,
    FeatureHandler,
    FloatHandler,
    ImageHandler,
    IntegersHandler,
    LabelHandler,
    TextHandler,
)
from reproducible_ml.handlers.image import load_image
from reproducible_ml.input_fn import input_fn
from reproducible_ml.utils.errors import DataError
from tests.datasets.small_data import start_writer, tree

# Rows are taken in blocks of up to 4096, perhaps with one before them for their form.
BORDERS = (0, 1, 2, 4095, 4096, 4097, 4098)
COUNT = 4100


def write(record_dir, handlers, rows, samples_per_record=COUNT, layout=iter):
    rows = list(rows)
    return write_records(
        record_dir,
        "{}-{:05d}.tfrecord",
        handlers,
        samples_per_record,
        {"train": len(rows)},
        lambda _: layout(rows),
    )


def refusal(tmp_path, handlers, rows, **options):
    """Write rows that must be refused; return what was said."""
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        write(tmp_path / "records", handlers, rows, **options)
    assert tree(tmp_path) == before
    return str(caught.value)


def examples(record_dir):
    """Read all records of a data set of one split, whose shards are in the order of their names."""
    paths = [str(path) for path in sorted(record_dir.glob("train*.tfrecord"))]
    for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature


# --- values

PAIR = np.zeros(2, np.uint8)
SQUARE = np.zeros((4, 4, 1), np.uint8)


def bytes2():
    return ArrayHandler((2,), "uint8")


def objects(*values):
    out = np.empty(len(values), object)
    out[:] = values
    return out


BAD_VALUES = [
    (bytes2(), PAIR, objects(1, None), "dtype object, expected numbers"),
    (bytes2(), PAIR, objects(1, 2), "dtype object, expected numbers"),
    (bytes2(), PAIR, objects([1], [1, 2]), "dtype object, expected numbers"),
    (bytes2(), PAIR, np.array({"a": 1}, object), "dtype object, expected numbers"),
    (bytes2(), PAIR, [1, None], "dtype object, expected numbers"),
    (bytes2(), PAIR, None, "dtype object, expected numbers"),
    (bytes2(), PAIR, np.array([1, 2j]), "dtype complex128, expected numbers"),
    (bytes2(), PAIR, np.zeros(2, "datetime64[s]"), r"dtype datetime64\[s\], expected numbers"),
    (bytes2(), PAIR, np.zeros(2, [("a", "u1")]), "expected numbers"),
    (bytes2(), PAIR, b"\x00\x01", "expected numbers"),
    (bytes2(), PAIR, np.array([0, -1]), "found -1, out of the range of uint8 "),
    (bytes2(), PAIR, [256, 0], "found 256, out of the range of uint8 "),
    (bytes2(), PAIR, np.array([-0.5, 0]), "found -0.5, which is not an integer, expected uint8"),
    (bytes2(), PAIR, np.array([0, np.inf]), "found infinity, expected uint8"),
    (bytes2(), PAIR, np.array([-np.inf, 0], np.float16), "found infinity, expected uint8"),
    (bytes2(), PAIR, np.array([np.nan, np.inf]), "found NaN, expected uint8"),
    (ArrayHandler((1,), "int64"), [1], [2**63], f"found {2**63}, out of the range of int64"),
    (ArrayHandler((1,), "int64"), [1], [2.0**63], "out of the range of int64"),
    (ArrayHandler((1,), "int64"), [1], [2**64], "expected numbers"),
    (ArrayHandler((1,), "int64"), [1], [-(2**63) - 1], "expected numbers"),
    (ArrayHandler((1,), "uint64"), [1], [-1], "found -1, out of the range of uint64"),
    (ArrayHandler((1,), "float16"), [1], [65536.0], "out of the range of float16"),
    (ArrayHandler((1,), "float32"), [1], [-1e300], "out of the range of float32"),
    (ArrayHandler((1,), "bool"), [True], [np.nan], "found NaN, expected bool"),
    (ArrayHandler((1,), "bool"), [True], [0.5], "not an integer, expected bool"),
    (ArrayHandler((1,), "bool"), [True], [-1], "other than 0 and 1, expected bool"),
    (bytes2(), PAIR, np.ma.array([1, 2], "uint8", mask=[0, 1]), "found a masked value"),
    (LabelHandler(), 1, np.ma.masked, "found a masked value"),
    (LabelHandler(), 1, np.ma.array(1, mask=True), "found a masked value"),
    (IntegersHandler(), [1, 2], np.ma.array([1, 2], mask=[0, 1]), "found a masked value"),
    (ImageHandler((4, 4, 1)), SQUARE, np.ma.masked_equal(SQUARE, 0), "found a masked value"),
    (LabelHandler(), 1, np.nan, "found NaN, expected int64"),
    (LabelHandler(), 1, -np.inf, "found infinity, expected int64"),
    (LabelHandler(), 1, 1e300, "out of the range of int64"),
    (LabelHandler(), 1, np.uint64(2**63), f"found {2**63}, out of the range of int64"),
    (LabelHandler(), 1, -(2**63) - 1, "expected numbers"),
    (LabelHandler(), 1, objects(1), "expected numbers"),
    (LabelHandler(), 1, "1", "expected numbers"),
    (LabelHandler(), 1, np.array([]), "found 0 values"),
    (LabelHandler(), 1, np.array([1, 2]), "found 2 values"),
    (FloatHandler(), 0.5, 10**400, "expected numbers"),
    (FloatHandler(), 0.5, "0.5", "expected numbers"),
    (FloatHandler(), 0.5, 1j, "dtype complex128, expected numbers"),
    (FloatHandler(), 0.5, -3.5e38, "out of the range of float32"),
    (FloatHandler(), 0.5, np.zeros(2), "found 2 values"),
    (IntegersHandler(), [1, 2], [1, np.nan], "found NaN, expected int64"),
    (IntegersHandler(), [1, 2], [np.inf], "found infinity, expected int64"),
    (IntegersHandler(), [1, 2], [2**63], f"found {2**63}, out of the range of int64"),
    (IntegersHandler(), [1, 2], objects(1, "a"), "expected numbers"),
    (IntegersHandler(dtype="uint8"), [1, 2], [1, -2, 3], "found -2, out of the range of uint8"),
    (TextHandler(), "text", None, "type NoneType, expected text"),
    (TextHandler(), "text", b"\xc3", "bytes that are not UTF-8"),
    (TextHandler(), "text", "a\udcff", "UTF-8 cannot encode"),
    (TextHandler(), "text", ["text"], "type list, expected text"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((4, 4), None), "expected numbers"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((4, 4), np.nan), "found NaN, expected uint8"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((4, 4), 256), "found 256, out of the range"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((4, 4), -1, np.int8), "found -1, out of the range"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((8, 8), np.nan), "found NaN, expected uint8"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((8, 8), np.inf), ", expected uint8"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((8, 8), 256), "out of the range of uint8"),
    (ImageHandler((4, 4, 1)), SQUARE, np.full((8, 8), -7.0), "out of the range of uint8"),
    (ImageHandler((4, 4, 1)), SQUARE, None, "expected numbers"),
]
NAMES = [f"{type(handler).__name__}-{number}" for number, (handler, *_) in enumerate(BAD_VALUES)]


@pytest.mark.parametrize("place", [0, 1, 7])
@pytest.mark.parametrize(("handler", "good", "bad", "said"), BAD_VALUES, ids=NAMES)
def test_a_bad_value_names_shard_and_record(handler, good, bad, said, place, tmp_path):
    """The first record of all, the second, and one within a block of a later shard."""
    rows = [{"it": good, "i": number} for number in range(9)]
    rows[place] = {"it": bad, "i": 0}
    handlers = {"it": handler, "i": LabelHandler()}
    shard, record = divmod(place, 5)
    for layout in (iter, list):
        found = refusal(tmp_path, handlers, rows, samples_per_record=5, layout=layout)
        assert re.match(rf"train-0000{shard}\.tfrecord, record {record}: .*{said}", found), found


ONE_OF_EACH = {type(handler).__name__: (handler, good, bad) for handler, good, bad, _ in BAD_VALUES}


@pytest.mark.parametrize("place", [0, 1, 7])
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_bad_value_names_its_field(name, place, tmp_path):
    handler, good, bad = ONE_OF_EACH[name]
    rows = [{"größe": good, "i": number} for number in range(9)]
    rows[place] = {"größe": bad, "i": 0}
    found = refusal(tmp_path, {"i": LabelHandler(), "größe": handler}, rows, samples_per_record=5)
    assert "'größe'" in found, found


@pytest.mark.parametrize("place", BORDERS)
def test_a_bad_value_at_the_border_of_a_block_is_named(place, tmp_path):
    labels = [0] * COUNT
    labels[place] = 3
    found = refusal(tmp_path, {"label": LabelHandler(3)}, ({"label": one} for one in labels))
    assert f"train-00000.tfrecord, record {place}: " in found
    assert "found label 3, expected 0 to 2" in found


@pytest.mark.parametrize("place", [0, 4])
def test_masked_arrays_in_all_rows_are_refused_where_a_value_is_missing(place, tmp_path):
    arrays = [np.ma.array([1, 2], "uint8") for _ in range(9)]
    arrays[place][1] = np.ma.masked
    found = refusal(tmp_path, {"it": bytes2()}, ({"it": one} for one in arrays))
    assert f"train-00000.tfrecord, record {place}: " in found
    assert "found a masked value" in found
    arrays[place][1] = 7
    write(tmp_path / "whole", {"it": bytes2()}, ({"it": one} for one in arrays))


def test_the_first_of_several_bad_rows_is_named(tmp_path):
    """Whichever handler takes a whole block and whichever takes rows."""
    rows = [{"label": 0, "numbers": [number]} for number in range(50)]
    rows[20]["numbers"] = [0.5]
    rows[30]["label"] = 9
    handlers = {"label": LabelHandler(3), "numbers": IntegersHandler()}
    assert ", record 20: " in refusal(tmp_path, handlers, rows)
    rows[10]["label"] = 9
    assert ", record 10: " in refusal(tmp_path, handlers, rows)


@pytest.mark.parametrize("row", [None, 5, "text", [0, 0], ("it", PAIR), {}, {"it ": PAIR}])
@pytest.mark.parametrize("place", [0, 3])
def test_a_row_of_another_kind_is_refused(row, place, tmp_path):
    rows = [{"it": PAIR, "text": "a"} for _ in range(5)]
    rows[place] = row
    found = refusal(tmp_path, {"it": bytes2(), "text": TextHandler()}, rows)
    assert f"train-00000.tfrecord, record {place}: " in found


def test_object_arrays_of_a_source_are_refused(tmp_path):
    images = np.full((6, 4, 4), None)
    np.savez(tmp_path / "objects.npz", x_train=images, y_train=np.zeros(6, int))
    with pytest.raises(DataError, match=r"objects\.npz holds Python objects"):
        make_source("npz", npz_file=str(tmp_path / "objects.npz"))


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (np.zeros((24, 4, 4), "U3"), np.zeros(24, int), r"x_train.*dtype <U3, expected numbers"),
        (np.zeros((24, 4, 4)), np.full(24, "cat"), r"y_train.*dtype <U3, expected .*integers"),
        (np.zeros((24, 4, 4)), np.full(24, np.nan), r"y_train.*nan, expected integers"),
        (np.zeros((24, 4, 4)), np.full(24, np.inf), r"y_train.*inf, expected integers"),
        (np.zeros((24, 4, 4)), np.full(24, 0.5), r"y_train.*0.5, expected integers"),
        (np.zeros((24, 4, 4)), np.full(24, -1), r"y_train.*-1, expected integers from 0"),
        (np.zeros((24, 4, 4)), np.zeros((24, 2), int), r"y_train.*shape \(24, 2\)"),
        (np.zeros((24, 4, 4)), np.array(1), r"y_train.*shape \(\)"),
        (np.array(1), np.zeros(24, int), r"x_train.*shape \(\)"),
        (np.zeros((24, 4, 0)), np.zeros(24, int), r"x_train.*shape \(24, 4, 0\)"),
        (np.zeros((24, 4, 4, 2)), np.zeros(24, int), r"x_train.*shape \(24, 4, 4, 2\)"),
        (np.zeros((1, 4, 4)), np.zeros(1, int), r"x_train.*1 row"),
    ],
)
def test_arrays_of_an_npz_that_are_no_images_and_labels_are_named(images, labels, said, tmp_path):
    np.savez(tmp_path / "odd.npz", x_train=images, y_train=labels)
    with pytest.raises(DataError, match=rf"odd\.npz: {said}"):
        make_source("npz", npz_file=str(tmp_path / "odd.npz"))


# --- features


class Made(FeatureHandler):
    """A handler that makes whatever features a function of the row gives."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def handle(self, row, key):
        return self._function(row, key)


def integers(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def byte_strings(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


@pytest.mark.parametrize("order", ["first", "last"])
def test_a_feature_of_two_handlers_is_refused(order, tmp_path):
    both = {
        "size": Made(lambda row, key: {key: integers(1), "label": integers(2)}),
        "label": LabelHandler(),
    }
    handlers = dict(both if order == "first" else reversed(both.items()))
    found = refusal(tmp_path, handlers, [{"label": 1, "size": 1}] * 3)
    assert "train-00000.tfrecord, record 0: feature 'label' is made twice" in found


@pytest.mark.parametrize("place", BORDERS[1:])
def test_a_feature_of_two_handlers_from_some_row_on_is_refused(place, tmp_path):
    def late(row, key):
        return {key: integers(1), **({"label": integers(2)} if row["label"] >= place else {})}

    handlers = {"size": Made(late), "label": LabelHandler()}
    found = refusal(tmp_path, handlers, [{"label": number} for number in range(COUNT)])
    assert f"train-00000.tfrecord, record {place}: " in found
    assert "'label' is made twice" in found or "has the features label, size" in found


def broken(value):
    def function(row, key):
        return value if row["label"] == 3 else {key: integers(1)}

    return function


def failing(error):
    def function(row, key):
        if row["label"] == 3:
            raise error
        return {key: integers(1)}

    return function


@pytest.mark.parametrize("first", ["it", "label"])
@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            broken(None),
            "field 'it': Made.handle returned type NoneType, expected {key: tf.train.Feature}",
        ),
        (broken(5), "field 'it': Made.handle returned type int, expected"),
        (broken([integers(1)]), r"field 'it': Made.handle returned type list, expected"),
        (broken({"it": 5}), "feature 'it' is of type int, expected a tf.train.Feature"),
        (broken({"it": None}), "feature 'it' is of type NoneType, expected a tf.train.Feature"),
        (failing(KeyError("bug")), "field 'it': its handler failed with KeyError: 'bug'"),
        (failing(OSError(2, "gone")), r"field 'it': its handler failed with .*\[Errno 2\] gone"),
        (failing(AssertionError()), "field 'it': its handler failed with AssertionError: "),
    ],
)
def test_a_handler_that_fails_is_named_with_shard_record_and_field(function, said, first, tmp_path):
    """In the very first record, in a block beside a batch method, and row by row."""
    made = {"it": Made(function), "label": LabelHandler()}
    handlers = {first: made.pop(first), **made}
    rows = [{"label": number} for number in range(9)]
    found = refusal(tmp_path, handlers, rows, samples_per_record=2)
    assert re.match(rf"train-00001\.tfrecord, record 1: {said}", found), found
    found = refusal(tmp_path, {"it": handlers["it"]}, rows[3:])
    assert re.match(rf"train-00000\.tfrecord, record 0: {said}", found), found


def test_the_error_of_a_handler_is_the_cause_of_what_is_said(tmp_path):
    cause = KeyError("bug")
    with pytest.raises(DataError) as caught:
        write(tmp_path / "records", {"it": Made(failing(cause))}, [{"label": 3}])
    found, causes = caught.value, []
    while found.__cause__ is not None:
        found = found.__cause__
        causes.append(found)
    assert causes[-1] is cause


def changed_rows(place, before, after):
    return [before if number < place else after for number in range(COUNT)]


CHANGES = {
    "shape": ({"a": PAIR, "b": 1}, {"a": np.zeros(3, np.uint8), "b": 1}, r"shape \(3,\), exp.*2,"),
    "dimensions": ({"a": PAIR, "b": 1}, {"a": PAIR[None], "b": 1}, r"\(1, 2\), expected \(2,\)"),
    "dtype": ({"a": PAIR, "b": 1}, {"a": PAIR + 0.5, "b": 1}, "found 0.5, .*uint8"),
    "missing": ({"a": PAIR, "b": 1}, {"a": PAIR}, "has no field 'b'; its fields are 'a'"),
    "renamed": ({"a": PAIR, "b": 1}, {"a": PAIR, "B": 1}, "no field 'b'; its fields are 'a', 'B'"),
    "none": ({"a": PAIR, "b": 1}, {"a": PAIR, "b": None}, "expected numbers"),
}


@pytest.mark.parametrize("place", BORDERS[1:])
@pytest.mark.parametrize("change", CHANGES)
def test_a_schema_that_changes_half_way_is_refused(change, place, tmp_path):
    before, after, said = CHANGES[change]
    handlers = {"a": ArrayHandler(), "b": LabelHandler()}
    found = refusal(tmp_path, handlers, changed_rows(place, before, after))
    assert re.match(rf"train-00000\.tfrecord, record {place}: .*{said}", found), found


def test_a_schema_that_changes_with_the_shard_or_the_split_is_refused(tmp_path):
    before, after, said = CHANGES["shape"]
    found = refusal(
        tmp_path, {"a": ArrayHandler()}, [before] * 5 + [after] * 5, samples_per_record=5
    )
    assert re.match(rf"train-00001\.tfrecord, record 0: .*{said}", found), found
    with pytest.raises(DataError, match=rf"eval-00000\.tfrecord, record 0: .*{said}"):
        write_records(
            tmp_path / "records",
            "{}-{:05d}.tfrecord",
            {"a": ArrayHandler()},
            5,
            {"train": 3, "eval": 3},
            lambda split: iter([before if split == "train" else after] * 3),
        )
    assert tree(tmp_path) == {}


LATER = {
    "another feature": (lambda: {"extra": integers(1)}, "has the features a, b, extra; expected"),
    "no feature": (lambda: None, "has the features b; expected a, b|has the features ; exp"),
    "another kind": (lambda: {"a": byte_strings(b"1")}, "'a' is a bytes list, expected a int64"),
    "no value": (lambda: {"a": integers()}, "'a' has 0 values, expected 1"),
    "more values": (lambda: {"a": integers(1, 2)}, "'a' has 2 values, expected 1"),
    "empty": (lambda: {"a": tf.train.Feature()}, "'a' is empty"),
}


@pytest.mark.parametrize("place", BORDERS[1:])
@pytest.mark.parametrize("change", LATER)
def test_a_handler_that_changes_its_features_half_way_is_refused(change, place, tmp_path):
    later, said = LATER[change]

    def function(row, key):
        if row["b"] < place:
            return {key: integers(1)}
        changed = later()
        return {} if changed is None else {key: integers(1), **changed}

    handlers = {"a": Made(function), "b": LabelHandler()}
    found = refusal(tmp_path, handlers, [{"b": number} for number in range(COUNT)])
    assert f"train-00000.tfrecord, record {place}: " in found
    # Handlers without batch method are held to their own feature in a block, to all in the loop.
    assert re.search(said.replace("a, b, extra", "a,( b,)? extra"), found), found


@pytest.mark.parametrize("place", [1, 4097])
def test_rows_with_more_fields_or_other_types_of_the_same_values_are_taken(place, tmp_path):
    before = {"a": np.array([1, 2], np.uint8), "b": 3}
    after = {"b": np.float64(3), "new": object(), "a": [1.0, 2.0]}
    handlers = {"a": ArrayHandler(), "b": LabelHandler()}
    one = write(tmp_path / "one", handlers, [before] * COUNT)
    other = write(tmp_path / "other", handlers, changed_rows(place, before, after))
    assert one.fingerprint == other.fingerprint


# --- image folders


def grey(path, value=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    return path


def source_of(folder):
    return make_source("folder", image_dir=str(folder), image_shape=(4, 4, 1))


def stored_images(record_dir):
    """Map each image's grey to its label, over all splits."""
    found = {}
    for path in sorted(record_dir.glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset([str(path)]).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            image = features["image"].bytes_list.value[0]
            assert image == image[:1] * 16
            found[image[0]] = features["label"].int64_list.value[0]
    return found


def test_links_that_form_a_loop_are_named(tmp_path):
    grey(tmp_path / "images/cat/0.png")
    grey(tmp_path / "images/dog/0.png")
    link = tmp_path / "images/cat/again"
    for target in (link.parent, tmp_path / "images", tmp_path, "."):
        link.symlink_to(target)
        with pytest.raises(
            DataError, match=r"images/cat/again(/images)? is a link to a folder above"
        ):
            source_of(tmp_path / "images")
        link.unlink()
    (tmp_path / "images/cat/to_dog").symlink_to(tmp_path / "images/dog")
    (tmp_path / "images/dog/to_cat").symlink_to(tmp_path / "images/cat")
    with pytest.raises(DataError, match="to_dog/to_cat is a link to a folder above"):
        source_of(tmp_path / "images")


def test_links_that_form_no_loop_are_followed(tmp_path):
    grey(tmp_path / "elsewhere/deep/1.png", 1)
    grey(tmp_path / "images/cat/0.png", 0)
    (tmp_path / "images/cat/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/dog").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "images/cat/2.png").symlink_to(grey(tmp_path / "third.png", 2))
    serialize_source(source_of(tmp_path / "images"), tmp_path / "records")
    assert stored_images(tmp_path / "records").keys() == {0, 1, 2}
    assert sum(source_of(tmp_path / "images").split_to_size.values()) == 4


@pytest.mark.parametrize("kind", ["link to itself", "links to each other", "broken link", "pipe"])
def test_what_is_named_like_an_image_but_is_no_file_is_refused(kind, tmp_path):
    grey(tmp_path / "images/cat/0.png")
    odd = tmp_path / "images/cat/odd.png"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        target = {"link to itself": odd, "links to each other": "b.png", "broken link": "nowhere"}
        odd.symlink_to(target[kind])
        if kind == "links to each other":
            (odd.parent / "b.png").symlink_to(odd)
    with pytest.raises(DataError, match=r"images/cat/(odd|b)\.png is named like an image but is"):
        source_of(tmp_path / "images")


# Opens a folder and writes it, without the rights that root has.
UNPRIVILEGED = """
import json, os, sys
import tensorflow
from reproducible_ml.datasets.serialize import serialize_source, write_records
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.handlers import ImageHandler

settings = json.loads(sys.argv[1])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
if settings["by"] == "source":
    source = make_source("folder", image_dir="images", image_shape=(4, 4, 1))
    serialize_source(source, "out/records")
else:
    write_records("out/records", "{}-{:05d}.tfrecord", {"image": ImageHandler((4, 4, 1))}, 10,
                  {"train": 2}, lambda _: iter(["images/cat/0.png", "images/cat/1.png"]))
"""


@pytest.mark.parametrize(
    ("locked", "by", "said"),
    [
        ("images/cat/1.png", "source", r"images/cat/1\.png can't be read: Permission denied"),
        (
            "images/cat/1.png",
            "path",
            r"record 1: field 'image': images/cat/1\.png can't be read .*Permission den",
        ),
        ("images/cat", "source", "images/cat can't be read: Permission denied"),
        ("images", "source", "images can't be read: Permission denied"),
    ],
)
def test_images_and_folders_that_must_not_be_read_are_named(locked, by, said, tmp_path):
    for number in range(2):
        grey(tmp_path / f"images/cat/{number}.png")
    (tmp_path / "out").mkdir()
    for folder in (tmp_path, tmp_path / "out"):
        folder.chmod(0o777)
    # Its own folder must be reachable for nobody, which pytest's are not.
    reachable = [folder for folder in tmp_path.parents if folder.owner() == tmp_path.owner()]
    modes = {folder: folder.stat().st_mode for folder in reachable if folder.name}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o011)
    (tmp_path / locked).chmod(0)
    try:
        process = start_writer(UNPRIVILEGED, tmp_path, measured=False, by=by)
        _, error = process.communicate(timeout=120)
    finally:
        (tmp_path / locked).chmod(0o755)
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert process.returncode == 1, error
    last = error.strip().splitlines()[-1]
    assert re.search(rf"DataError: .*{said}", last), error
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["empty.png", "empty.JPG", "empty.jpeg", "empty.npy"])
def test_an_image_of_zero_bytes_is_named(name, tmp_path):
    folder = tmp_path / "images/cat"
    grey(folder / "0.png")
    (folder / name).touch()
    before = tree(tmp_path)
    said = rf"-00000\.tfrecord, record \d: .*images/cat/{name} is empty \(0 bytes\)"
    with pytest.raises(DataError, match=said):
        serialize_source(source_of(tmp_path / "images"), tmp_path / "records")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((4, 4), None), r"allow_pickle|[Oo]bject"),
        (np.full((4, 4), np.nan), "found NaN, expected uint8"),
        (np.full((4, 4), 256), "found 256, out of the range of uint8"),
        (np.zeros((4, 4, 3), np.uint8), "3 channels, expected 1"),
        (np.zeros(16, np.uint8), r"shape \(16,\), expected an image"),
        (np.zeros((4, 4), "U1"), "expected numbers"),
    ],
)
def test_an_array_file_that_is_no_such_image_is_named(array, said, tmp_path):
    grey(tmp_path / "images/cat/0.png")
    np.save(tmp_path / "images/cat/odd.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=rf"record \d: .*images/cat/odd\.npy.*{said}"):
        serialize_source(source_of(tmp_path / "images"), tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_a_suffix_may_be_in_capitals(tmp_path):
    (tmp_path / "images/cat").mkdir(parents=True)
    with open(tmp_path / "images/cat/0.NPY", "wb") as file:
        np.save(file, np.full((4, 4), 9, np.uint8))
    grey(tmp_path / "images/cat/1.PNG", 8)
    serialize_source(source_of(tmp_path / "images"), tmp_path / "records")
    assert stored_images(tmp_path / "records") == {9: 0, 8: 0}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.npy"])
def test_a_damaged_image_file_is_named_or_still_an_image(name, tmp_path):
    path = tmp_path / name
    picture = np.random.default_rng(2).integers(0, 256, (6, 6), np.uint8)
    if path.suffix == ".npy":
        np.save(path, picture)
    else:
        Image.fromarray(picture).save(path)
    whole, draw = path.read_bytes(), random.Random(name)
    said = []
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(min(len(whole), 140))] = draw.randrange(256)
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            assert isinstance(load_image(str(path), 1), np.ndarray)
        except DataError as error:
            said.append(str(error))
    assert len(said) > 50
    assert all(str(path) in one for one in said)


def test_folders_that_are_named_like_images_are_folders(tmp_path):
    grey(tmp_path / "images/cat.png/0.png/1.jpeg/2.png", 2)
    (tmp_path / "images/cat.png/empty.png").mkdir()
    grey(tmp_path / "images/dog.npy/3.png", 3)
    source = source_of(tmp_path / "images")
    assert source.class_names == ["cat.png", "dog.npy"]
    serialize_source(source, tmp_path / "records")
    assert stored_images(tmp_path / "records") == {2: 0, 3: 1}


# --- names

ODD_NAMES = (
    "two words", " ", "Größe", "画像 🖼", "e\u0301", "{}", "{0}", "{", "}", "{x:05d}", "[1]", "*?",
    "100% %s", "a'b\"c", "#&;$HOME", "-", "~", "a\nb", "\\n", "x.tfrecord", "dataset.json",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_record_dir_of_any_name_is_written_verified_and_read(name, tmp_path):
    record_dir = tmp_path / name / name
    handlers = {"image": ImageHandler((4, 4, 1)), "label": LabelHandler()}
    rows = [{"image": np.full((4, 4), 51 * number), "label": number} for number in range(5)]
    # What a killed writer left, of version 1.0.0 too, is cleaned up, and nothing else.
    left = record_dir.parent / f".{name}.staging-dead"
    left.mkdir(parents=True)
    other = record_dir.parent / ".another.staging-dead"
    other.mkdir()
    first = write(record_dir, handlers, rows, samples_per_record=2)
    assert {path.name for path in record_dir.parent.iterdir()} == {name, other.name}
    assert verify(record_dir) == []
    assert [one["label"].int64_list.value[0] for one in examples(record_dir)] == [0, 1, 2, 3, 4]
    for reader in ("memory", "memmap", "stream"):
        fn = input_fn(
            record_dir, batch_size=5, noise_dims=1, shuffle=False, repeat=False, reader=reader
        )
        ((_, images),) = fn().as_numpy_iterator()
        np.testing.assert_allclose(images[:, 0, 0, 0], [-1, -0.6, -0.2, 0.2, 0.6], atol=1e-6)
    again = write_records(
        record_dir,
        "{}-{:05d}.tfrecord",
        handlers,
        3,
        {"train": 5},
        lambda _: iter(rows),
        overwrite=True,
    )
    assert again.fingerprint == first.fingerprint
    assert {path.name for path in record_dir.parent.iterdir()} == {name, other.name}
    assert verify(record_dir) == []


@pytest.mark.parametrize("name", [*ODD_NAMES, "."])
def test_an_error_in_a_record_dir_of_any_name_leaves_nothing(name, tmp_path):
    (tmp_path / "parent").mkdir()
    rows = [{"label": 0}] * 3 + [{"label": "cat"}]
    with pytest.raises(DataError, match=r"train-00000\.tfrecord, record 3: "):
        write(tmp_path / "parent" / name / "records", {"label": LabelHandler()}, rows)
    assert list((tmp_path / "parent").iterdir()) == []


@pytest.mark.parametrize(
    "pattern", ["Größe {}-{:05d}.tfrecord", "{} von 画像 {}", "{{{}}} [{}].tfrecord"]
)
def test_a_record_pattern_with_other_letters_is_written_verified_and_read(pattern, tmp_path):
    record_dir = tmp_path / "records"
    rows = [{"image": np.full((4, 4), number)} for number in range(5)]
    handlers = {"image": ImageHandler((4, 4, 1))}
    manifest = write_records(record_dir, pattern, handlers, 2, {"train": 5}, lambda _: iter(rows))
    wanted = [pattern.format("train", index) for index in range(3)]
    assert [shard.file for shard in manifest.splits["train"].shards] == wanted
    assert verify(record_dir) == []
    ((_, images),) = input_fn(record_dir, batch_size=5, repeat=False)().as_numpy_iterator()
    assert images.shape == (5, 4, 4, 1)
    extra = record_dir / pattern.format("train", 3)
    extra.write_bytes((record_dir / wanted[0]).read_bytes())
    assert [str(one) for one in verify(record_dir)] == [
        f"{extra.name}: is an extra file, not listed in the manifest"
    ]
    with pytest.raises(DataError, match="is named like a shard"):
        input_fn(record_dir)


def test_images_and_classes_of_any_name_are_written(tmp_path):
    root = tmp_path / "Bilder {0} größer"
    names = [name for name in ODD_NAMES if name not in ("~",)]
    for number, name in enumerate(names):
        grey(root / name / f"{name}.png", number)
    source = source_of(root)
    assert source.class_names == sorted(names)
    serialize_source(source, tmp_path / "records")
    assert stored_images(tmp_path / "records") == {
        number: sorted(names).index(name) for number, name in enumerate(names)
    }
    assert verify(tmp_path / "records") == []


@pytest.mark.parametrize("name", [b"caf\xe9/0.png", b"cat/caf\xe9.png", b"cat/caf\xe9/0.png"])
def test_a_name_that_is_not_utf_8_is_refused(name, tmp_path):
    path = os.path.join(os.fsencode(tmp_path / "images"), name)
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(grey(tmp_path / "grey.png").read_bytes())
    with pytest.raises(DataError, match=r"caf\\udce9.*has a name that is not UTF-8"):
        source_of(tmp_path / "images")
