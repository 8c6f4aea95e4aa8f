"""Checks of the vectors from which figures are computed, and blocks of all their pairs.

To compare all pairs, one block of ``_BLOCK_ROWS`` x ``_BLOCK_COLUMNS`` values is held at a time.
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
    """Return vectors as a float64 array [n, dims].

    Raises:
        DataError: The values have another shape, or are not finite.
    """
    array: Array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or (dims is not None and array.shape[1] != dims):
        expected = "[n, dims]" if dims is None else f"[n, {dims}]"
        raise DataError(f"The vectors have shape {array.shape}, expected {expected}.")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise DataError(
            f"Vector {row} holds values that are not finite, so no figure can be computed. "
            "Check whether the GAN's weights are finite."
        )
    return array


def need_rows(count: int, *arrays: Any) -> None:
    """Refuse arrays with fewer vectors than a figure needs.

    Raises:
        ConfigError: An array has fewer vectors.
    """
    fewest = min(len(array) for array in arrays)
    if fewest < count:
        raise ConfigError(
            f"This figure needs at least {count} vectors of each kind, found {fewest}."
        )


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices of one size that cover ``count`` rows; the last may be smaller."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def row_slices(count: int) -> Iterator[slice]:
    """Yield the row slices of all blocks."""
    return slices(count, _BLOCK_ROWS)


def column_slices(count: int) -> Iterator[slice]:
    """Yield the column slices of all blocks."""
    return slices(count, _BLOCK_COLUMNS)


def blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks that cover all pairs of rows and columns."""
    for row_slice in row_slices(rows):
        for column_slice in column_slices(columns):
            yield row_slice, column_slice
