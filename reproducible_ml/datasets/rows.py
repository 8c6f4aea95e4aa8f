"""What ``rows_gen`` may give for a split: rows one after the other, or all of them at once.

Rows that can be reached by number (arrays, lists) are taken by the block without being looked at
one by one, and in parts by several processes. An iterator can only be read from front to back.
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
    """Rows that lie in arrays: row i is entry i of each of them.

    Attributes:
        columns: Field -> array of [rows, ...].
    """

    def __init__(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take arrays of one length.

        Raises:
            DataError: There is no array, or they differ in length.
        """
        self.columns = {name: np.asarray(column) for name, column in columns.items()}
        lengths = {name: np.shape(column)[:1] for name, column in self.columns.items()}
        if not lengths or len(set(lengths.values())) != 1 or () in lengths.values():
            found = ", ".join(f"{name}: {self.columns[name].shape}" for name in lengths) or "none"
            raise DataError(f"arrays of rows must be as long as each other, found {found}")
        self._length: int = next(iter(lengths.values()))[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        picked = {name: column[index] for name, column in self.columns.items()}
        return ArrayRows(picked) if isinstance(index, slice) else picked


# Rows that can be cut into parts: a NumPy array's entries are rows themselves.
Reachable = Union[Sequence[Any], np.ndarray[Any, Any]]
Rows = Union[Iterable[Any], Mapping[str, Any]]


def reachable(rows: Rows) -> Reachable | None:
    """Return rows in a form that can be sliced, or None where they can only be read in order."""
    if isinstance(rows, Mapping):
        return ArrayRows(rows)
    if isinstance(rows, np.ndarray) or (
        isinstance(rows, Sequence) and not isinstance(rows, (str, bytes))
    ):
        return rows
    return None


class RowReader:
    """Takes rows in order, some at a time.

    Args:
        rows: Rows by number, or an iterable.
    """

    def __init__(self, rows: Rows) -> None:
        self._reachable = reachable(rows)
        self._iterator: Iterator[Any] = iter(() if self._reachable is not None else rows)
        self._taken = 0

    def take(self, count: int) -> Any:
        """Take up to ``count`` rows; fewer at the end, then none."""
        if self._reachable is not None:
            start, self._taken = self._taken, min(self._taken + count, len(self._reachable))
            return self._reachable[start : self._taken]
        if count == 1:
            return list(islice(self._iterator, 1))
        return [_kept(row) for row in islice(self._iterator, count)]

    def left(self, most: int) -> int:
        """Count the rows that are left, up to ``most`` of them."""
        if self._reachable is not None:
            return min(most, len(self._reachable) - self._taken)
        return sum(1 for _ in islice(self._iterator, most))


def _kept(row: Any) -> Any:
    """Return a row that stays as it is when its generator uses its arrays again."""
    # A dict is asked for first, since almost all rows are and Mapping is slow to ask for.
    if type(row) is dict or isinstance(row, Mapping):
        return {
            name: value.copy() if isinstance(value, _CHANGEABLE) else value
            for name, value in row.items()
        }
    return row.copy() if isinstance(row, _CHANGEABLE) else row
