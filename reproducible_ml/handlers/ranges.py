"""The rule for value ranges: which values of a feature become -1 and 1.

A range is stated, or follows from the dtype *and* the values. Values fit a usual range if they lie
within it and reach its upper half, or for a range around 0 half of the way on one side. So bytes in
an int64 are 0 to 255 and not 0 to 2**63 - 1, and floats of 0 to 1 are told from floats of 0 to 255.
What fits none of the usual ranges is refused with the choices, since any guess would train on
images that are too dark, clipped or constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from reproducible_ml.handlers.values import checked_range
from reproducible_ml.utils.errors import ConfigError, DataError

Number = Union[int, float]
Range = tuple[float, float]

# From -1 to 1: what readers promise, so such floats are left as they are.
SIGNED_UNIT: Range = (-1.0, 1.0)
_UNIT: Range = (0.0, 1.0)
_USUAL: tuple[Range, ...] = (_UNIT, SIGNED_UNIT, (0.0, 255.0), (0.0, 65535.0))
# Bytes and words with their middle at 0; floats around 0 are rather normalized values.
_USUAL_INTEGERS: tuple[Range, ...] = ((-128.0, 127.0), (-32768.0, 32767.0))
# Integers between these are often the samples of a camera or scanner, of 10, 12 or 14 bits.
_BYTE, _WORD = 255, 65535
_MOST_CHOICES = 2
_DIGITS = 4
_LONGEST_WHOLE = 1e16


@dataclass(frozen=True)
class ValueSpan:
    """The least and the largest of some values, exact for every dtype.

    Attributes:
        minimum: The least value; NaN if any value is.
        maximum: The largest value; NaN if any value is.
    """

    minimum: Number
    maximum: Number

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return math.isfinite(self.minimum) and math.isfinite(self.maximum)

    def joined(self, other: ValueSpan | None) -> ValueSpan:
        """Return the span of both."""
        if other is None:
            return self
        if not (self.is_finite and other.is_finite):
            # Python's min and max drop a NaN that is not the first.
            both = np.array([self.minimum, other.minimum, self.maximum, other.maximum], float)
            return ValueSpan(float(both.min()), float(both.max()))
        return ValueSpan(min(self.minimum, other.minimum), max(self.maximum, other.maximum))


def span_of(values: np.ndarray[Any, Any]) -> ValueSpan | None:
    """Return the span of an array of numbers; None if it is empty."""
    if not values.size:
        return None
    low, high = values.min().item(), values.max().item()
    return ValueSpan(int(low), int(high)) if values.dtype.kind == "b" else ValueSpan(low, high)


def is_covered(dtype: Any, value_range: Range | None) -> bool:
    """Return whether a range holds whatever a dtype can."""
    kind = np.dtype(dtype)
    if value_range is None or kind.kind not in "biu":
        return False
    low, high = dtype_limits(kind)
    return value_range[0] <= low and value_range[1] >= high


def dtype_limits(dtype: Any) -> tuple[int, int]:
    """Return the least and the largest value of bool or of a type of integers."""
    found = np.dtype(dtype)
    if found.kind == "b":
        return 0, 1
    limits = np.iinfo(found)
    return int(limits.min), int(limits.max)


def range_of(dtype: Any, span: ValueSpan) -> Range:
    """Return the range that values have by their dtype and by what they are.

    bool is 0 to 1 and uint8 is 0 to 255. Other numbers have the first range that they fit: 0 to 1,
    -1 to 1, 0 to 255, 0 to 65535; for integers also -128 to 127, -32768 to 32767, and all values of
    their dtype.

    Args:
        dtype: NumPy dtype of the values.
        span: Their least and largest value, over the whole data set.

    Raises:
        DataError: A value is NaN or infinite, or the values fit no usual range; the message has
            the choices.
    """
    found = np.dtype(dtype)
    if found.kind == "b":
        return _UNIT
    if not span.is_finite:
        raise DataError(f"found {not_finite(span)}, expected finite numbers")
    if found == np.uint8 and span.maximum != 1:
        return (0.0, float(_BYTE))
    usual = _USUAL
    if found.kind in "iu":
        low, high = dtype_limits(found)
        usual = (*_USUAL, *_USUAL_INTEGERS, (float(low), float(high)))
    for one in usual:
        if found != np.uint8 and _fits(span, one):
            return one
    raise DataError(
        f"the values are {found.name} from {_text(span.minimum)} to {_text(span.maximum)}, from "
        "which their range can't be told: state the values that become -1 and 1, "
        f"{_choices(found, span, usual)}"
    )


def check_span(span: ValueSpan, value_range: Range) -> None:
    """Refuse values outside a range, which the reader would map outside [-1, 1].

    Raises:
        DataError: There are such values, or one is NaN or infinite.
    """
    if not span.is_finite:
        raise DataError(f"found {not_finite(span)}, expected numbers in {range_text(value_range)}")
    low, high = value_range
    if span.minimum < low or span.maximum > high:
        found = span.minimum if span.minimum < low else span.maximum
        raise DataError(
            f"found {_text(found)}, which is outside {range_text(value_range)}; state a range that "
            "holds all values, or clip them"
        )


def not_finite(span: ValueSpan) -> str:
    """Name what a span that is not finite holds: NaN or infinity."""
    return "NaN" if math.isnan(span.minimum) or math.isnan(span.maximum) else "infinity"


def range_text(value_range: Range) -> str:
    """Return a range as it is typed: ``value_range=[0,255]``."""
    return f"value_range=[{_text(value_range[0])},{_text(value_range[1])}]"


def _fits(span: ValueSpan, usual: Range) -> bool:
    low, high = usual
    if span.minimum < low or span.maximum > high:
        return False
    if low == 0:
        return 2 * span.maximum >= high
    return span.minimum < 0 and 2 * max(-span.minimum, span.maximum) >= high


def _choices(dtype: np.dtype[Any], span: ValueSpan, usual: tuple[Range, ...]) -> str:
    """List ranges that hold all values, the tightest first."""
    own = (min(0, _outward(span.minimum, -1)), _outward(span.maximum, 1))
    wider = [one for one in usual if one[0] <= span.minimum and one[1] >= span.maximum]
    if span.minimum >= 0:
        # The last one is that of an integer dtype, which may be around 0.
        wider = [one for one in wider if one[0] >= 0 or one == usual[-1]]
    if dtype.kind in "iu":
        low, high = dtype_limits(dtype)
        wider = [one for one in wider if low <= one[0] and one[1] <= high]
        if span.minimum >= 0 and _BYTE < span.maximum < _WORD:
            own = (0, min(high, 2 ** int(span.maximum).bit_length() - 1))
    found: list[str] = []
    for one in (own, *sorted(wider, key=lambda one: one[1] - one[0])):
        try:
            text = range_text(checked_range(one) or SIGNED_UNIT)
        except ConfigError:
            continue
        if text not in found:
            found.append(text)
    return " or ".join(found[:_MOST_CHOICES]) or "once float32 can hold them: scale them first"


def _outward(number: Number, direction: int) -> Number:
    """Round to a few digits, away from the values."""
    if isinstance(number, int) or number == 0:
        return number
    rounded = float(f"{number:.{_DIGITS}g}")
    if (rounded - number) * direction < 0:
        rounded += direction * 10.0 ** (math.floor(math.log10(abs(number))) + 1 - _DIGITS)
    # Summed in binary, so the last digits are again cut.
    return float(f"{rounded:.{_DIGITS}g}")


def _text(number: Number) -> str:
    whole = abs(number) < _LONGEST_WHOLE and float(number).is_integer()
    return f"{int(number)}" if whole else f"{number!r}"
