"""Handlers for integer labels, single floats and lists of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.base import FeatureHandler, pick, pick_batch
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.values import checked_dtype, checked_range, exact, refuse_masked
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.features import float_feature, int64_feature

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class LabelHandler(FeatureHandler):
    """Stores one integer per row.

    Attributes:
        classes: Number of classes, for labels in [0, classes); None allows any integer.
    """

    dtype = "int64"

    def __init__(self, classes: int | None = None) -> None:
        """Make a handler for labels in [0, classes), or for any integer."""
        super().__init__()
        self.classes = classes

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Return ``{key: int64 feature}``; see ``FeatureHandler.handle``."""
        label = self._labels(_single(pick(row, key)))
        return {key: int64_feature(label)}

    def handle_batch(self, rows: Any, key: str) -> np.ndarray[Any, Any]:
        """Return the labels of many rows as int64 [n, 1]."""
        return self._labels(_singles(pick_batch(rows, key))).reshape(len(rows), 1)

    def schema(self) -> FeatureSchema:
        """Return the form of one int64 per record."""
        return FeatureSchema("int64", "int64", (), "list")

    def _labels(self, values: Any) -> np.ndarray[Any, Any]:
        labels = _exact(values, "int64")
        if self.classes is not None and labels.size:
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= self.classes:
                raise DataError(
                    f"found label {low if low < 0 else high}, expected 0 to {self.classes - 1}"
                )
        return labels


class FloatHandler(FeatureHandler):
    """Stores one 32-bit float per row."""

    dtype = "float32"

    def __init__(self, value_range: tuple[float, float] | None = None) -> None:
        """Make a handler; ``value_range`` is what the reader maps to [-1, 1]."""
        super().__init__()
        self.value_range = checked_range(value_range)

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Return ``{key: float feature}``; see ``FeatureHandler.handle``."""
        return {key: float_feature(exact(_single(pick(row, key)), "float32"))}

    def handle_batch(self, rows: Any, key: str) -> np.ndarray[Any, Any]:
        """Return the values of many rows as float32 [n, 1]."""
        return _exact(_singles(pick_batch(rows, key)), "float32").reshape(len(rows), 1)

    def schema(self) -> FeatureSchema:
        """Return the form of one float32 per record."""
        return FeatureSchema("float", "float32", (), "list", value_range=self.value_range)


class IntegersHandler(FeatureHandler):
    """Stores a list of integers whose length may vary from row to row."""

    def __init__(self, shape: Any = None, dtype: str = "int64") -> None:
        """Make a handler; ``shape=None`` lets the length vary."""
        super().__init__(shape=shape)
        self.dtype = checked_dtype(dtype).name

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Return ``{key: int64 feature}``; see ``FeatureHandler.handle``."""
        values = exact(pick(row, key), self.dtype)
        if self.shape is not None and values.shape != self.shape:
            raise DataError(f"found shape {values.shape}, expected {self.shape}")
        return {key: int64_feature(values)}

    def schema(self) -> FeatureSchema:
        """Return the form of a list of integers."""
        return FeatureSchema("int64", str(self.dtype), self.shape, "list")


def _single(value: Any) -> Any:
    """Return a single number as an array of no dimensions, and refuse several."""
    import numpy as np

    if np.size(value) != 1:
        raise DataError(f"found {np.size(value)} values of shape {np.shape(value)}, expected one")
    refuse_masked(value)
    return np.reshape(value, ())


def _singles(values: Any) -> Any:
    import numpy as np

    if isinstance(values, list):
        return [_single(value) for value in values]
    if values.size != len(values):
        raise DataError(f"found values of shape {values.shape[1:]} in each row, expected one")
    return np.reshape(values, len(values))


def _exact(values: Any, dtype: str) -> np.ndarray[Any, Any]:
    """Convert one number or many; numbers of several types are converted one by one.

    NumPy would first convert them to a common type, which changes values: int64 and uint64 become
    float64.
    """
    import numpy as np

    if isinstance(values, list) and len({value.dtype for value in values}) > 1:
        return np.stack([exact(value, dtype) for value in values])
    return exact(values, dtype)
