"""A source that reads a CSV file with a header."""

from __future__ import annotations

import csv as csv_format
import hashlib
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import recorded_path
from reproducible_ml.datasets.sources.table import (
    TableSource,
    checked_types,
    missing_value,
    number_column,
)
from reproducible_ml.utils.errors import DataError

TYPES = ("int64", "float32", "float64", "text")
# Digits after a leading 0 are a code, such as a postcode, and no number.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def csv(
    csv_file: str | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str = ",",
    split_column: str | None = None,
    split_fractions: Mapping[str, float] | None = None,
    split_seed: int = 0,
    **unused: Any,
) -> TableSource:
    """Open a CSV file in UTF-8, whose first row names the columns.

    A column whose type is not stated is int64 if all its values are such integers, float64 if all
    are numbers, else text. Numbers with leading zeros are text. The types are recorded.

    Args:
        csv_file: The file.
        columns: Column -> "int64", "float32", "float64" or "text", for those that are stated.
        delimiter: What separates values.
        split_column: Column that says train, eval or test for each row.
        split_fractions: Fractions of the rows for eval and test, such as ``{"eval": 0.1}``.
        split_seed: Draws which rows these are.
        **unused: Arguments of other sources.

    Raises:
        ConfigError: A type, a column or the splits are invalid.
        DataError: The file is missing or malformed, or a value does not have its type.
    """
    if not csv_file:
        raise DataError("source=csv needs a file: csv_file=path/to/file.csv.")
    path = Path(csv_file)
    content = _read(path)
    names, rows = _rows(path, content, delimiter)
    types = checked_types(str(path), columns, names, TYPES)
    values = dict(zip(names, zip(*rows))) if rows else {}
    if split_column is not None:
        # Names of splits, whatever they look like.
        types[split_column] = "text"
    for name, found in values.items():
        if name not in types:
            types[name] = _inferred(path, name, found)
    return TableSource(
        "csv",
        str(path),
        {"csv_file": recorded_path(path), "delimiter": delimiter},
        {name: _column(path, name, found, types[name]) for name, found in values.items()},
        types,
        hashlib.sha256(content).hexdigest(),
        split_column,
        split_fractions,
        split_seed,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error


def _rows(path: Path, content: bytes, delimiter: str) -> tuple[list[str], list[list[str]]]:
    try:
        with _long_fields():
            text = io.StringIO(content.decode("utf-8-sig"), newline="")
            reader = csv_format.reader(text, delimiter=delimiter, strict=True)
            # The reader gives empty lines as rows without values.
            names, *rows = [row for row in reader if row] or [[]]
    except (UnicodeDecodeError, csv_format.Error, TypeError) as error:
        raise DataError(f"{path} can't be read as CSV in UTF-8: {error}.") from error
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(
                f"{path}, row {number + 1} has {len(row)} values, but the first row names "
                f"{len(names)} columns."
            )
    return names, rows


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift Python's limit of 131,072 characters, which documents exceed."""
    before = csv_format.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv_format.field_size_limit(before)


def _inferred(path: Path, name: str, values: Sequence[str]) -> str:
    given = [value.strip() for value in values if value.strip()]
    if not given or not all(map(_NUMBER.fullmatch, given)):
        return "text"
    whole = all(map(_INTEGER.fullmatch, given))
    # Longer integers would lose digits as numbers of any type.
    if whole and any(not -(2**63) <= int(value) < 2**63 for value in given):
        return "text"
    if len(given) < len(values):
        row = next(row for row, value in enumerate(values) if not value.strip())
        raise missing_value(str(path), row, name)
    return "int64" if whole else "float64"


def _column(path: Path, name: str, values: Sequence[str], kind: str) -> Any:
    if kind == "text":
        import numpy as np

        found = np.empty(len(values), object)
        found[:] = values
        return found
    convert: Any = int if kind == "int64" else _float
    numbers: list[Any] = []
    for row, value in enumerate(values):
        try:
            # Python takes 1_000 for a number.
            numbers.append(convert(value.replace("_", "?")))
        except ValueError:
            if not value.strip():
                raise missing_value(str(path), row, name) from None
            raise DataError(
                f"{path}, row {row + 1}, column {name!r}: found {value!r}, expected {kind}. Mend "
                f"the file, or state another type: columns={{{name!r}: 'text'}}."
            ) from None
    return number_column(str(path), name, numbers, kind)


def _float(value: str) -> float:
    return float(value) if value.strip() else float("nan")
