"""Shards: which rows each takes, how one is written and read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.shard.disk import Disk
    from reproducible_ml.datasets.serialize.shard.reader import (
        Batch,
        StreamError,
        Table,
        as_table,
        batches_of,
        checksum,
        mapped,
        same_bytes,
    )
    from reproducible_ml.datasets.serialize.shard.shards import (
        RECORD_PATTERN,
        ShardPlan,
        WrittenShard,
        check_splits,
        div_mod,
        plan_split,
        shard_name,
        write_rows,
        write_shard,
    )
    from reproducible_ml.datasets.serialize.shard.writer import ShardWriter, check_compression
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "RECORD_PATTERN",
    "Batch",
    "Disk",
    "ShardPlan",
    "ShardWriter",
    "StreamError",
    "Table",
    "WrittenShard",
    "as_table",
    "batches_of",
    "check_compression",
    "check_splits",
    "checksum",
    "div_mod",
    "mapped",
    "plan_split",
    "same_bytes",
    "shard_name",
    "write_rows",
    "write_shard",
]
