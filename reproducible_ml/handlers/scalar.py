"""One number a record: labels and floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.base import FeatureHandler, field_of
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.features import float_feature, int64_feature

if TYPE_CHECKING:
    import tensorflow as tf

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class LabelHandler(FeatureHandler):
    """Writes an integer label.

    Args:
        classes: Number of classes; labels must lie in [0, classes). None takes any int64.
        names: Names of the classes, by label.
    """

    def __init__(self, classes: int | None = None, names: list[str] | None = None) -> None:
        super().__init__(shape=[])
        self.classes = classes
        self.names = names

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Write one label.

        Raises:
            DataError: The value is no whole number, or outside the range.
        """
        value = _scalar(field_of(row, key), key)
        if isinstance(value, bool) or not isinstance(value, int):
            if not isinstance(value, float) or not value.is_integer():
                raise DataError(f"feature {key!r} is {value!r}, expected a whole number")
            value = int(value)
        low, high = (0, self.classes - 1) if self.classes else (_INT64_MIN, _INT64_MAX)
        if not low <= value <= high:
            raise DataError(f"feature {key!r} is {value}, expected {low} to {high}")
        return {key: int64_feature(value)}

    def schema(self) -> FeatureSchema:
        """Tell how the label is read back."""
        return FeatureSchema(kind="int64", dtype="int64", shape=(), encoding="list")


class FloatHandler(FeatureHandler):
    """Writes a number as float32.

    Args:
        value_range: (low, high) that the reader maps to [-1, 1]; None leaves values as they are.
    """

    def __init__(self, value_range: tuple[float, float] | None = None) -> None:
        super().__init__(shape=[])
        self.value_range = value_range

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Write one number.

        Raises:
            DataError: The value is no number.
        """
        value = _scalar(field_of(row, key), key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DataError(f"feature {key!r} is {value!r}, expected a number")
        return {key: float_feature(float(value))}

    def schema(self) -> FeatureSchema:
        """Tell how the number is read back."""
        return FeatureSchema(
            kind="float", dtype="float32", shape=(), encoding="list", value_range=self.value_range
        )


def _scalar(value: Any, key: str) -> Any:
    """Unwrap NumPy's scalars and arrays of one value."""
    import numpy as np

    array = np.asarray(value)
    if array.size != 1 or array.dtype == object:
        raise DataError(f"feature {key!r} has shape {array.shape}, expected a single number")
    return array.reshape(-1)[0].item()
