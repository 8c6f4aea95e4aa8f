"""The rules by which pixels change their depth: full scale stays full scale, nothing is clipped.

A picture file says how many bits a pixel has, so its black and white are known. An array says only
its type: integers are taken as they are, since int64 often holds 0 to 255, but bool holds black and
white, and floats of 0 to 1 have white at 1. What could be read in two ways is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reproducible_ml.utils.errors import DataError

# Fewer bits keep the upper ones. A picture whose upper 4 are unused would become almost black: its
# values have 12 bits or fewer, though the file has room for 16.
_UNUSED_BITS = 4


def full_scale(bits: int) -> int:
    """Return the value of white for a number of bits."""
    return int(2**bits - 1)


def to_depth(image: np.ndarray[Any, Any], bits: int, dtype: Any) -> np.ndarray[Any, Any]:
    """Map a picture of 0 to 2^bits - 1 to the full scale of a dtype.

    To 8 bits, the upper 8 bits are kept, as libpng, Pillow and TensorFlow do; to more bits, values
    are scaled and rounded, which loses nothing. Floats have 255 as white, whatever the picture's
    depth. Other dtypes (signed, or of more than 16 bits) have no full scale for pictures, so values
    stay as they are.

    Raises:
        DataError: 8 bits would leave almost nothing of the picture.
    """
    target = np.dtype(dtype)
    white = full_scale(bits)
    if target.kind == "f":
        return image if white == 255 else image * np.float64(255 / white)
    if target.name not in ("uint8", "uint16") or white == np.iinfo(target).max:
        return image
    if white < np.iinfo(target).max:
        scaled = np.rint(image.astype(np.float64) * (np.iinfo(target).max / white))
        return scaled.astype(target)
    shift = bits - 8
    upper = image >> shift
    most = int(image.max(initial=0))
    if 0 < most <= white >> _UNUSED_BITS and not _has_8_bits(image, upper, shift):
        raise DataError(
            f"found {bits} bits a pixel of which only values up to {most} are used: in 8 bits the "
            f"image would be almost black (0 to {most >> shift}); {KEEP_16}"
        )
    return upper.astype(target)


KEEP_16 = (
    "keep 16 bits (image_dtype=uint16 for a folder, ImageHandler(dtype='uint16') otherwise), or "
    "write the file with 8"
)


def _has_8_bits(image: np.ndarray[Any, Any], upper: np.ndarray[Any, Any], shift: int) -> bool:
    """Tell whether an image was made of 8 bits, by either of the usual ways, so nothing is lost."""
    return bool(
        np.array_equal(image, upper << shift)
        or (shift == 8 and np.array_equal(image, upper.astype(np.int64) * 257))
    )


def to_full_scale(image: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Map bool and floats of 0 to 1 to the full scale of an integer dtype.

    Other values are returned as they are: integers, and floats that are whole numbers. Each image
    is judged by itself, and still no two images of a data set are read differently: floats with
    fractions must be in 0 to 1, whole ones must not be.

    Raises:
        DataError: Floats are neither; or they are only 0 and 1, which may be black and white or the
            two darkest of many shades; or they are not finite.
    """
    target = np.dtype(dtype)
    if target.kind not in "ui" or image.dtype.kind not in "bf" or not image.size:
        return image
    white = np.iinfo(target).max
    if image.dtype.kind == "b":
        return image.astype(target) * target.type(white)
    for is_odd, name in ((np.isnan, "NaN"), (np.isinf, "infinity")):
        if is_odd(image).any():
            raise DataError(f"found {name}, expected {target.name}")
    low, high = float(image.min()), float(image.max())
    whole = bool((np.trunc(image) == image).all())
    if low >= 0 and high <= 1 and not whole:
        # uint64's white is not a float64, so the largest product may exceed it.
        if white > 2**32 - 1:
            raise DataError(f"found floats of {low:g} to {high:g}, which {target.name} can't hold")
        return np.rint(image.astype(np.float64) * white).astype(target)
    if whole and (high > 1 or high == low == 0 or low < 0):
        return image
    if whole:
        raise DataError(
            f"found floats that are only 0 and 1, which may be black and white or two dark shades, "
            f"expected {target.name}; save black and white as bool, shades as {target.name}"
        )
    raise DataError(
        f"found floats of {low:g} to {high:g}, which {target.name} can't hold; scale them to 0 to "
        f"1, round them to whole numbers, or store floats (ImageHandler(dtype='float32'))"
    )
