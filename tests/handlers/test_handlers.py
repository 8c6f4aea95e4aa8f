"""Each handler: its feature, its schema, its errors, and many rows at once."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.handlers import (
    ArrayHandler,
    FeatureHandler,
    FeatureSchema,
    FloatHandler,
    ImageHandler,
    IntegersHandler,
    LabelHandler,
    TextHandler,
)
from reproducible_ml.handlers.base import batch_method
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.features import bytes_feature

GREY = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
COLOUR = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5


def stored(handler, value):
    """Return the values in the one list of the feature that a handler makes of a value."""
    (feature,) = handler.handle({"it": value, "other": None}, "it").values()
    return list(getattr(feature, feature.WhichOneof("kind")).value)


# --- features and schemas


def test_a_label_is_one_int64():
    assert stored(LabelHandler(10), np.uint8(7)) == [7]
    assert stored(LabelHandler(), -3) == [-3]
    assert LabelHandler(10).schema() == FeatureSchema("int64", "int64", (), "list")


def test_a_float_is_one_float32():
    assert stored(FloatHandler(), 0.1) == [float(np.float32(0.1))]
    assert FloatHandler((0, 4)).schema() == FeatureSchema(
        "float", "float32", (), "list", value_range=(0.0, 4.0)
    )


def test_integers_are_a_list_of_any_length():
    assert stored(IntegersHandler(), [3, 1, 2]) == [3, 1, 2]
    assert stored(IntegersHandler((2, 2)), [[1, 2], [3, 4]]) == [1, 2, 3, 4]
    assert IntegersHandler().schema() == FeatureSchema("int64", "int64", None, "list")


def test_a_text_is_its_utf8():
    assert stored(TextHandler(), "Größe") == [b"Gr\xc3\xb6\xc3\x9fe"]
    assert stored(TextHandler(), b"plain") == [b"plain"]
    assert TextHandler().schema() == FeatureSchema("bytes", "string", None, "utf8")


def test_an_array_is_its_bytes_little_endian_and_row_by_row():
    big = np.asfortranarray(np.array([[1, 2], [3, 4]], ">i2"))
    assert stored(ArrayHandler((2, 2), "int16"), big) == [b"\1\0\2\0\3\0\4\0"]
    assert ArrayHandler((2, 2), "int16").schema() == FeatureSchema("bytes", "int16", (2, 2), "raw")


def test_an_array_takes_shape_and_dtype_of_the_first_row():
    handler = ArrayHandler()
    assert handler.schema() is None
    bound = handler.bind({"it": np.zeros((3, 2), np.float64)}, "it")
    assert bound.schema() == FeatureSchema("bytes", "float64", (3, 2), "raw")
    with pytest.raises(DataError, match=r"\(2, 3\), expected \(3, 2\)"):
        bound.handle({"it": np.zeros((2, 3))}, "it")


def test_an_image_is_its_bytes_with_channels():
    assert stored(ImageHandler((4, 4, 1)), GREY) == [GREY.tobytes()]
    assert ImageHandler((4, 4, 1)).schema() == FeatureSchema(
        "bytes", "uint8", (4, 4, 1), "raw", value_range=(0, 255)
    )
    assert ImageHandler().bind({"it": COLOUR}, "it").schema().shape == (4, 4, 3)


def test_an_image_is_loaded_from_npy_and_png_alike(tmp_path):
    np.save(tmp_path / "a.npy", COLOUR)
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    handler = ImageHandler((4, 4, 3), folder=str(tmp_path))
    assert stored(handler, "a.npy") == stored(handler, "a.png") == [COLOUR.tobytes()]


def test_an_image_is_converted_to_the_channels_asked_for(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    handler = ImageHandler((4, 4, 3))
    assert stored(handler, tmp_path / "grey.png") == [np.stack([GREY] * 3, axis=-1).tobytes()]
    assert stored(handler, GREY) == [np.stack([GREY] * 3, axis=-1).tobytes()]


def test_an_image_is_resized_where_it_differs():
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    (content,) = stored(ImageHandler((8, 8, 1)), ramp)
    small = np.frombuffer(content, np.uint8).reshape(8, 8)
    # Inside, halving a ramp gives the means of neighbours.
    np.testing.assert_array_equal(small[:, 1:-1], np.tile(np.arange(25, 145, 20), (8, 1)))


def test_an_image_of_floats_keeps_its_dtype():
    image = np.linspace(0, 1, 16).reshape(4, 4)
    (content,) = stored(ImageHandler((4, 4, 1), "float32"), image)
    np.testing.assert_array_equal(np.frombuffer(content, "<f4"), image.astype("f4").ravel())


@pytest.mark.parametrize(("encoding", "difference"), [("png", 0), ("jpeg", 8)])
def test_an_image_is_stored_as_a_file_when_asked(encoding, difference):
    smooth = np.tile(np.arange(0, 128, 8, dtype=np.uint8), (16, 1))
    (content,) = stored(ImageHandler(encoding=encoding, channels=1), smooth)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == encoding.upper()
        found = np.asarray(picture).astype(int)
    assert np.abs(found - smooth).max() <= difference
    assert ImageHandler(encoding=encoding, channels=1).schema().encoding == encoding


@pytest.mark.parametrize(
    "schema",
    [
        FeatureSchema("bytes", "uint8", (4, 4, 1), "raw", "An image", (0, 255)),
        FeatureSchema("bytes", "string", None, "utf8"),
        FeatureSchema("int64", "int64", (), "list"),
    ],
)
def test_a_schema_survives_json(schema):
    assert FeatureSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_a_schema_of_unknown_kind_or_encoding_is_refused():
    with pytest.raises(DataError, match="'complex'"):
        FeatureSchema("complex", "uint8", (), "raw")
    with pytest.raises(DataError, match="'tiff'"):
        FeatureSchema("bytes", "uint8", (), "tiff")
    with pytest.raises(DataError, match="damaged"):
        FeatureSchema.from_json({"kind": "bytes"})


# --- delegation


class Inverted(FeatureHandler):
    """Changes the value and leaves storing to another."""

    def transform(self, value):
        return 255 - np.asarray(value)


def test_a_transformed_value_goes_to_the_delegate():
    handler = Inverted(ImageHandler((4, 4, 1)))
    assert stored(handler, GREY) == [(255 - GREY).tobytes()]
    assert handler.schema() == ImageHandler((4, 4, 1)).schema()


def test_handlers_chain_from_resizing_to_bytes():
    handler = ImageHandler((2, 2), delegate_to=Inverted(ArrayHandler()))
    bound = handler.bind({"it": np.full((4, 4), 5, np.uint8)}, "it")
    assert stored(bound, np.full((8, 8), 5, np.uint8)) == [bytes([250] * 4)]
    assert bound.schema() == FeatureSchema("bytes", "uint8", (2, 2, 1), "raw")
    assert handler.schema() is None


def test_a_bare_sample_needs_no_field():
    assert LabelHandler().handle(3, "label")["label"].int64_list.value == [3]


def test_a_handler_without_handle_and_delegate_says_what_is_missing():
    with pytest.raises(ConfigError, match="Inverted cannot handle 'it': override handle"):
        Inverted().handle({"it": 1}, "it")


def test_a_handlers_settings_are_plain_values():
    config = Inverted(ImageHandler((4, 4, 1))).config()
    assert config["handler"] == "Inverted"
    assert config["delegate_to"]["handler"] == "ImageHandler"
    assert json.loads(json.dumps(config)) == config


# --- errors


@pytest.mark.parametrize(
    ("handler", "value", "said"),
    [
        (LabelHandler(3), -1, "found label -1, expected 0 to 2"),
        (LabelHandler(), [1, 2], "found 2 values"),
        (LabelHandler(), 2**63, "out of the range of int64"),
        (LabelHandler(), "three", "expected numbers"),
        (LabelHandler(), None, "expected numbers"),
        (FloatHandler(), 1e39, "out of the range of float32"),
        (FloatHandler(), [], "found 0 values"),
        (IntegersHandler((2,)), [1, 2, 3], r"shape \(3,\), expected \(2,\)"),
        (IntegersHandler(), [0.5], "not an integer"),
        (TextHandler(), 5, "type int, expected text"),
        (TextHandler(), b"\xff", "not UTF-8"),
        (TextHandler(), "\ud800", "UTF-8 cannot encode"),
        (ArrayHandler((2,), "int8"), [1, 200], "found 200, out of the range of int8"),
        (ArrayHandler((2,), "bool"), [1, 2], "other than 0 and 1"),
        (ArrayHandler((2,)), [[1], [1, 2]], "do not form an array"),
        (ImageHandler((4, 4, 1)), np.zeros((0, 4)), "expected an image"),
        (ImageHandler(), "missing.png", r"missing\.png does not exist"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused(handler, value, said):
    with pytest.raises(DataError, match=said):
        handler.handle({"it": value}, "it")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dtype": "complex64"}, "unknown dtype 'complex64'"),
        ({"encoding": "tiff"}, "unknown encoding 'tiff'"),
        ({"encoding": "jpeg", "dtype": "uint16"}, "a JPEG holds uint8"),
        ({"encoding": "png", "dtype": "float32"}, "a PNG holds uint8 or uint16"),
        ({"shape": (4,)}, r"found \(4,\)"),
        ({"channels": 2}, "one of 1, 3, 4"),
        ({"shape": (4, 4, 3), "channels": 1}, "contradicts"),
    ],
)
def test_image_settings_that_do_not_go_together_are_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        ImageHandler(**arguments)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_file_that_is_no_image_is_named(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png"):
        ImageHandler().handle({"it": str(tmp_path / "a.png")}, "it")


# --- many rows at once


class Columns:
    """Rows that lie in one array."""

    def __init__(self, values):
        self.columns = {"it": values}

    def __len__(self):
        return len(self.columns["it"])


RANDOM = np.random.default_rng(4)
BATCHES = {
    "labels": (LabelHandler(9), np.arange(6, dtype=np.uint8)),
    "floats": (FloatHandler(), RANDOM.standard_normal(6)),
    "texts": (TextHandler(), ["", "a", "Größe"]),
    "arrays": (ArrayHandler((3, 2), "int16"), RANDOM.integers(-9, 9, (6, 3, 2))),
    "images": (ImageHandler((4, 4, 1)), RANDOM.integers(0, 256, (6, 4, 4), np.uint8)),
    "resized": (ImageHandler((4, 4, 1)), RANDOM.integers(0, 256, (6, 7, 7), np.uint8)),
    "files": (ImageHandler((4, 4, 1), encoding="png"), RANDOM.integers(0, 99, (3, 4, 4), np.uint8)),
}


@pytest.mark.parametrize("layout", ["columns", "rows"])
@pytest.mark.parametrize("name", BATCHES)
def test_many_rows_at_once_give_what_they_give_one_by_one(name, layout):
    handler, values = BATCHES[name]
    rows = [{"it": value} for value in values]
    whole = Columns(values) if layout == "columns" and name != "texts" else rows
    found = handler.handle_batch(whole, "it")
    assert len(found) == len(values)
    for one, value in zip(found, values):
        wanted = stored(handler, value)
        if isinstance(wanted[0], bytes):
            assert bytes(one) == wanted[0]
        else:
            assert list(one) == wanted


@pytest.mark.parametrize(
    ("handler", "values"),
    [
        (LabelHandler(3), np.array([0, 3])),
        (FloatHandler(), np.zeros((2, 2))),
        (ArrayHandler((2,), "uint8"), np.zeros((2, 3))),
        (ArrayHandler((2,), "uint8"), np.full((2, 2), 256)),
        (ImageHandler((4, 4, 1)), np.zeros((2, 4, 4, 3), np.uint8)),
    ],
)
def test_many_rows_at_once_are_refused_as_one_is(handler, values):
    with pytest.raises(DataError):
        handler.handle({"it": values[-1]}, "it")
    for rows in (Columns(values), [{"it": value} for value in values]):
        with pytest.raises(DataError):
            handler.handle_batch(rows, "it")


def test_a_subclass_that_overrides_one_way_only_is_not_passed_over():
    class Next(LabelHandler):
        def handle(self, row, key):
            return super().handle({key: row[key] + 1}, key)

    class Own(FeatureHandler):
        def handle(self, row, key):
            return {key: bytes_feature(b"x")}

    assert batch_method(Next()) is None
    assert batch_method(Own()) is None
    assert batch_method(LabelHandler()) is not None


# --- value ranges


WRONG_RANGES = [
    (5, 5), (9, 1), (0, float("nan")), (float("nan"), 1), (0, float("inf")), (0, 1, 2), (1,), 7,
    "01", ("0", "1"), (0, None), (-1e308, 1e308), (0, 1e-320),
]  # fmt: skip


@pytest.mark.parametrize("value_range", WRONG_RANGES)
def test_a_value_range_that_cannot_be_scaled_is_refused(value_range):
    for make in (FloatHandler, lambda value_range: ImageHandler(value_range=value_range)):
        with pytest.raises(ConfigError, match=r"expected \(low, high\): two finite numbers"):
            make(value_range=value_range)
    with pytest.raises(ConfigError, match="value_range is"):
        ArrayHandler((2,), "uint8", value_range)
    with pytest.raises(DataError, match="feature's value_range is"):
        FeatureSchema("float", "float32", (), "list", value_range=value_range)


@pytest.mark.parametrize("value_range", [(0, 255), [-1.5, 2], (np.float32(0), np.int64(4))])
def test_two_numbers_are_a_value_range(value_range):
    schema = FeatureSchema("float", "float32", (), "list", value_range=value_range)
    assert schema.value_range == (float(value_range[0]), float(value_range[1]))
    assert FeatureSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
