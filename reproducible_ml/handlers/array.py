"""Arrays of one fixed shape as raw bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.base import FeatureHandler, field_of
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class ArrayHandler(FeatureHandler):
    """Writes an array as its little-endian bytes, row by row.

    Args:
        shape: Shape that every array must have.
        dtype: NumPy name of the type that is written; a value must fit it without loss.
        value_range: (low, high) that the reader maps to [-1, 1]; None leaves values as they are.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: str = "uint8",
        value_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(shape=shape)
        self.dtype = dtype
        self.value_range = value_range

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Write one array.

        Raises:
            DataError: The array has another shape, or values that the dtype can't hold.
        """
        array = self.convert(field_of(row, key), key)
        return {key: bytes_feature(array.tobytes())}

    def handle_batch(self, rows: Sequence[Any], key: str) -> np.ndarray[Any, Any] | None:
        """Give the bytes of many arrays at once; None when one of them is not as it must be."""
        import numpy as np

        values = [field_of(row, key) for row in rows]
        wanted = tuple(self.shape)
        little = np.dtype(self.dtype).newbyteorder("<")
        for value in values:
            if not isinstance(value, np.ndarray) or value.dtype != little or value.shape != wanted:
                return None
        return np.stack(values).reshape(len(values), -1).view(np.uint8)

    def convert(self, value: Any, key: str) -> np.ndarray[Any, Any]:
        """Check an array and give it in the dtype that is written."""
        import numpy as np

        try:
            array = np.asarray(value)
        except ValueError as error:
            raise DataError(f"feature {key!r} is no array: {error}") from error
        little = np.dtype(self.dtype).newbyteorder("<")
        if array.dtype == object or not (
            np.issubdtype(array.dtype, np.number) or array.dtype == bool
        ):
            raise DataError(
                f"feature {key!r} holds values of type {array.dtype}, expected numbers that fit "
                f"{self.dtype}"
            )
        if array.shape != tuple(self.shape):
            raise DataError(
                f"feature {key!r} has shape {array.shape}, expected {tuple(self.shape)}; "
                "resize it, or give the handler the shape that the data has"
            )
        if array.dtype != little:
            array = _cast(array, little, key)
        return np.ascontiguousarray(array)

    def schema(self) -> FeatureSchema:
        """Tell how the array is read back."""
        return FeatureSchema(
            kind="bytes",
            dtype=self.dtype,
            shape=tuple(self.shape),
            encoding="raw",
            value_range=self.value_range,
        )


def _cast(array: np.ndarray[Any, Any], dtype: Any, key: str) -> np.ndarray[Any, Any]:
    """Cast to another type if every value survives it."""
    import numpy as np

    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
        # Between float types precision may go, but no finite value may become infinite.
        if np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating):
            survived = np.array_equal(np.isfinite(array), np.isfinite(cast))
        else:
            survived = bool(np.all(cast == array) and np.all((cast < 0) == (array < 0)))
    if not survived:
        bad = array.reshape(-1)[
            np.flatnonzero(
                ~np.isclose(
                    cast.reshape(-1).astype(float), array.reshape(-1).astype(float), rtol=0, atol=0
                )
            )[:1]
        ]
        raise DataError(
            f"feature {key!r} holds {bad.tolist() or array.dtype} of type {array.dtype}, which "
            f"does not fit {np.dtype(dtype).name}; scale or round it first, or give the handler "
            "another dtype"
        )
    return cast
