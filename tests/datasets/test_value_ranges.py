"""What networks get lies in [-1, 1] whatever the raw data are; NumPy computes what is expected."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.datasets.serialize import (
    read_manifest,
    serialize_npz,
    serialize_source,
    write_records,
)
from reproducible_ml.datasets.serialize.checking.repairing import repair
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.handlers import (
    ArrayHandler,
    FeatureHandler,
    FeatureSchema,
    FloatHandler,
    ImageHandler,
)
from reproducible_ml.input_fn import input_fn, map_fn, split_batches, supervised_input_fn
from reproducible_ml.utils.errors import DataError, ReproducibleMLError
from tests.input_fn.by_hand import bytes_list, example, write_by_hand

ROWS = 12
SHAPE = (ROWS, 4, 4)
READERS = ("memory", "memmap", "stream")
BYTES = np.random.default_rng(5).integers(0, 256, SHAPE)
BYTES[0, 0, :2] = 0, 255
LABELS = np.arange(ROWS) % 3


def seen(record_dir, split="train", reader="auto", **options):
    """Return the images that a training reads, in the written order."""
    count = read_manifest(record_dir).splits[split].records
    read = input_fn(
        str(record_dir),
        split,
        batch_size=count,
        shuffle=False,
        repeat=False,
        reader=reader,
        **options,
    )
    ((_, images),) = read()
    return images.numpy()


def scaled(images, low, high):
    """Map [low, high] to [-1, 1] in double precision."""
    return (np.asarray(images, np.float64) - low) / (high - low) * 2 - 1


def save(path, **arrays):
    np.savez(path, **{"x_train": BYTES, "y_train": LABELS, **arrays})


def with_value(images, value):
    found = np.array(images, np.float64)
    found[7, 2, 1] = value
    return found


# --- forms of NPZ files

UNIT = BYTES / 255
BYTE = (0, 255)
# Name -> the arrays, other than BYTES and LABELS, and the range by which the pixels are expected.
RIGHT = {
    "int64": ({"x_train": BYTES.astype("int64")}, BYTE),
    "int32": ({"x_train": BYTES.astype("int32")}, BYTE),
    "int16": ({"x_train": BYTES.astype("int16")}, BYTE),
    "uint16 of bytes": ({"x_train": BYTES.astype("uint16")}, BYTE),
    "uint16": ({"x_train": (BYTES * 257).astype("uint16")}, (0, 65535)),
    "uint8": ({"x_train": BYTES.astype("uint8")}, BYTE),
    "int8": ({"x_train": (BYTES - 128).astype("int8")}, (-128, 127)),
    "float64 of bytes": ({"x_train": BYTES.astype("float64")}, BYTE),
    "float16 of bytes": ({"x_train": BYTES.astype("float16")}, BYTE),
    "float32 from 0 to 1": ({"x_train": UNIT.astype("float32")}, (0, 1)),
    "float64 from -1 to 1": ({"x_train": UNIT * 2 - 1}, (-1, 1)),
    "bool": ({"x_train": BYTES > 99}, (0, 1)),
    "integers 0 and 1": ({"x_train": (BYTES > 99).astype("int64")}, (0, 1)),
    "big-endian": ({"x_train": BYTES.astype(">i4")}, BYTE),
    "big-endian floats": ({"x_train": UNIT.astype(">f8")}, (0, 1)),
    "Fortran order": ({"x_train": np.asfortranarray(BYTES)}, BYTE),
    "strided": ({"x_train": np.repeat(BYTES, 2, 2)[:, :, ::2]}, BYTE),
    "labels as floats": ({"y_train": LABELS.astype(float)}, BYTE),
    "labels of one column": ({"y_train": LABELS[:, None].astype("uint8")}, BYTE),
    "other arrays": (
        {"meta": np.array([{"a": 1}], object), "x_train ": np.zeros(3), "bilder/ä": np.array("x")},
        BYTE,
    ),
}


@pytest.mark.parametrize("form", RIGHT)
def test_the_pixels_of_an_npz_are_read_in_their_range(form, tmp_path):
    arrays, (low, high) = RIGHT[form]
    save(tmp_path / "rows.npz", **arrays)
    source = make_source("npz", npz_file=str(tmp_path / "rows.npz"), eval_seed=None)
    manifest = serialize_source(source, tmp_path / "data", samples_per_record=5)
    assert verify(tmp_path / "data") == []
    images = arrays.get("x_train", BYTES)
    expected = scaled(images, low, high)[..., None]
    # Without a seed, the last twelfth is for eval.
    found = seen(tmp_path / "data")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[:-1], rtol=0, atol=1e-6)
    assert (found.min(), found.max()) == (-1, 1)
    feature = json.loads((tmp_path / "data" / "dataset.json").read_text())["features"]["image"]
    assert (feature["minimum"], feature["maximum"]) == (images.min(), images.max())
    as_is = form == "float64 from -1 to 1"
    assert feature["value_range"] == (None if as_is else [low, high])
    assert manifest == read_manifest(tmp_path / "data")


# Name -> the arrays, and what the sentence must say.
REFUSED = {
    "0 to 100": ({"x_train": BYTES % 101}, "x_train: the values are int64 from 0 to 100, "),
    "12 bits": ({"x_train": BYTES * 16}, "value_range=[0,4095] or value_range=[0,65535]"),
    "0 to 2": ({"x_train": UNIT * 2}, "x_train: the values are float64 from 0 to 2, "),
    "divided twice": ({"x_train": UNIT / 255}, "or value_range=[0,1]"),
    "standardized": ({"x_train": (UNIT - 0.5) * 4}, "value_range=[-2,2]"),
    "a mask in bytes": ({"x_train": (BYTES > 9).astype("uint8")}, "value_range=[0,1] or"),
    "only zeros": ({"x_train": BYTES * 0}, "from 0 to 0, "),
    "NaN": ({"x_train": with_value(UNIT, np.nan)}, "x_train, row 7: found NaN"),
    "infinity": ({"x_train": with_value(BYTES, -np.inf)}, "x_train, row 7: found infinity"),
    "NaN in eval": (
        {"x_train": UNIT, "x_eval": with_value(UNIT, np.nan), "y_eval": LABELS},
        "x_eval, row 7: found NaN",
    ),
    "splits of two dtypes": (
        {"x_test": UNIT.round(), "y_test": LABELS},
        "x_test has dtype float64, x_train int64; expected one dtype",
    ),
    "splits of two shapes": (
        {"x_test": np.repeat(BYTES, 2, 1), "y_test": LABELS},
        "x_test has images of shape (8, 4), x_train of shape (4, 4)",
    ),
    "complex": ({"x_train": BYTES * 1j}, "x_train has dtype complex128, expected numbers"),
    "structured": ({"x_train": np.zeros(SHAPE, "u1,u1")}, "x_train has dtype [("),
    "times": ({"x_train": BYTES.astype("M8[s]")}, "x_train has dtype datetime64[s], expected"),
    "objects": ({"x_train": BYTES.astype(object)}, "Python objects in its array 'x_train'"),
    "object labels": ({"y_train": LABELS.astype(object)}, "Python objects in its array 'y_train'"),
    "no dimensions": ({"x_train": np.array(3)}, "x_train has shape (), expected (count, height"),
    "no rows": ({"x_train": BYTES[:0], "y_train": LABELS[:0]}, "(0, 4, 4)"),
    "one row": ({"x_train": BYTES[:1], "y_train": LABELS[:1]}, "x_train has only 1 row"),
    "channels first": (
        {"x_train": np.repeat(BYTES[:, None], 3, 1).repeat(2, 3)},
        "Put channels last: numpy.moveaxis(images, 1, -1)",
    ),
    "labels as names": ({"y_train": np.full(ROWS, "cat")}, "y_train has dtype <U3, expected"),
    "labels one-hot": ({"y_train": np.eye(3)[LABELS]}, "store labels.argmax(axis=1)"),
    "one label too few": ({"y_train": LABELS[1:]}, "x_train has 12 rows, y_train 11"),
    "labels without images": ({"y_test": LABELS}, "has y_test but no array 'x_test'"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_an_npz_that_is_not_clear_is_refused_in_one_sentence(form, tmp_path):
    arrays, said = REFUSED[form]
    save(tmp_path / "rows.npz", **arrays)
    with pytest.raises(ReproducibleMLError) as caught:
        serialize_source(make_source("npz", npz_file=str(tmp_path / "rows.npz")), tmp_path / "data")
    text = str(caught.value)
    assert said in text
    assert "rows.npz" in text or "of npz" in text
    assert len(text.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]


def whole_file():
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def flipped():
    data = bytearray(whole_file())
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def with_a_note():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x_train", "no array")
        file.writestr("y_train", "no array")
    return buffer.getvalue()


def single():
    buffer = io.BytesIO()
    np.save(buffer, BYTES)
    return buffer.getvalue()


FILES = {
    "cut": (lambda: whole_file()[:-300], "can't be read as an NPZ file"),
    "a byte changed": (flipped, "is damaged ("),
    "a ZIP of other files": (with_a_note, "'x_train' is a file that holds no array"),
    "text": (lambda: b"x_train,y_train\n1,2\n", "does not begin as a ZIP archive"),
    "a pickle": (lambda: pickle.dumps({"x_train": BYTES}), "does not begin as a ZIP archive"),
    "empty": (lambda: b"", "is empty (0 bytes)"),
    "a single array": (single, "is a single array, expected an NPZ file"),
}


@pytest.mark.parametrize("form", FILES)
def test_a_file_that_is_no_npz_is_named(form, tmp_path):
    made, said = FILES[form]
    (tmp_path / "rows.npz").write_bytes(made())
    with pytest.raises(DataError) as caught:
        make_source("npz", npz_file=str(tmp_path / "rows.npz"))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "rows.npz"))


def test_a_stated_range_is_recorded_and_read_by(tmp_path):
    save(tmp_path / "rows.npz", x_train=BYTES % 101)
    rows_file = str(tmp_path / "rows.npz")
    source = make_source("npz", npz_file=rows_file, value_range=[0, 100], eval_seed=None)
    serialize_source(source, tmp_path / "data", samples_per_record=5)
    manifest = read_manifest(tmp_path / "data")
    assert manifest.source["arguments"]["value_range"] == [0, 100]
    expected = scaled(BYTES % 101, 0, 100)[:11, :, :, None]
    np.testing.assert_allclose(seen(tmp_path / "data"), expected, rtol=0, atol=1e-6)
    (tmp_path / "data" / "train-00001.tfrecord").unlink()
    assert repair(tmp_path / "data") == ["train-00001.tfrecord"]


def test_a_value_outside_a_stated_range_is_named(tmp_path):
    save(tmp_path / "rows.npz")
    BYTES_FROM = np.flatnonzero((BYTES > 250).any(axis=(1, 2)))[0]
    with pytest.raises(
        DataError, match=rf"x_train, row {BYTES_FROM}: found 25\d, which is outside"
    ):
        make_source("npz", npz_file=str(tmp_path / "rows.npz"), value_range=[0, 250])


# --- rows that are handled one by one, in blocks, by workers


def write(record_dir, handler, rows, **options):
    layout = options.pop("layout", lambda found: {"image": found})
    return write_records(
        record_dir,
        "{}-{:05d}.tfrecord",
        {"image": handler},
        5,
        {"train": len(rows)},
        lambda _: layout(rows),
        **options,
    )


LAYOUTS = {
    "arrays": lambda rows: {"image": rows},
    "a list": lambda rows: [{"image": row} for row in rows],
    "a generator": lambda rows: ({"image": row} for row in rows),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_pixels_that_are_no_numbers_are_refused_by_record_and_field(layout, value, said, tmp_path):
    handler = ImageHandler((4, 4, 1), "float32")
    with pytest.raises(DataError) as caught:
        write(tmp_path / "data", handler, with_value(UNIT, value), layout=LAYOUTS[layout])
    assert str(caught.value).startswith("train-00001.tfrecord, record 2: field 'image': found ")
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_outside_a_handlers_range_are_refused_by_record_and_field(layout, tmp_path):
    rows = with_value(UNIT, 1.5)
    for handler in (
        ImageHandler((4, 4, 1), "float64", value_range=(0, 1)),
        ArrayHandler((4, 4), "float64", (0, 1)),
    ):
        with pytest.raises(DataError, match=r"record 2: field 'image': found 1\.5, which is out"):
            write(tmp_path / "data", handler, rows, layout=LAYOUTS[layout])
    with pytest.raises(DataError, match=r"record 2: field 'image': found 1\.5, which is out"):
        write(tmp_path / "data", FloatHandler((0, 1)), rows[:, 2, 1], layout=LAYOUTS[layout])


def test_one_process_and_several_state_the_same_range(tmp_path):
    rows = (BYTES * 3).astype("int32")
    expected = (int(rows.min()), int(rows.max()))
    found = {}
    for name, options in {
        "blocks": {},
        "rows": {"layout": LAYOUTS["a generator"]},
        "workers": {"workers": 2},
    }.items():
        handler = ImageHandler((4, 4, 1), "int32", value_range=(0, 765))
        feature = write(tmp_path / name, handler, rows, **options).features["image"]
        assert (feature.minimum, feature.maximum) == expected
        found[name] = (tmp_path / name / "dataset.json").read_bytes()
    assert found["blocks"] == found["rows"] == found["workers"]


def test_deep_png_records_are_measured_too(tmp_path):
    rows = (BYTES * 257).astype("uint16")
    handler = ImageHandler((4, 4, 1), "uint16", encoding="png")
    feature = write(tmp_path / "data", handler, rows).features["image"]
    assert (feature.value_range, feature.minimum, feature.maximum) == ((0, 65535), 0, 65535)
    with pytest.raises(DataError, match=r"uint16 from 0 to 4080, .*value_range=\[0,4095\]"):
        write(tmp_path / "dark", handler, rows // 257 * 16)


def test_a_handler_that_delegates_takes_the_range_from_the_values_too(tmp_path):
    class Doubled(FeatureHandler):
        def transform(self, value):
            return value * 2

    handler = Doubled(ImageHandler(dtype="int64"))
    feature = write(tmp_path / "data", handler, BYTES // 2).features["image"]
    assert (feature.value_range, feature.maximum) == ((0, 255), BYTES.max() // 2 * 2)


def test_every_reader_and_input_function_gives_the_same_pixels(tmp_path):
    write(tmp_path / "data", ImageHandler((4, 4, 1), "int64"), BYTES)
    expected = scaled(BYTES, 0, 255)[..., None].astype(np.float32)
    for reader in READERS:
        np.testing.assert_allclose(seen(tmp_path / "data", reader=reader), expected, atol=1e-6)
    read = supervised_input_fn(
        tmp_path / "data", ["image"], batch_size=ROWS, shuffle=False, repeat=False
    )
    (features,) = read()
    np.testing.assert_array_equal(features["image"].numpy(), seen(tmp_path / "data"))
    ((images, _),) = split_batches(tmp_path / "data", "train")
    np.testing.assert_array_equal(images, seen(tmp_path / "data"))
    paths = sorted(str(path) for path in (tmp_path / "data").glob("*.tfrecord"))
    one = tf.data.TFRecordDataset(paths).map(map_fn(tmp_path / "data"))
    np.testing.assert_array_equal(np.stack([v.numpy() for v in one]), seen(tmp_path / "data"))


# --- arrays that state no range, read as images


def test_an_array_without_a_range_is_left_alone_but_scaled_as_an_image(tmp_path):
    write(tmp_path / "data", ArrayHandler(), BYTES.astype("float32"))
    assert read_manifest(tmp_path / "data").features["image"].value_range is None
    read = supervised_input_fn(
        tmp_path / "data", ["image"], batch_size=ROWS, shuffle=False, repeat=False
    )
    (features,) = read()
    np.testing.assert_array_equal(features["image"].numpy(), BYTES)
    np.testing.assert_allclose(
        seen(tmp_path / "data"), scaled(BYTES, 0, 255)[..., None], rtol=0, atol=1e-6
    )


def test_an_array_whose_range_can_not_be_told_is_refused_as_an_image(tmp_path):
    write(tmp_path / "data", ArrayHandler(), UNIT * 2)
    with pytest.raises(DataError, match=r"data: feature 'image': .*value_range=\[0,2\] or "):
        seen(tmp_path / "data")
    # NaN may mean a missing value where a feature is no image.
    write(tmp_path / "gaps", ArrayHandler(), with_value(UNIT, np.nan))
    with pytest.raises(DataError, match=r"train-00001\.tfrecord, record 2: found NaN"):
        seen(tmp_path / "gaps")


def test_serialize_npz_states_the_range_of_images(tmp_path):
    np.savez(tmp_path / "a.npz", x=BYTES, gaps=with_value(UNIT, np.nan), wide=UNIT * 2, t=UNIT[0])
    path = tmp_path / "a.npz"
    assert serialize_npz(path, "x", tmp_path / "x").features["x"].value_range == (0, 255)
    assert serialize_npz(path, "t", tmp_path / "t").features["t"].value_range is None
    stated = serialize_npz(path, "wide", tmp_path / "w", value_range=(0, 2))
    assert stated.features["wide"].value_range == (0, 2)
    with pytest.raises(DataError, match=r"a\.npz: gaps, row 7: found NaN"):
        serialize_npz(path, "gaps", tmp_path / "gaps")
    gaps = serialize_npz(path, "gaps", tmp_path / "gaps", handler=ArrayHandler())
    assert gaps.features["gaps"].minimum is None


# --- data sets that state no values, as version 1.0 wrote them


def before(folder, values, value_range):
    """Write a data set whose manifest states the range of version 1.0, and no values."""
    schema = FeatureSchema("bytes", values.dtype.name, SHAPE[1:], "raw", "", value_range)
    rows = [example({"image": bytes_list(row.tobytes())}) for row in values]
    write_by_hand(folder, {"train": rows}, {"image": schema}, per_shard=5)
    assert "minimum" not in (folder / "dataset.json").read_text()
    return folder


def test_bytes_of_before_are_read_as_before(tmp_path):
    data = before(tmp_path / "data", BYTES.astype("uint8"), (0, 255))
    expected = BYTES.astype(np.float32) / np.float32(127.5) - np.float32(1)
    np.testing.assert_array_equal(seen(data), expected[..., None])
    data = before(tmp_path / "none", BYTES.astype("uint8"), None)
    np.testing.assert_array_equal(seen(data), expected[..., None])


def test_floats_of_before_in_the_range_are_read_as_before(tmp_path):
    values = (UNIT * 2 - 1).astype("float32")
    np.testing.assert_array_equal(seen(before(tmp_path / "data", values, None))[..., 0], values)


@pytest.mark.parametrize(
    ("values", "value_range", "said"),
    [
        (BYTES.astype("int64"), (0, 2**63), r"range 0 to 9.22337e\+18 of its dtype int64, but its"),
        (BYTES.astype("uint16"), (0, 65535), r"values are 0 to 255"),
        ((BYTES - 128).astype("int8"), (0, 127), "found -128, which is outside"),
        (BYTES.astype("float64"), None, "found 255, which is outside"),
        (with_value(UNIT, np.nan), None, r"train-00001\.tfrecord, record 2: found NaN"),
        (BYTES.astype("float32"), (0.0, 1.0), "found 255, which is outside"),
    ],
)
def test_a_range_of_before_that_shows_nothing_is_refused(values, value_range, said, tmp_path):
    data = before(tmp_path / "data", values, value_range)
    with pytest.raises(DataError, match=rf"data: feature 'image': .*{said}.*again") as caught:
        seen(data)
    assert len(str(caught.value).splitlines()) == 1
    if value_range is not None:
        with pytest.raises(DataError, match=said):
            supervised_input_fn(data, ["image"])
