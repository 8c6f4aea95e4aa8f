"""Image files become the pixels that they show, or one sentence says what would be lost."""

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.handlers import ImageHandler
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.handlers.image_files import (
    COLOUR,
    DEEP,
    DEEP_COLOUR,
    GREY,
    REFUSED,
    RIGHT,
    array_file,
    png,
    saved,
    three,
    tiff,
    with_alpha,
)


def pixels(tmp_path, content, name="a.png", **settings):
    """Return what a handler makes of a file."""
    (tmp_path / name).write_bytes(content)
    return ImageHandler(**settings).transform(tmp_path / name)


@pytest.mark.parametrize("name", RIGHT)
def test_a_file_becomes_the_pixels_that_it_shows(name, tmp_path):
    content, wanted = RIGHT[name]
    found = pixels(tmp_path, content, name, shape=(28, 28, 3))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_would_lose_something_is_refused_in_one_sentence(name, tmp_path):
    content, said = REFUSED[name]
    with pytest.raises(DataError, match=said) as error:
        pixels(tmp_path, content, name, shape=(28, 28, 3))
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_picture_that_is_turned_has_the_size_of_the_upright_one(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    found = pixels(tmp_path, saved(COLOUR[:10], "PNG", exif=exif))
    np.testing.assert_array_equal(found, np.rot90(COLOUR[:10]))


@pytest.mark.parametrize("size", [(28, 28), (14, 14), (56, 40)])
@pytest.mark.parametrize(
    "content",
    [array_file(GREY / 255), saved((GREY / 255).astype(np.float32), "TIFF")],
    ids=["npy", "tiff"],
)
def test_floats_of_0_to_1_have_the_pixels_of_their_bytes_at_any_size(content, size, tmp_path):
    found = pixels(tmp_path, content, shape=(*size, 1))
    wanted = Image.fromarray(GREY).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found[:, :, 0], np.asarray(wanted))


def test_16_bits_of_another_size_are_resized_as_the_8_that_are_kept(tmp_path):
    found = pixels(tmp_path, saved(DEEP, "PNG"), shape=(14, 14, 1))
    kept = Image.fromarray((DEEP >> 8).astype(np.uint8))
    wanted = kept.resize((14, 14), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found[:, :, 0], np.asarray(wanted))


def test_16_bits_are_kept_where_the_dtype_holds_them(tmp_path):
    deep = {"dtype": "uint16", "shape": (28, 28, 1)}
    np.testing.assert_array_equal(pixels(tmp_path, saved(DEEP, "PNG"), **deep)[:, :, 0], DEEP)
    np.testing.assert_array_equal(pixels(tmp_path, tiff(DEEP), **deep)[:, :, 0], DEEP)
    # White is white beside them: 255 of 8 bits is 65535 of 16.
    np.testing.assert_array_equal(
        pixels(tmp_path, saved(GREY, "PNG"), **deep)[:, :, 0], GREY.astype(np.uint16) * 257
    )
    with pytest.raises(DataError, match="16 bits in each of several channels, of which Pillow"):
        pixels(tmp_path, png(DEEP_COLOUR, 16, 2), dtype="uint16", shape=(28, 28, 3))
    with pytest.raises(DataError, match="found a JPEG2000, of which 8 bits are read"):
        pixels(tmp_path, saved(COLOUR, "JPEG2000"), dtype="uint16", shape=(28, 28, 3))


def test_12_bits_of_a_tiff_are_known_from_its_header(tmp_path):
    # Two pixels of 12 bits are three bytes.
    first, second = DEEP[:, ::2] >> 4, DEEP[:, 1::2] >> 4
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    content = tiff(packed.astype(np.uint8).reshape(28, 42), _256=(28,), _258=(12,))
    np.testing.assert_array_equal(pixels(tmp_path, content, channels=1)[:, :, 0], DEEP >> 8)
    kept = pixels(tmp_path, content, channels=1, dtype="uint16")
    np.testing.assert_array_equal(kept[:, :, 0], np.rint((DEEP >> 4) * (65535 / 4095)))


def test_floats_have_255_as_white_whatever_the_depth_of_the_files(tmp_path):
    floats = {"dtype": "float32", "shape": (28, 28, 1)}
    np.testing.assert_array_equal(pixels(tmp_path, saved(GREY, "PNG"), **floats)[:, :, 0], GREY)
    found = pixels(tmp_path, saved(DEEP, "PNG"), **floats)
    np.testing.assert_allclose(found[:, :, 0], DEEP / 257, rtol=1e-6)


def test_a_value_range_that_is_stated_leaves_values_as_they_are(tmp_path):
    twelve = DEEP >> 4
    stated = {"dtype": "uint16", "shape": (28, 28, 1), "value_range": (0, 4095)}
    np.testing.assert_array_equal(pixels(tmp_path, saved(twelve, "PNG"), **stated)[:, :, 0], twelve)
    mask = (GREY > 127) * 1.0
    binary = ImageHandler((28, 28, 1), value_range=(0, 1))
    np.testing.assert_array_equal(binary.transform(mask)[:, :, 0], mask)
    with pytest.raises(DataError, match="is not an integer, expected uint8"):
        ImageHandler((14, 14, 1), value_range=(0, 1)).transform(mask / 2)


def test_arrays_of_rows_follow_the_rules_of_files():
    handler = ImageHandler((28, 28, 1))
    np.testing.assert_array_equal(handler.transform(GREY / 255)[:, :, 0], GREY)
    np.testing.assert_array_equal(handler.transform(GREY > 9)[:, :, 0], (GREY > 9) * 255)
    with pytest.raises(DataError, match="floats that are only 0 and 1"):
        handler.transform(np.ones((28, 28)))
    for several in (np.stack([GREY, GREY.T]) / 255, np.stack([GREY, GREY.T]) > 9):
        together = handler.handle_batch({"it": several}["it"], "it")
        alone = [handler.transform(one).tobytes() for one in several]
        assert [bytes(one) for one in together] == alone


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (saved(Image.fromarray(with_alpha(GREY, 9), "LA"), "PNG"), with_alpha(three(GREY), 9)),
        (saved(with_alpha(COLOUR, 9), "PNG"), with_alpha(COLOUR, 9)),
        (saved(COLOUR, "PNG"), COLOUR),
        (saved(GREY, "PNG"), GREY[:, :, None]),
        (saved(DEEP, "PNG"), (DEEP >> 8)[:, :, None]),
    ],
)
def test_without_channels_each_file_keeps_what_it_has(content, wanted, tmp_path):
    np.testing.assert_array_equal(pixels(tmp_path, content), wanted)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (saved(with_alpha(COLOUR, 9), "PNG"), with_alpha(COLOUR, 9)),
        (saved(COLOUR, "PNG"), with_alpha(COLOUR, 255)),
        (saved(DEEP, "PNG"), with_alpha(three(DEEP >> 8).astype(np.uint8), 255)),
        (
            saved(COLOUR, "PNG", transparency=tuple(map(int, COLOUR[0, 0]))),
            np.dstack([COLOUR, (COLOUR[0, 0] != COLOUR).any(-1) * np.uint8(255)]),
        ),
    ],
)
def test_four_channels_hold_what_is_transparent(content, wanted, tmp_path):
    np.testing.assert_array_equal(pixels(tmp_path, content, shape=(28, 28, 4)), wanted)


def test_unsigned_integers_of_32_bits_do_not_wrap(tmp_path):
    large = np.array([[2**31, 2**32 - 1], [0, 5]], np.uint32)
    found = pixels(tmp_path, tiff(large), dtype="int64", channels=1)
    np.testing.assert_array_equal(found[:, :, 0], large)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shape": (64.5, 64, 3)}, r"shape of integers from 1 on, found \(64\.5, 64, 3\)"),
        ({"shape": (0, 64, 3)}, "shape of integers from 1 on"),
        ({"encoding": "jpeg", "channels": 4}, "a JPEG has no opacity"),
    ],
)
def test_a_shape_that_no_image_has_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        ImageHandler(**settings)


def test_what_an_encoding_or_a_new_size_would_lose_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(with_alpha(COLOUR, 9), "PNG"))
    with pytest.raises(
        DataError, match="4 channels, expected 1 or 3 for encoding='jpeg'; set channels="
    ):
        ImageHandler(encoding="jpeg").handle({"it": tmp_path / "a.png"}, "it")
    with pytest.raises(DataError, match="2 channels, expected 1 or 3 or 4 for encoding='png'"):
        ImageHandler(encoding="png").handle({"it": COLOUR[:, :, :2]}, "it")
    large = np.full((4, 4), 2**24 + 1)
    np.testing.assert_array_equal(ImageHandler((4, 4, 1), "int64").transform(large)[..., 0], large)
    with pytest.raises(DataError, match="integers up to 16777217, of which resizing would lose"):
        ImageHandler((2, 2, 1), "int64").transform(large)
