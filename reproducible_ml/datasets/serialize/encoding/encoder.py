"""Rows to framed records, by the block where the handlers allow it, else one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reproducible_ml.datasets.serialize.encoding.blocks import BlockMaker, RowError
from reproducible_ml.datasets.serialize.encoding.examples import ExampleMaker
from reproducible_ml.datasets.serialize.wire import Block, one_by_one
from reproducible_ml.handlers import FeatureHandler, FeatureSchema
from reproducible_ml.utils.errors import DataError


class Encoder:
    """Makes records of one schema; the same rows give the same bytes, however many at a time.

    Args:
        keys_to_handlers: Feature name -> its handler.
        descriptions: Feature name -> what it is.
    """

    def __init__(
        self,
        keys_to_handlers: Mapping[str, FeatureHandler],
        descriptions: Mapping[str, str] | None = None,
    ) -> None:
        self._maker = ExampleMaker(keys_to_handlers, descriptions)
        self._blocks: BlockMaker | None = None

    @property
    def schema(self) -> dict[str, FeatureSchema]:
        """The schema; empty before the first record."""
        return self._maker.schema

    @property
    def handlers(self) -> dict[str, FeatureHandler]:
        """The handlers, bound by the first record."""
        return self._maker.handlers

    @property
    def block_rows(self) -> int:
        """How many rows to encode at once: one before the first record, and without block path.

        A generator may yield one object again and again, so rows are kept only where that helps.
        """
        return self._blocks.rows if self._blocks is not None and self._blocks.usable else 1

    def learn(self, row: Any) -> None:
        """Bind the handlers and take the layout from a first row."""
        self._blocks = BlockMaker(self._maker, self._maker.serialize(row))

    def encode(self, rows: Any, shard: str, first: int) -> Block:
        """Encode some rows.

        Args:
            rows: A list or slice of rows.
            shard: Name of their shard, for errors.
            first: Number of the first of them in it.

        Raises:
            DataError: A row can't be handled; the message names the shard and the record.
        """
        payloads: list[bytes] = []
        try:
            if self._blocks is None:
                self.learn(rows[0])
            blocks = self._blocks if self._blocks and self._blocks.usable else None
            block = blocks.make(rows) if blocks else None
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
