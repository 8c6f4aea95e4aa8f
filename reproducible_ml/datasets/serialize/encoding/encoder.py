"""Encoding of rows as framed records, in blocks if the handlers allow it, else one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reproducible_ml.datasets.serialize.encoding.blocks import BlockMaker, RowError
from reproducible_ml.datasets.serialize.encoding.examples import ExampleMaker
from reproducible_ml.datasets.serialize.wire import Block, one_by_one
from reproducible_ml.handlers import FeatureHandler, FeatureSchema, ValueSpan
from reproducible_ml.utils.errors import DataError


class Encoder:
    """Makes records of one schema; the bytes do not depend on how many rows are encoded at once.

    Args:
        keys_to_handlers: Feature name -> its handler.
        descriptions: Feature name -> what it is, for people.
        watched: Refuse values outside the range of their feature, NaN and infinity.
    """

    def __init__(
        self,
        keys_to_handlers: Mapping[str, FeatureHandler],
        descriptions: Mapping[str, str] | None = None,
        watched: bool = True,
    ) -> None:
        self._maker = ExampleMaker(keys_to_handlers, descriptions, watched)
        self._blocks: BlockMaker | None = None

    @property
    def schema(self) -> dict[str, FeatureSchema]:
        """The schema; empty before the first record."""
        return self._maker.schema

    @property
    def handlers(self) -> dict[str, FeatureHandler]:
        """The handlers, bound to the first row."""
        return self._maker.handlers

    def spans(self) -> dict[str, ValueSpan]:
        """Return the spans of the values that were encoded since the last call, by feature."""
        return self._maker.watch.taken()

    @property
    def block_rows(self) -> int:
        """The number of rows to encode at once: 1 before the first record, or without blocks.

        A generator may yield the same object again and again. Rows must then be copied to be held
        together, which only pays off for a block.
        """
        return self._blocks.rows if self._blocks is not None and self._blocks.usable else 1

    def learn(self, row: Any) -> None:
        """Bind the handlers to a first row and learn the layout from its record."""
        self._blocks = BlockMaker(self._maker, self._maker.serialize(row))

    def encode(self, rows: Any, shard: str, first: int) -> Block:
        """Encode some rows.

        Args:
            rows: A list or slice of rows.
            shard: Name of their shard, for errors.
            first: Index of the first row in the shard.

        Raises:
            DataError: A row can't be handled; the message names the shard and the record.
        """
        payloads: list[bytes] = []
        try:
            if self._blocks is None:
                self.learn(rows[0])
            blocks = self._blocks if self._blocks and self._blocks.usable else None
            block = blocks.make(rows) if blocks else None
            # Also taken when a batch method fails: the error then names the record.
            if block is None:
                for row in rows:
                    payloads.append(self._maker.serialize(row))
                block = one_by_one(payloads)
            if blocks:
                blocks.adapt(block)
            return block
        except RowError as error:
            raise DataError(f"{shard}, record {first + error.number}: {error}.") from error
        except DataError as error:
            raise DataError(f"{shard}, record {first + len(payloads)}: {error}.") from error
