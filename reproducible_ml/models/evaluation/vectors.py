"""Vectors that the figures are computed from: checked, and all pairs of them block by block.

What compares all pairs holds one block of ``_BLOCK_ROWS`` x ``_BLOCK_COLUMNS`` values at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import ConfigError, DataError

Array = np.ndarray[Any, np.dtype[np.float64]]

_BLOCK_ROWS = 1024
_BLOCK_COLUMNS = 4096


def checked_vectors(values: Any, dims: int | None = None) -> Array:
    """Return float64 [n, dims].

    Raises:
        DataError: The values have another form, or are not finite.
    """
    array: Array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or (dims is not None and array.shape[1] != dims):
        expected = "[n, dims]" if dims is None else f"[n, {dims}]"
        raise DataError(f"The vectors have shape {array.shape}, expected {expected}.")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise DataError(
            f"Vector {row} holds values that are not finite, so no figure can be computed: look "
            "whether the GAN's weights are finite."
        )
    return array


def need_rows(count: int, *arrays: Any) -> None:
    """Refuse arrays with fewer rows than a figure takes.

    Raises:
        ConfigError: One has fewer.
    """
    fewest = min(len(array) for array in arrays)
    if fewest < count:
        raise ConfigError(
            f"This figure takes {count} vectors or more of each kind, found {fewest}."
        )


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices of a size that cover ``count`` rows; the last may be smaller."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def row_slices(count: int) -> Iterator[slice]:
    """Yield the rows of the blocks."""
    return slices(count, _BLOCK_ROWS)


def column_slices(count: int) -> Iterator[slice]:
    """Yield the columns of the blocks."""
    return slices(count, _BLOCK_COLUMNS)


def blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks that cover all pairs of rows and columns."""
    for row_slice in row_slices(rows):
        for column_slice in column_slices(columns):
            yield row_slice, column_slice
