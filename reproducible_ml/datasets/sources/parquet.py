"""A source that reads a Parquet file through PyArrow (the extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import recorded_path
from reproducible_ml.datasets.sources.table import (
    INTEGERS,
    TableSource,
    checked_types,
    missing_value,
    number_column,
)
from reproducible_ml.utils.digests import file_digest
from reproducible_ml.utils.errors import ConfigError, DataError

TYPES = ("int64", "float32", "float64", "text", INTEGERS)


def parquet(
    parquet_file: str | None = None,
    columns: Mapping[str, str] | None = None,
    split_column: str | None = None,
    split_fractions: Mapping[str, float] | None = None,
    split_seed: int = 0,
    **unused: Any,
) -> TableSource:
    """Open a Parquet file.

    Integers and booleans are int64, floats float32 or float64, strings text, and lists of integers
    such lists, unless another type is stated. The types are recorded.

    Args:
        parquet_file: The file.
        columns: Column -> "int64", "float32", "float64", "text" or "list of int64", for those that
            are stated.
        split_column: Column that says train, eval or test for each row.
        split_fractions: Fractions of the rows for eval and test, such as ``{"eval": 0.1}``.
        split_seed: Draws which rows these are.
        **unused: Arguments of other sources.

    Raises:
        ConfigError: A type, a column or the splits are invalid, or PyArrow is not installed.
        DataError: The file is missing or malformed, or a value does not have its type.
    """
    if not parquet_file:
        raise DataError("source=parquet needs a file: parquet_file=path/to/file.parquet.")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            f"PyArrow can't be imported ({error}). Install it: pip install "
            "'reproducible-ml[parquet]'."
        ) from error
    path = Path(parquet_file)
    try:
        digest = file_digest(path)
        # Not ``read_table``, which takes folders named key=value for columns.
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} can't be read as a Parquet file: {error}") from error
    types = checked_types(str(path), columns, table.column_names, TYPES)
    values = {}
    for name, column in zip(table.column_names, table.columns):
        kind = "text" if name == split_column else types.get(name)
        values[name], types[name] = _column(path, name, column, kind)
    return TableSource(
        "parquet",
        str(path),
        {"parquet_file": recorded_path(path)},
        values,
        types,
        digest,
        split_column,
        split_fractions,
        split_seed,
    )


def _column(path: Path, name: str, column: Any, stated: str | None) -> tuple[Any, str]:
    """Return a column's values, and their type."""
    import numpy as np
    import pyarrow

    kind = stated or _kind(column.type)
    if kind is None:
        raise DataError(
            f"{path}, column {name!r} has the type {column.type}, expected integers, floats, "
            f"booleans, strings or lists of integers. Read it as text: columns={{{name!r}: "
            "'text'}."
        )
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        if stated not in ("float32", "float64", "text"):
            raise missing_value(str(path), row, name)
        column = column.fill_null("" if _kind(column.type) == "text" else float("nan"))
    wanted = {
        "text": pyarrow.string(),
        INTEGERS: pyarrow.list_(pyarrow.int64()),
    }.get(kind) or getattr(pyarrow, kind)()
    if kind == "float32":
        # A stated type may cost precision, which PyArrow would refuse.
        wanted = pyarrow.float64()
    try:
        found = column.cast(wanted).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}, column {name!r} is not {kind}: {error}") from error
    if kind not in ("text", INTEGERS):
        return number_column(str(path), name, found, kind), kind
    values = np.empty(len(found), object)
    for row, value in enumerate(found):
        if kind == INTEGERS and None in value:
            raise missing_value(str(path), row, name)
        values[row] = value if kind == "text" else np.array(value, np.int64)
    return values, kind


def _kind(arrow: Any) -> str | None:
    """Return the type that is read for an Arrow type; None if it is not supported."""
    from pyarrow import types

    if types.is_dictionary(arrow):
        arrow = arrow.value_type
    if types.is_integer(arrow) or types.is_boolean(arrow):
        return "int64"
    if types.is_floating(arrow):
        return "float64" if types.is_float64(arrow) else "float32"
    if types.is_string(arrow) or types.is_large_string(arrow):
        return "text"
    is_list = types.is_list(arrow) or types.is_large_list(arrow)
    return INTEGERS if is_list and types.is_integer(arrow.value_type) else None
