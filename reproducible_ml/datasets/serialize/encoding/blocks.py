"""Encoding of rows in blocks, with the same bytes as one at a time.

The first record is made by protobuf and fixes the layout. From then on handlers with a batch method
take a block of rows at once, the others row by row. If a batch method fails, the block is handled
again one row at a time, so the error can name the record.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reproducible_ml.datasets.serialize.encoding.examples import (
    ExampleMaker,
    check_features,
    expected_size,
    handled,
)
from reproducible_ml.datasets.serialize.wire import (
    Block,
    Layout,
    Payloads,
    list_payload,
    pack_integers,
    wire_fields,
)
from reproducible_ml.handlers import FeatureSchema, batch_method
from reproducible_ml.utils.errors import DataError

# A block of this size stays in a core's cache from its making to its checksums.
BLOCK_BYTES = 1 << 20
BLOCK_ROWS = 4096
# If lengths vary, one record or block says little about the size of the next. These limits bound
# the memory that a jump from short to long records takes. Fewer rows cost time: for strings of 20
# to 400 bytes, 256 rows a tenth, and 1,024 none.
_FIRST_ROWS = 16
_VARYING_ROWS = 512


class BlockMaker:
    """Makes blocks of records once an ``ExampleMaker`` has learnt their schema.

    Attributes:
        usable: Whether any handler has a batch method; if not, records are made one at a time.
        rows: Number of rows that the next block should have; the bytes do not depend on it.
    """

    def __init__(self, maker: ExampleMaker, record: bytes) -> None:
        """Learn the layout from a first record."""
        self._maker = maker
        self._schema = maker.schema
        self._handlers = maker.handlers
        self._batch = {key: batch_method(one) for key, one in maker.handlers.items()}
        self.usable = self._schema.keys() == self._handlers.keys() and any(self._batch.values())
        kinds = {key: schema.kind for key, schema in self._schema.items()}
        order = [field.name for field in wire_fields(record)] if self.usable else []
        self._layout = Layout(kinds, order)
        varying = any(expected_size(schema) is None for schema in self._schema.values())
        self._most_rows = _VARYING_ROWS if varying else BLOCK_ROWS
        self.rows = _rows_for(len(record), _FIRST_ROWS if varying else BLOCK_ROWS)

    def adapt(self, block: Block) -> None:
        """Set the number of rows of the next block from the size of this one."""
        if len(block.lengths):
            # At most doubled, since the next records may be longer again.
            most = min(self._most_rows, 2 * self.rows)
            self.rows = _rows_for(len(block.data) // len(block.lengths), most)

    def make(self, rows: Any) -> Block | None:
        """Frame a block of rows; return None if a batch method fails.

        Raises:
            RowError: A handler without a batch method can't handle a row.
        """
        columns: dict[str, Payloads] = {}
        try:
            for key, method in self._batch.items():
                if method is not None:
                    values = method(rows, key)
                    columns[key] = _payloads(values, self._schema[key], len(rows))
                    is_bytes = self._schema[key].kind == "bytes"
                    self._maker.watch.see(key, columns[key] if is_bytes else values)
        except Exception:
            # The caller handles the rows one at a time, which raises the error with its record.
            return None
        for key, method in self._batch.items():
            if method is None:
                columns[key] = [self._one(number, row, key) for number, row in enumerate(rows)]
        return self._layout.block(columns, len(rows))

    def _one(self, number: int, row: Any, key: str) -> bytes:
        try:
            made = handled(self._handlers[key], row, key)
            check_features(made, {key: self._schema[key]})
            kind = self._schema[key].kind
            self._maker.see(key, made[key], kind)
        except DataError as error:
            raise RowError(number, str(error)) from error
        if kind == "bytes":
            return bytes(made[key].bytes_list.value[0])
        # Taken as bytes, since a conversion to Python's floats would change the bits of some NaNs.
        return list_payload(getattr(made[key], f"{kind}_list").SerializeToString())


def _rows_for(record_bytes: int, most: int) -> int:
    return max(1, min(most, BLOCK_BYTES // max(1, record_bytes)))


class RowError(DataError):
    """A row that can't be handled.

    Attributes:
        number: Index of the row within the block.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def _payloads(values: Any, schema: FeatureSchema, count: int) -> Payloads:
    """Convert what a batch method returns to its wire form, checked against the schema."""
    if len(values) != count:
        raise DataError(f"handle_batch returned {len(values)} values for {count} rows")
    wanted = expected_size(schema)
    if isinstance(values, list):
        if schema.kind != "bytes" or not all(isinstance(value, bytes) for value in values):
            raise DataError("handle_batch returned a list, expected byte strings")
        if wanted is not None and any(len(value) != wanted for value in values):
            raise DataError(f"expected {wanted} bytes")
        return values
    values = values.reshape(count, -1)
    if wanted is not None and values.shape[1] != wanted:
        raise DataError(f"expected {wanted} values, found {values.shape[1]}")
    dtype = {"bytes": "uint8", "float": "float32", "int64": "int64"}[schema.kind]
    if values.dtype != dtype:
        raise DataError(f"handle_batch returned {values.dtype}, expected {dtype}")
    if schema.kind == "int64":
        return pack_integers(values)
    contiguous = np.ascontiguousarray(values)
    return contiguous if schema.kind == "bytes" else contiguous.astype("<f4").view(np.uint8)
