"""The forms in which ``rows_gen`` can return the rows of a split.

Rows that can be indexed (arrays, lists) are taken in blocks without a look at each one, and several
processes can share them. An iterator can only be read from front to back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Union

import numpy as np

from reproducible_ml.utils.errors import DataError

# Values that a generator may change after it has yielded them.
_CHANGEABLE = (np.ndarray, list, bytearray)


class ArrayRows(Sequence[dict[str, Any]]):
    """Rows that are held in arrays: row i is entry i of each array.

    Attributes:
        columns: Field -> array of [rows, ...].
    """

    def __init__(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take arrays of equal length.

        Raises:
            DataError: There is no array, or the arrays differ in length.
        """
        self.columns = {name: _column(name, values) for name, values in columns.items()}
        lengths = {column.shape[:1] for column in self.columns.values()}
        if len(lengths) != 1:
            found = ", ".join(f"{name}: {one.shape}" for name, one in self.columns.items())
            raise DataError(f"arrays of rows must have one length, found {found or 'no array'}")
        self._length: int = lengths.pop()[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        picked = {name: column[index] for name, column in self.columns.items()}
        return ArrayRows(picked) if isinstance(index, slice) else picked


def _column(name: str, values: Any) -> np.ndarray[Any, Any]:
    """Return a field of all rows, with every value unchanged."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"field {name!r}: found a masked array; fill it, or omit those rows")
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "S":
            raise DataError(
                f"field {name!r}: found an array of dtype {values.dtype}, which drops trailing "
                "zero bytes; use a list of bytes"
            )
        if not values.ndim:
            raise DataError(f"field {name!r}: found a single value, expected one per row")
        return values
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise DataError(f"field {name!r}: found a {type(values).__name__}, expected an array")
    # As objects, since NumPy would convert a list's values to one type.
    column = np.empty(len(values), object)
    for number, value in enumerate(values):
        column[number] = value
    return column


# Rows that can be sliced; the entries of a plain NumPy array are the rows.
Reachable = Union[Sequence[Any], np.ndarray[Any, Any]]
Rows = Union[Iterable[Any], Mapping[str, Any]]


def check_rows(rows: Any, origin: str) -> None:
    """Refuse values that can't be rows.

    Args:
        rows: The value to check.
        origin: What returned it, for the error.

    Raises:
        DataError: It can't be iterated over, or it is a string, whose letters would become rows.
    """
    single = isinstance(rows, (str, bytes)) or (isinstance(rows, np.ndarray) and not rows.ndim)
    if single or not (isinstance(rows, Iterable) or hasattr(rows, "__getitem__")):
        raise DataError(
            f"{origin} returned {rows!r:.50}, expected rows: a generator, a list, an array, or a "
            "mapping of arrays."
        )


def reachable(rows: Rows) -> Reachable | None:
    """Return rows in a form that can be sliced, or None if they can only be read in order."""
    if isinstance(rows, Mapping):
        return ArrayRows(rows)
    if isinstance(rows, np.ndarray) or (
        isinstance(rows, Sequence) and not isinstance(rows, (str, bytes))
    ):
        return rows
    return None


class RowReader:
    """Takes rows in order, a few at a time.

    Args:
        rows: Rows that can be indexed, or an iterable.
    """

    def __init__(self, rows: Rows) -> None:
        self._reachable = reachable(rows)
        self._iterator: Iterator[Any] = iter(() if self._reachable is not None else rows)
        self._taken = 0

    def take(self, count: int) -> Any:
        """Take up to ``count`` rows: fewer at the end, then an empty sequence."""
        if self._reachable is not None:
            start, self._taken = self._taken, min(self._taken + count, len(self._reachable))
            return self._reachable[start : self._taken]
        # A single row is encoded before the next one is taken, so it needs no copy.
        if count == 1:
            return list(islice(self._iterator, 1))
        return [_kept(row) for row in islice(self._iterator, count)]

    def left(self, most: int) -> int:
        """Count the remaining rows, but no more than ``most``."""
        if self._reachable is not None:
            return min(most, len(self._reachable) - self._taken)
        return sum(1 for _ in islice(self._iterator, most))


def _kept(row: Any) -> Any:
    """Return a row that is safe from a generator that reuses its arrays."""
    # Almost all rows are dicts, and an isinstance check against Mapping is slow.
    if type(row) is dict or isinstance(row, Mapping):
        return {
            name: value.copy() if isinstance(value, _CHANGEABLE) else value
            for name, value in row.items()
        }
    return row.copy() if isinstance(row, _CHANGEABLE) else row
