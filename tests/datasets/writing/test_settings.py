"""Settings of a writing that can't work: refused before the first row; numbers of NumPy do work."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import div_mod, read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.handlers import FeatureHandler, LabelHandler
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.small_data import images_and_labels, rows_of, tree, write

SIX = {"train": 6}


def no_rows(split):
    raise AssertionError("the rows were asked for before the settings were looked at")


# --- names of shards


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("../{}-{}.tfrecord", r"'\.\./train-0\.tfrecord': a path"),
        ("{}-{}/../../x.tfrecord", r"'train-0/\.\./\.\./x\.tfrecord': a path"),
        ("/{}-{}.tfrecord", r"'/train-0\.tfrecord': a path"),
        ("sub/{}-{}.tfrecord", r"'sub/train-0\.tfrecord': a path"),
        ("{}/{}.tfrecord", r"'train/0\.tfrecord': a path"),
        ("{}-{}/", r"'train-0/': a path"),
        ("{}-{}\0.tfrecord", r"a name with a zero byte"),
        ("{}-{}" + "ü" * 128, "a name of more than 255 bytes"),
        ("{}-{}\udcff", "which UTF-8 cannot encode"),
    ],
)
def test_a_pattern_that_leads_out_of_the_folder_is_refused(pattern, said, workers, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sub").mkdir()
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=said):
        write("in/data", SIX, record_pattern=pattern, rows_gen=no_rows, workers=workers)
    assert tree(tmp_path) == before


def test_an_absolute_pattern_is_refused_and_nothing_appears_there(tmp_path):
    pattern = f"{tmp_path}/{{}}-{{}}.tfrecord"
    with pytest.raises(ConfigError, match="a path; shards lie in the data set's own folder"):
        write("data", SIX, record_pattern=pattern, rows_gen=no_rows)
    assert list(tmp_path.iterdir()) == []


def test_a_pattern_that_gives_late_shards_one_name_is_refused(tmp_path):
    """Ten and eleven are both 1e+01."""
    with pytest.raises(ConfigError, match="gives several shards one name"):
        write("data", {"train": 12}, 1, record_pattern="{}-{:.0e}", rows_gen=no_rows)
    assert list(tmp_path.iterdir()) == []


# --- numbers


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_numbers_of_numpy_are_numbers(kind, tmp_path):
    found = write("numpy", {"train": kind(6)}, kind(4), rows_gen=rows_of(SIX), workers=kind(1))
    assert found.fingerprint == write("own", SIX, 4).fingerprint
    assert tree(tmp_path / "numpy") == tree(tmp_path / "own")
    assert [type(number) for number in div_mod(kind(7), kind(3))] == [int, int]


@pytest.mark.parametrize("value", [2.0, 2.5, np.float32(2), "2", None, [2]])
def test_numbers_that_are_not_whole_are_refused(value, tmp_path):
    said = f"must be an integer, found {re.escape(repr(value))}"
    with pytest.raises(ConfigError, match=f"The size of the split 'train' {said}"):
        write("data", {"train": value}, rows_gen=no_rows)
    with pytest.raises(ConfigError, match=f"samples_per_record {said}"):
        write("data", SIX, value, rows_gen=no_rows)
    with pytest.raises(ConfigError, match=f"workers {said}"):
        write("data", SIX, workers=value, rows_gen=no_rows)
    assert list(tmp_path.iterdir()) == []


def test_a_split_whose_name_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="There is no split 1; the splits are train"):
        write("data", {"train": 6, 1: 2, None: 3}, rows_gen=no_rows)


# --- descriptions


class Settings(FeatureHandler):
    """A handler that describes itself by what it is given."""

    def __init__(self, values):
        super().__init__()
        self._values = values

    def handle(self, row, key):
        return {key: tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))}

    def config(self):
        return self._values


ODD = {
    "file": Path("raw/digits.npz"),
    "count": np.int64(3),
    "mean": np.float32(0.5),
    "sizes": (np.uint8(1), 2),
    "box": np.array([[1, 2], [3, 4]]),
    "names": {1: "one", "b": "two", None: 3},
}
PLAIN = {
    "file": "raw/digits.npz",
    "count": 3,
    "mean": 0.5,
    "sizes": [1, 2],
    "box": [[1, 2], [3, 4]],
    "names": {"1": "one", "b": "two", "null": 3},
}


def test_paths_numbers_of_numpy_and_keys_of_any_kind_describe_a_source_and_a_handler():
    written = write("data", SIX, source=ODD, keys_to_handlers={"image": Settings(ODD)})
    assert written.source == PLAIN
    assert written.handlers == {"image": PLAIN}
    assert read_manifest("data") == written
    assert verify("data") == []


BAD = [
    ({"by": object()}, r"\['by'\] is a object, which a manifest can't hold"),
    ({"by": {1, 2}}, r"\['by'\] is a set, which a manifest can't hold"),
    ({"by": b"bytes"}, r"\['by'\] is a bytes, which a manifest can't hold"),
    ({"by": [1, {"deep": 1j}]}, r"\['by'\]\[1\]\['deep'\] is a complex"),
    ({"by": "\udcff"}, r"\['by'\] is '\\udcff', which UTF-8 cannot encode"),
    ({"by": Path("caf\udce9")}, r"\['by'\] is 'caf\\udce9', which UTF-8 cannot encode"),
    ({"\udcff": 1}, r"'\\udcff', which UTF-8 cannot encode"),
    ({1: "a", "1": "b"}, "has the key '1' twice"),
    ({(1, 2): "a"}, r"has the key \(1, 2\) twice, or the key is not a string"),
    ({"by": np.datetime64("2020-01-01")}, r"\['by'\] is a date"),
]
LOOP = []
LOOP.append(LOOP)


@pytest.mark.parametrize(("values", "said"), [*BAD, ({"by": LOOP}, "contains itself")])
def test_what_no_manifest_can_hold_is_refused_before_the_rows(values, said, tmp_path):
    with pytest.raises(ConfigError, match=f"source.*{said}|a key of source.*{said}"):
        write("data", SIX, source=values, rows_gen=no_rows)
    with pytest.raises(ConfigError, match=f"handler of 'image'.*{said}"):
        write("data", SIX, keys_to_handlers={"image": Settings(values)}, rows_gen=no_rows)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match="source must be a mapping, found 'digits'"):
        write("data", SIX, source="digits", rows_gen=no_rows)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("\udcff", r"is '\\udcff', which UTF-8 cannot encode"),
        (None, "must be a string, found None"),
    ],
)
def test_a_description_that_is_no_text_is_refused(description, said):
    with pytest.raises(ConfigError, match=f"The description of 'label' {said}"):
        write("data", SIX, keys_to_descriptions={"label": description}, rows_gen=no_rows)


def test_descriptions_of_features_whose_names_are_no_text_are_refused():
    with pytest.raises(DataError, match="keys_to_descriptions describes 1, None, which no handler"):
        write("data", SIX, keys_to_descriptions={1: "one", None: "none"}, rows_gen=no_rows)


# --- handlers and rows


@pytest.mark.parametrize("handler", [int, LabelHandler, None, "label", lambda row, key: {}])
def test_a_handler_that_is_none_is_refused(handler):
    with pytest.raises(ConfigError, match="for 'it', expected a FeatureHandler, such as"):
        write("data", SIX, keys_to_handlers={"it": handler}, rows_gen=no_rows)


@pytest.mark.parametrize("key", [1, None, b"it", "\udcff"])
def test_a_feature_whose_name_is_no_text_is_refused(key):
    with pytest.raises(
        ConfigError, match=r"A key of keys_to_handlers (must be a string|is .*UTF-8)"
    ):
        write("data", SIX, keys_to_handlers={key: LabelHandler()}, rows_gen=no_rows)


def test_a_rows_gen_that_is_no_function_is_refused():
    images, labels = images_and_labels(6)
    rows = [{"image": image, "label": label} for image, label in zip(images, labels)]
    with pytest.raises(ConfigError, match="rows_gen must be a function of a split's name, found "):
        write("data", SIX, rows_gen=rows)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("rows", [None, 5, 2.5, "text", b"bytes", np.array(3), object()])
def test_a_rows_gen_that_returns_no_rows_is_named(rows, workers, tmp_path):
    with pytest.raises(DataError, match=r"rows_gen\('train'\) returned .*, expected rows: "):
        write("data", SIX, rows_gen=lambda split: rows, workers=workers)
    assert list(tmp_path.iterdir()) == []
