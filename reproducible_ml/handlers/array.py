"""A handler for arrays of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.base import FeatureHandler, pick, pick_batch, replaced
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.values import checked_dtype, checked_range, exact, to_array
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class ArrayHandler(FeatureHandler):
    """Stores an array's bytes, little-endian and in C order."""

    encoding = "raw"

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        dtype: Any | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        """Make a handler.

        Args:
            shape: Shape of every row's array; None takes that of the first row.
            dtype: NumPy dtype to store; None takes that of the first row.
            value_range: (low, high) that the reader maps to [-1, 1].
        """
        super().__init__(shape=shape)
        self.dtype = None if dtype is None else checked_dtype(dtype).name
        self.value_range = checked_range(value_range)

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Return ``{key: bytes feature}``; see ``FeatureHandler.handle``."""
        value = to_array(pick(row, key))
        found = exact(value, self.dtype or value.dtype)
        if self.shape is not None and found.shape != self.shape:
            raise DataError(f"found an array of shape {found.shape}, expected {self.shape}")
        return {key: bytes_feature(found.tobytes())}

    def handle_batch(self, rows: Any, key: str) -> np.ndarray[Any, Any]:
        """Return the bytes of many rows as uint8 [n, bytes]."""
        import numpy as np

        values = pick_batch(rows, key)
        if isinstance(values, list):
            values = [exact(value, self.dtype or to_array(value).dtype) for value in values]
            for value in values:
                if value.shape != self.shape:
                    raise DataError(f"found an array of shape {value.shape}, expected {self.shape}")
            values = np.stack(values)
        elif values.shape[1:] != self.shape:
            raise DataError(f"found an array of shape {values.shape[1:]}, expected {self.shape}")
        return as_bytes(exact(values, self.dtype or values.dtype))

    def schema(self) -> FeatureSchema | None:
        """Return the form of one byte string; None until shape and dtype are known."""
        if self.shape is None or self.dtype is None:
            return None
        return FeatureSchema("bytes", self.dtype, self.shape, "raw", value_range=self.value_range)

    def bind(self, row: Any, key: str) -> FeatureHandler:
        """Return this handler with a missing shape or dtype taken from the first row."""
        value = to_array(pick(row, key))
        shape = value.shape if self.shape is None else self.shape
        return replaced(self, shape=shape, dtype=self.dtype or checked_dtype(value.dtype).name)


def as_bytes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """View an array [n, ...] in C order as its bytes: uint8 [n, bytes]."""
    import numpy as np

    # ``reshape(n, -1)`` can't infer the second size of an empty array.
    if values.size == 0:
        return np.empty((len(values), 0), np.uint8)
    return values.reshape(len(values), -1).view(np.uint8)
