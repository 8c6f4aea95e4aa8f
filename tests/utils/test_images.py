"""Grids of samples."""

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.images import save_grid, tile, to_uint8


def test_every_byte_survives_the_way_to_floats_and_back():
    everything = np.arange(256, dtype=np.uint8)
    floats = everything.astype(np.float32) / np.float32(127.5) - np.float32(1)
    np.testing.assert_array_equal(to_uint8(floats), everything)


def test_values_outside_the_range_are_cut():
    np.testing.assert_array_equal(to_uint8([-7.0, 7.0]), [0, 255])


def test_tiles_stand_row_by_row_with_a_gap():
    images = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (10, 20, 30)])
    grid = tile(images, columns=2)[:, :, 0]
    assert grid.shape == (7, 9)
    assert (grid[1:3, 1:4] == 10).all()
    assert (grid[1:3, 5:8] == 20).all()
    assert (grid[4:6, 1:4] == 30).all()
    assert (grid[4:6, 5:8] == 128).all()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_grid_is_written_as_png_with_equal_bytes_each_time(tmp_path, channels, mode):
    images = np.linspace(-1, 1, 5 * 4 * 4 * channels).reshape(5, 4, 4, channels)
    first = save_grid(images, tmp_path / "new folder" / "a.png")
    second = save_grid(images, tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert picture.mode == mode
        assert picture.size == (16, 11)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (4, 4, 1), (2, 4, 4, 2)])
def test_what_is_no_batch_of_images_is_refused(shape):
    with pytest.raises(DataError, match="count, height, width"):
        tile(np.zeros(shape, np.uint8))
