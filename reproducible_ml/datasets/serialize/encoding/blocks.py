"""Rows to framed records by the block, with the same bytes as one by one.

The first record goes through protobuf and tells the layout. From then on handlers with a batch
method take a block of rows at once, the others row by row. What a batch method refuses is handled
again one by one, which names the record.
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

# A block of this size stays in a core's cache between its stamping and its checksums.
BLOCK_BYTES = 1 << 20
BLOCK_ROWS = 4096
# Where lengths vary the first record tells little of the next ones, and those of a block little of
# the next block's. These bound what a jump from short to long takes; fewer rows cost time (256: a
# tenth with texts of 20 to 400 bytes, 1,024: nothing).
_FIRST_ROWS = 16
_VARYING_ROWS = 512


class BlockMaker:
    """Makes blocks of the records that an ``ExampleMaker`` has bound and learnt.

    Attributes:
        usable: Whether a handler has a batch method; else records are made one by one.
        rows: How many rows the next block should take; the bytes do not depend on it.
    """

    def __init__(self, maker: ExampleMaker, record: bytes) -> None:
        """Take the layout from a first record."""
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
        """Set the number of rows of the next block by what this one came to."""
        if len(block.lengths):
            most = min(self._most_rows, 2 * self.rows)
            self.rows = _rows_for(len(block.data) // len(block.lengths), most)

    def make(self, rows: Any) -> Block | None:
        """Frame a block of rows; None where a batch method refuses it.

        Raises:
            DataError: A handler without batch method can't handle a row; it begins with its number
                within the block.
        """
        columns: dict[str, Payloads] = {}
        try:
            for key, method in self._batch.items():
                if method is not None:
                    columns[key] = _payloads(method(rows, key), self._schema[key], len(rows))
        except Exception:
            # One by one, the loop raises it again, with the record.
            return None
        for key, method in self._batch.items():
            if method is None:
                columns[key] = [self._one(number, row, key) for number, row in enumerate(rows)]
        return self._layout.block(columns, len(rows))

    def _one(self, number: int, row: Any, key: str) -> bytes:
        try:
            made = handled(self._handlers[key], row, key)
            check_features(made, {key: self._schema[key]})
        except DataError as error:
            raise RowError(number, str(error)) from error
        kind = self._schema[key].kind
        if kind == "bytes":
            return bytes(made[key].bytes_list.value[0])
        # Python's floats would change the bits of some NaNs.
        return list_payload(getattr(made[key], f"{kind}_list").SerializeToString())


def _rows_for(record_bytes: int, most: int) -> int:
    return max(1, min(most, BLOCK_BYTES // max(1, record_bytes)))


class RowError(DataError):
    """A row that can't be handled.

    Attributes:
        number: Its number within the block.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def _payloads(values: Any, schema: FeatureSchema, count: int) -> Payloads:
    """Bring what a batch method returns into wire form, held to the schema."""
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
