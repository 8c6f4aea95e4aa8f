"""The base of sources that read a table: a feature per column, rows divided among the splits.

A row's split is stated by a column, or drawn for its content. Equal rows are then in one split, so
none is both trained and tested on, and a new row moves no other one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.rows import ArrayRows
from reproducible_ml.datasets.sources.base import Source
from reproducible_ml.handlers import (
    ArrayHandler,
    FeatureHandler,
    FloatHandler,
    IntegersHandler,
    LabelHandler,
    TextHandler,
)
from reproducible_ml.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

INTEGERS = "list of int64"
# Type of a column -> the handler that stores its values as they are.
HANDLERS: dict[str, Any] = {
    "int64": LabelHandler,
    "float32": FloatHandler,
    "float64": lambda: ArrayHandler((), "float64"),
    "text": TextHandler,
    INTEGERS: IntegersHandler,
}
_SPLITS = ("train", "eval", "test")
_DRAWN = ("eval", "test")


class TableSource(Source):
    """The rows of a table in their order.

    Args:
        name: Name of the source.
        where: The table, for errors.
        arguments: The arguments that open it again; those of the splits are added.
        columns: Column -> its values, one per row: arrays of numbers, or of objects for text.
        types: Column -> its type, a key of ``HANDLERS``.
        digest: Digest of the raw data.
        split_column: Column that says train, eval or test for each row; not a feature.
        split_fractions: Fractions of the rows for eval and test; the rest is train. Without
            ``split_column`` and this, all rows are train.
        split_seed: Draws which rows these are.

    Raises:
        ConfigError: The splits are not stated in one way, or a fraction is invalid.
        DataError: There are no rows, no features, or none for a split that was asked for.
    """

    def __init__(
        self,
        name: str,
        where: str,
        arguments: Mapping[str, Any],
        columns: Mapping[str, Array],
        types: Mapping[str, str],
        digest: str,
        split_column: str | None = None,
        split_fractions: Mapping[str, float] | None = None,
        split_seed: int = 0,
    ) -> None:
        self.name, self._digest = name, digest
        if split_column is not None and split_fractions is not None:
            raise ConfigError(
                f"split_column is {split_column!r} and split_fractions is {split_fractions!r}: "
                "state the splits in one of the two ways"
            )
        features = {key: values for key, values in columns.items() if key != split_column}
        if not features or not len(next(iter(features.values()))):
            raise DataError(f"{where} has no rows, or no column that is a feature.")
        self.arguments = {**arguments, "columns": {key: types[key] for key in features}}
        if split_column is not None:
            places = _stated(where, columns, split_column)
            self.arguments["split_column"] = split_column
        elif split_fractions is not None:
            fractions = _checked(split_fractions)
            places = _drawn(where, features, fractions, split_seed)
            self.arguments.update(split_fractions=fractions, split_seed=split_seed)
        else:
            places = {"train": list(range(len(next(iter(features.values())))))}
        self._splits = {
            split: {key: values[found] for key, values in features.items()}
            for split, found in places.items()
        }
        self.split_to_size = {split: len(found) for split, found in places.items()}
        self.keys_to_handlers: dict[str, FeatureHandler] = {
            key: HANDLERS[types[key]]() for key in features
        }
        self.keys_to_descriptions = {key: f"Column {key} of a table" for key in features}

    def rows_gen(self, split: str) -> ArrayRows:
        """Return the rows of a split, in the order of the table."""
        return ArrayRows(self._splits[split])

    def digest(self) -> str:
        """Return the SHA-256 of the file."""
        return self._digest


def checked_types(
    where: str, stated: Mapping[str, str] | None, names: Sequence[str], known: Sequence[str]
) -> dict[str, str]:
    """Return the types that were stated for columns.

    Args:
        where: The table, for errors.
        stated: Column -> type; None for none.
        names: The table's columns.
        known: Types that such a table can have.

    Raises:
        ConfigError: There is no such column or type.
        DataError: A column has no name, or the name of another.
    """
    for number, name in enumerate(names):
        if not name or name in names[:number]:
            raise DataError(
                f"{where}: column {number + 1} is named {name!r}, expected a name of its own in "
                "the first row of the table."
            )
    found = dict(stated or {})
    for name, kind in found.items():
        if name not in names:
            raise ConfigError(
                f"columns states a type for {name!r}, but {where} has {', '.join(names)}."
            )
        if kind not in known:
            raise ConfigError(
                f"columns states {kind!r} for {name!r}, expected one of {', '.join(known)}."
            )
    return found


def missing_value(where: str, row: int, column: str) -> DataError:
    """Make the error about a value that is missing from a column of numbers."""
    return DataError(
        f"{where}, row {row + 1}, column {column!r}: the value is missing. Fill it in, or state a "
        f"type: columns={{{column!r}: 'float64'}} reads NaN, 'text' an empty string."
    )


def number_column(where: str, column: str, numbers: Sequence[Any], kind: str) -> Array:
    """Return a column of numbers as an array.

    Raises:
        DataError: A number is too large for its type.
    """
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            found: Array = np.array(numbers, kind)
    except OverflowError:
        found = np.array([])
    if len(found) != len(numbers) or (
        kind == "float32" and (np.isinf(found) != np.isinf(np.array(numbers, float))).any()
    ):
        raise DataError(
            f"{where}, column {column!r} has numbers that {kind} can't hold; state another type: "
            f"columns={{{column!r}: 'text'}}."
        )
    return found


def _stated(where: str, columns: Mapping[str, Array], split_column: str) -> dict[str, list[int]]:
    if split_column not in columns:
        raise ConfigError(
            f"split_column is {split_column!r}, but {where} has {', '.join(columns)}."
        )
    found: dict[str, list[int]] = {split: [] for split in _SPLITS}
    for row, split in enumerate(columns[split_column].tolist()):
        if split not in found:
            raise DataError(
                f"{where}, row {row + 1}, column {split_column!r}: found {split!r}, expected "
                "train, eval or test."
            )
        found[split].append(row)
    return _not_empty(where, {split: rows for split, rows in found.items() if rows}, ("train",))


def _checked(fractions: Mapping[str, float]) -> dict[str, float]:
    found = dict(fractions) if isinstance(fractions, Mapping) else {}
    fits = all(
        key in _DRAWN and isinstance(one, Real) and not isinstance(one, bool) and 0 < one < 1
        for key, one in found.items()
    )
    if not found or not fits or sum(found.values()) >= 1:
        raise ConfigError(
            f"split_fractions is {fractions!r}, expected fractions for eval and test that leave "
            "some rows to train, such as {'eval': 0.1, 'test': 0.1}"
        )
    return {key: float(found[key]) for key in _DRAWN if key in found}


def _drawn(
    where: str, features: Mapping[str, Array], fractions: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Divide the rows by a number in [0, 1) that is drawn for (seed, content)."""
    found: dict[str, list[int]] = {split: [] for split in ("train", *fractions)}
    names = sorted(features)
    for row, values in enumerate(zip(*(_python(features[name]) for name in names))):
        text = f"{seed} {json.dumps(dict(zip(names, values)))}"
        drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") / 2**64
        below, chosen = 0.0, "train"
        for split, fraction in fractions.items():
            if below <= drawn < below + fraction:
                chosen = split
            below += fraction
        found[chosen].append(row)
    return _not_empty(where, found, tuple(found))


def _python(values: Array) -> list[Any]:
    """Return a column's values as JSON takes them."""
    found: list[Any] = values.tolist()
    return [list(map(int, one)) for one in found] if found and not _is_plain(found[0]) else found


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _not_empty(
    where: str, found: dict[str, list[int]], wanted: Sequence[str]
) -> dict[str, list[int]]:
    for split in wanted:
        if not found.get(split):
            raise DataError(
                f"{where} has no row for the split {split!r}; it has too few rows, or other splits "
                "should be asked for."
            )
    return found
