"""Conversion of values to ``tf.train.Feature``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def bytes_feature(value: bytes | str | Iterable[bytes]) -> tf.train.Feature:
    """Make a feature of bytes.

    Args:
        value: One byte string, a string (stored as UTF-8), or several byte strings.
    """
    import tensorflow as tf

    if isinstance(value, str):
        value = value.encode("utf-8")
    values = [bytes(value)] if isinstance(value, (bytes, bytearray, memoryview)) else list(value)
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def int64_feature(value: Any) -> tf.train.Feature:
    """Make a feature of integers.

    Args:
        value: One integer, or several in an iterable or array, which is stored in C order.
    """
    import numpy as np
    import tensorflow as tf

    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(value).tolist()))


def float_feature(value: Any) -> tf.train.Feature:
    """Make a feature of 32-bit floats.

    Args:
        value: One number, or several in an iterable or array, which is stored in C order.
    """
    import numpy as np
    import tensorflow as tf

    values = np.ravel(value)
    if values.dtype == np.float32 and np.isnan(values).any():
        # The conversion to Python's 64-bit floats and back changes the bits of some NaNs. On the
        # wire each number gets a tag and four bytes, which is read like the packed form.
        wire = b"".join(b"\x0d" + number.tobytes() for number in values.astype("<f4"))
        return tf.train.Feature(float_list=tf.train.FloatList.FromString(wire))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.tolist()))
