"""Rows to shards and a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.datasets.serialize.blocks import BlockMaker, RowError, kept
from reproducible_ml.datasets.serialize.examples import ExampleMaker
from reproducible_ml.datasets.serialize.layout import Block
from reproducible_ml.datasets.serialize.manifest import (
    SPLITS,
    Manifest,
    Shard,
    Split,
    compute_fingerprint,
    content_digest,
    write_manifest,
)
from reproducible_ml.datasets.serialize.progress import Progress
from reproducible_ml.datasets.serialize.shard_writer import ShardWriter, check_compression
from reproducible_ml.datasets.serialize.staging import staged
from reproducible_ml.handlers import FeatureHandler
from reproducible_ml.utils.errors import ConfigError, DataError

RECORD_PATTERN = "{}-{:05d}.tfrecord"


def div_mod(size: int, samples_per_record: int) -> tuple[int, int]:
    """Split a number of samples into full shards and a rest.

    Args:
        size: Number of samples, 0 or more.
        samples_per_record: Samples in a full shard, 1 or more.

    Returns:
        The number of full shards, and the samples left for one more.

    Raises:
        ConfigError: One of the numbers is out of its range.
    """
    if samples_per_record < 1:
        raise ConfigError(f"samples_per_record must be 1 or more, found {samples_per_record}.")
    if size < 0:
        raise ConfigError(f"A split can't have {size} samples.")
    return divmod(size, samples_per_record)


def get_writer(
    record_pattern: str, split: str, idx: int, compression: str = ""
) -> tuple[ShardWriter, str]:
    """Open the writer of one shard.

    Args:
        record_pattern: Format pattern of the shard's path, taking the split and the index.
        split: Name of the split.
        idx: Index of the shard in its split, from 0.
        compression: "", "GZIP" or "ZLIB".

    Returns:
        The writer and the path that it writes.
    """
    path = shard_name(record_pattern, split, idx)
    return ShardWriter(path, compression), path


def shard_name(record_pattern: str, split: str, idx: int) -> str:
    """Fill a shard's split and index into the pattern.

    Raises:
        ConfigError: The pattern does not take a split and an index.
    """
    try:
        name = record_pattern.format(split, idx)
    except (IndexError, KeyError, ValueError) as error:
        raise ConfigError(
            f"record_pattern {record_pattern!r} does not take a split and an index ({error}); the "
            f"usual one is {RECORD_PATTERN!r}."
        ) from error
    if name in (record_pattern.format(split, idx + 1), record_pattern.format(f"{split}x", idx)):
        raise ConfigError(
            f"record_pattern {record_pattern!r} gives several shards one name; it needs both the "
            f"split and the index, as in {RECORD_PATTERN!r}."
        )
    return name


def write_samples(
    n_samples: int,
    rgen: Iterator[Any],
    keys_to_handlers: Mapping[str, FeatureHandler] | ExampleMaker,
    writer: ShardWriter,
) -> int:
    """Write the next samples of a generator, and close the writer.

    Args:
        n_samples: How many to write.
        rgen: Generator of rows; what it yields beyond is left in it.
        keys_to_handlers: Feature name -> handler.
        writer: Where to write.

    Returns:
        Number of samples written, less than asked when the generator ended.

    Raises:
        DataError: A row can't be handled; the message names the shard and the record.
    """
    maker = (
        keys_to_handlers
        if isinstance(keys_to_handlers, ExampleMaker)
        else ExampleMaker(keys_to_handlers)
    )
    written = 0
    blocks: BlockMaker | None = None
    with writer:
        while written < n_samples:
            wanted = blocks.rows if blocks is not None and blocks.usable else 1
            taken = islice(rgen, min(wanted, n_samples - written))
            rows = [kept(row) for row in taken] if wanted > 1 else list(taken)
            if not rows:
                break
            block = _block(blocks, rows, writer, written) if wanted > 1 else None
            if block is not None:
                writer.write_block(block.data, block.lengths.tolist(), block.crcs.tolist())
                written += len(rows)
                continue
            for row in rows:
                try:
                    payload = maker.serialize(row)
                except DataError as error:
                    raise DataError(f"{writer.path.name}, record {written}: {error}.") from error
                writer.write(payload)
                written += 1
                if blocks is None:
                    blocks = BlockMaker(maker, payload)
    return written


def _block(
    blocks: BlockMaker | None, rows: list[Any], writer: ShardWriter, written: int
) -> Block | None:
    if blocks is None:
        return None
    try:
        return blocks.make(rows)
    except RowError as error:
        raise DataError(f"{writer.path.name}, record {written + error.number}: {error}.") from error


def write_records(
    record_dir: str | Path,
    record_pattern: str,
    keys_to_handlers: Mapping[str, FeatureHandler],
    samples_per_record: int,
    split_to_size: Mapping[str, int],
    rows_gen: Callable[[str], Iterable[Any]],
    compression: str = "",
    keys_to_descriptions: Mapping[str, str] | None = None,
    overwrite: bool = False,
    source: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write a data set: full shards, then one with the rest, for each split; last the manifest.

    Args:
        record_dir: Folder of the data set; it appears when everything is written.
        record_pattern: Format pattern of the shard names, taking the split and the index.
        keys_to_handlers: Feature name -> handler.
        samples_per_record: Records in a full shard.
        split_to_size: Number of records of each of the splits train, eval and test.
        rows_gen: From a split's name to its rows, exactly as many as ``split_to_size`` says.
        compression: "", "GZIP" or "ZLIB".
        keys_to_descriptions: Feature name -> what it is, for people.
        overwrite: Replace a data set that is there already; it stays until the new one is whole.
        source: Where the rows come from, for the manifest.

    Returns:
        The manifest.

    Raises:
        ConfigError: A setting can't work.
        DataError: Rows are missing, too many or malformed, or the folder can't be written; nothing
            is left behind and what was there is unchanged.
    """
    check_compression(compression)
    div_mod(0, samples_per_record)
    _check_splits(split_to_size)
    shard_name(record_pattern, "train", 0)
    maker = ExampleMaker(keys_to_handlers, keys_to_descriptions)
    with staged(record_dir, overwrite) as folder, Progress(sum(split_to_size.values())) as bar:
        splits = {}
        for split in SPLITS:
            if split in split_to_size:
                pattern = os.path.join(
                    str(folder).replace("{", "{{").replace("}", "}}"), record_pattern
                )
                splits[split] = _write_split(
                    split,
                    split_to_size[split],
                    samples_per_record,
                    pattern,
                    compression,
                    rows_gen,
                    maker,
                    bar,
                )
        manifest = Manifest(
            record_dir=str(folder),
            features=maker.schema,
            splits=splits,
            compression=compression,
            fingerprint=compute_fingerprint(
                maker.schema,
                {name: (split.records, split.content) for name, split in splits.items()},
            ),
            record_pattern=record_pattern,
            samples_per_record=samples_per_record,
            source=dict(source or {}),
            handlers={key: handler.config() for key, handler in keys_to_handlers.items()},
            library_version=reproducible_ml.__version__,
        )
        write_manifest(manifest)
    return manifest.moved_to(str(record_dir))


def _check_splits(split_to_size: Mapping[str, int]) -> None:
    unknown = sorted(set(split_to_size) - set(SPLITS))
    if unknown:
        raise ConfigError(f"There is no split {unknown[0]!r}; the splits are {', '.join(SPLITS)}.")
    for split, size in split_to_size.items():
        if size < 1:
            raise ConfigError(
                f"The split {split!r} has {size} samples; leave it out of split_to_size, or give "
                "it at least 1."
            )
    if not split_to_size:
        raise ConfigError(f"split_to_size is empty; the splits are {', '.join(SPLITS)}.")


def _write_split(
    split: str,
    size: int,
    samples_per_record: int,
    pattern: str,
    compression: str,
    rows_gen: Callable[[str], Iterable[Any]],
    maker: ExampleMaker,
    bar: Progress,
) -> Split:
    rows = iter(rows_gen(split))
    full, rest = div_mod(size, samples_per_record)
    sizes = chain(repeat(samples_per_record, full), repeat(rest, rest > 0))
    shards: list[Shard] = []
    lengths: list[int] = []
    crcs: list[int] = []
    for index, wanted in enumerate(sizes):
        writer, _ = get_writer(pattern, split, index, compression)
        found = write_samples(wanted, rows, maker, writer)
        if found < wanted:
            raise DataError(
                f"The split {split!r} should have {size} rows, rows_gen({split!r}) yields only "
                f"{len(lengths) + found}. Give split_to_size the right number."
            )
        bar.advance(found)
        shards.append(writer.shard())
        lengths += writer.lengths
        crcs += writer.crcs
    if next(rows, _NONE) is not _NONE:
        more = 1 + sum(1 for _ in islice(rows, _MOST_COUNTED))
        found_more = f"{size + more}" if more <= _MOST_COUNTED else f"more than {size + more - 1}"
        raise DataError(
            f"The split {split!r} should have {size} rows, rows_gen({split!r}) yields "
            f"{found_more}. Give split_to_size the right number."
        )
    return Split(size, tuple(shards), content_digest(lengths, crcs))


_NONE = object()
# Some generators never end.
_MOST_COUNTED = 1_000_000
