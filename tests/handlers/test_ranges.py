"""The range of values follows from their dtype and from what they are, or is asked for."""

import numpy as np
import pytest

from reproducible_ml.handlers import ImageHandler, ValueSpan, checked_shape, range_of, span_of
from reproducible_ml.utils.errors import ConfigError, DataError

TOLD = [
    ("bool", 0, 1, (0, 1)),
    ("uint8", 0, 255, (0, 255)),
    ("uint8", 3, 97, (0, 255)),
    ("uint8", 0, 0, (0, 255)),
    ("int64", 0, 255, (0, 255)),
    ("int32", 0, 128, (0, 255)),
    ("uint16", 0, 250, (0, 255)),
    ("uint16", 0, 65535, (0, 65535)),
    ("int32", 12, 40000, (0, 65535)),
    ("uint32", 0, 2**32 - 1, (0, 2**32 - 1)),
    ("uint64", 7, 2**64 - 1, (0, 2.0**64)),
    ("int8", -128, 127, (-128, 127)),
    ("int8", -3, 90, (-128, 127)),
    ("int16", -20000, 5, (-32768, 32767)),
    ("int64", 0, 1, (0, 1)),
    ("int64", -1, 1, (-1, 1)),
    ("float64", 0.0, 255.0, (0, 255)),
    ("float32", 0.0, 1.0, (0, 1)),
    ("float16", 0.01, 0.6, (0, 1)),
    ("float32", -1.0, 1.0, (-1, 1)),
    ("float32", -0.2, 0.9, (-1, 1)),
]
UNTOLD = [
    ("uint8", 0, 1, "value_range=[0,1] or value_range=[0,255]"),
    ("int64", 0, 100, "value_range=[0,100] or value_range=[0,255]"),
    ("int8", 0, 127, "value_range=[0,127] or value_range=[-128,127]"),
    ("uint16", 0, 3987, "value_range=[0,4095] or value_range=[0,65535]"),
    ("uint16", 1, 1023, "value_range=[0,1023] or value_range=[0,65535]"),
    ("int64", 0, 0, "value_range=[0,1] or value_range=[0,255]"),
    ("int64", 0, 3_000_000_000, "value_range=[0,3000000000]"),
    ("float32", 0.0, 2.0, "value_range=[0,2] or value_range=[0,255]"),
    ("float64", 0.0, 16.0, "value_range=[0,16] or value_range=[0,255]"),
    ("float32", 0.0, 0.0039, "value_range=[0,0.0039] or value_range=[0,1]"),
    ("float32", -2.41, 3.07, "value_range=[-2.41,3.07]"),
    ("float64", -0.33333333, 0.3, "value_range=[-0.3334,0.3] or value_range=[-1,1]"),
    ("float64", 0.0, 1e300, "scale them first"),
]


@pytest.mark.parametrize(("dtype", "low", "high", "expected"), TOLD)
def test_a_range_follows_from_the_dtype_and_the_values(dtype, low, high, expected):
    assert range_of(dtype, ValueSpan(low, high)) == expected


@pytest.mark.parametrize(("dtype", "low", "high", "choices"), UNTOLD)
def test_what_values_do_not_tell_is_refused_with_the_choices(dtype, low, high, choices):
    with pytest.raises(DataError) as caught:
        range_of(dtype, ValueSpan(low, high))
    assert choices in str(caught.value)
    assert dtype in str(caught.value)


def test_each_choice_can_be_typed_and_holds_all_values():
    for dtype, low, high, choices in UNTOLD[:-1]:
        for choice in choices.split(" or "):
            found = eval(choice.partition("=")[2])
            handler = ImageHandler((2, 2, 1), dtype, value_range=found)
            assert handler.value_range == tuple(found)
            assert found[0] <= low
            assert found[1] >= high


def test_spans_of_parts_join_to_that_of_the_whole():
    random = np.random.default_rng(3)
    for dtype in ("bool", "int8", "uint64", "int64", "float16", "float64"):
        values = random.integers(0, 60000 if dtype == "float16" else 2**63, 999).astype(dtype)
        joined = None
        for part in np.array_split(values, 7):
            joined = span_of(part).joined(joined)
        assert (joined.minimum, joined.maximum) == (values.min().item(), values.max().item())
    for odd in (np.nan, np.inf, -np.inf):
        parts = np.array([[1.0, 2.0], [odd, 3.0], [0.0, 4.0]])
        joined = None
        for part in parts:
            joined = span_of(part).joined(joined)
        assert not joined.is_finite


@pytest.mark.parametrize(
    "shape", [[64.5, 64, 3], [64.0, 64, 3], "64,64,3", ["64", 64, 3], [True, 4, 1], 64, [-4, 4, 1]]
)
def test_a_shape_that_is_not_of_whole_numbers_is_refused(shape):
    with pytest.raises(ConfigError, match="expected shape of integers from"):
        ImageHandler(shape)
    with pytest.raises(ConfigError, match="expected shape of integers from"):
        checked_shape(shape)
    assert ImageHandler(np.array([4, 4, 1])).shape == (4, 4, 1)
