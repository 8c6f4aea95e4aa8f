"""The plan of a data set's shards, and the writing of one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reproducible_ml.datasets.rows import Reachable, RowReader
from reproducible_ml.datasets.serialize.encoding import Encoder
from reproducible_ml.datasets.serialize.manifest import MANIFEST_FILE, SPLITS, Shard
from reproducible_ml.datasets.serialize.settings import check_text, whole
from reproducible_ml.datasets.serialize.shard.writer import ShardWriter
from reproducible_ml.handlers import ValueSpan
from reproducible_ml.utils.errors import ConfigError

RECORD_PATTERN = "{}-{:05d}.tfrecord"
# The longest file name that Linux and macOS accept.
_LONGEST_NAME_BYTES = 255


@dataclass(frozen=True)
class ShardPlan:
    """The rows that one shard will hold.

    Attributes:
        file: Name of the shard.
        split: Name of its split.
        start: Index of its first row in the split.
        stop: Index of its last row, plus one.
    """

    file: str
    split: str
    start: int
    stop: int


@dataclass(frozen=True)
class WrittenShard:
    """A shard that a worker has written.

    Attributes:
        plan: The plan of the shard.
        shard: Its entry in the manifest.
        content: Its part of the input of the split's content digest.
        spans: Least and largest value by feature, see ``Encoder.spans``.
    """

    plan: ShardPlan
    shard: Shard
    content: bytes
    spans: Mapping[str, ValueSpan]


def div_mod(size: int, samples_per_record: int) -> tuple[int, int]:
    """Divide a number of samples into full shards and a remainder.

    Args:
        size: Number of samples, 0 or more.
        samples_per_record: Samples in a full shard, 1 or more.

    Returns:
        The number of full shards, and the number of samples left for one more.

    Raises:
        ConfigError: One of the numbers is out of range or not an integer.
    """
    samples_per_record = whole("samples_per_record", samples_per_record)
    size = whole("The size of a split", size)
    if samples_per_record < 1:
        raise ConfigError(f"samples_per_record must be 1 or more, found {samples_per_record}.")
    if size < 0:
        raise ConfigError(f"A split can't have {size} samples.")
    return divmod(size, samples_per_record)


def shard_name(record_pattern: str, split: str, idx: int) -> str:
    """Insert a split and an index into the pattern of shard names.

    Raises:
        ConfigError: The pattern does not take a split and an index.
    """
    try:
        name = record_pattern.format(split, idx)
    except (IndexError, KeyError, ValueError) as error:
        raise ConfigError(
            f"record_pattern {record_pattern!r} does not take a split and an index ({error}); the "
            f"usual pattern is {RECORD_PATTERN!r}."
        ) from error
    # A pattern without one of the two placeholders gives another shard the same name.
    if name in (record_pattern.format(split, idx + 1), record_pattern.format(f"{split}x", idx)):
        raise ConfigError(
            f"record_pattern {record_pattern!r} gives several shards one name; it must contain "
            f"both the split and the index, as in {RECORD_PATTERN!r}."
        )
    return name


def plan_split(
    split: str, size: int, samples_per_record: int, record_pattern: str
) -> list[ShardPlan]:
    """Plan a split's shards: full ones, then one with the remaining rows.

    Raises:
        ConfigError: A number is invalid, or the pattern gives names that a shard can't have.
    """
    size, samples_per_record = whole("size", size), whole("samples_per_record", samples_per_record)
    full, rest = div_mod(size, samples_per_record)
    plans = [
        ShardPlan(
            shard_name(record_pattern, split, index),
            split,
            index * samples_per_record,
            min(size, (index + 1) * samples_per_record),
        )
        for index in range(full + (rest > 0))
    ]
    for plan in plans:
        _check_file_name(record_pattern, plan.file)
    return plans


def _check_file_name(record_pattern: str, name: str) -> None:
    """Refuse a name that points outside the data set's folder, or that no file can have."""
    check_text("record_pattern", record_pattern)
    why = ""
    if os.path.basename(name) != name:
        why = "a path; shards lie in the data set's own folder"
    elif "\0" in name:
        why = "a name with a zero byte"
    elif name in (".", "..", MANIFEST_FILE):
        why = "a name that is taken"
    elif len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        why = f"a name of more than {_LONGEST_NAME_BYTES} bytes"
    if why:
        raise ConfigError(
            f"record_pattern {record_pattern!r} names a shard {name!r}: {why}. The usual pattern "
            f"is {RECORD_PATTERN!r}."
        )


def check_splits(split_to_size: Mapping[str, int]) -> None:
    """Refuse invalid splits.

    Raises:
        ConfigError: There is no split, or one is empty or has an unknown name.
    """
    unknown = [split for split in split_to_size if split not in SPLITS]
    if unknown:
        raise ConfigError(f"There is no split {unknown[0]!r}; the splits are {', '.join(SPLITS)}.")
    for split, size in split_to_size.items():
        if whole(f"The size of the split {split!r}", size) < 1:
            raise ConfigError(
                f"The split {split!r} has {size} samples; omit it from split_to_size, or give it "
                "at least 1."
            )
    if not split_to_size:
        raise ConfigError(f"split_to_size is empty; the splits are {', '.join(SPLITS)}.")


def write_rows(
    rows: RowReader,
    count: int,
    encoder: Encoder,
    writer: ShardWriter,
    advance: Callable[[int], object] | None = None,
) -> int:
    """Write the next rows to one shard, and close its writer.

    Args:
        rows: Provides the rows.
        count: Number of rows to write.
        encoder: Makes the records.
        writer: Writes the shard.
        advance: Called with the number of records in each block.

    Returns:
        The number of rows written, less than ``count`` if there were no more.
    """
    with writer:
        while writer.records < count:
            taken = rows.take(min(encoder.block_rows, count - writer.records))
            if not len(taken):
                break
            writer.write_block(encoder.encode(taken, writer.path.name, writer.records))
            if advance is not None:
                advance(len(taken))
    return writer.records


def write_shard(
    folder: str | Path, plan: ShardPlan, rows: Reachable, encoder: Encoder, compression: str
) -> WrittenShard:
    """Write one shard; this is the task of a worker.

    Args:
        folder: Folder of the shard.
        plan: Plan of the shard.
        rows: The shard's own rows.
        encoder: Makes the records; it has learnt the first one of the data set.
        compression: "", "GZIP" or "ZLIB".
    """
    content = bytearray()
    encoder.spans()  # those of another shard, or of the first row
    path = os.path.join(folder, plan.file)
    writer = ShardWriter(path, compression, content.extend)
    write_rows(RowReader(rows), plan.stop - plan.start, encoder, writer)
    return WrittenShard(plan, writer.shard(), bytes(content), encoder.spans())
