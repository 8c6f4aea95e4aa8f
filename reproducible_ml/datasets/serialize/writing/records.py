"""Rows to shards and a manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.datasets.rows import RowReader, Rows, check_rows, reachable
from reproducible_ml.datasets.serialize.encoding import Encoder
from reproducible_ml.datasets.serialize.manifest import (
    SPLITS,
    Manifest,
    Shard,
    Split,
    compute_fingerprint,
    write_manifest,
)
from reproducible_ml.datasets.serialize.publishing import staged
from reproducible_ml.datasets.serialize.settings import described, plain, whole
from reproducible_ml.datasets.serialize.shard import (
    Disk,
    ShardPlan,
    ShardWriter,
    check_compression,
    check_splits,
    plan_split,
    shard_name,
    write_rows,
)
from reproducible_ml.datasets.serialize.writing.parallel import ended_workers, write_by_workers
from reproducible_ml.handlers import FeatureHandler
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.progress import Progress

# Some generators never end.
_MOST_COUNTED = 1_000_000


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


def write_samples(
    n_samples: int,
    rgen: Iterable[Any],
    keys_to_handlers: Mapping[str, FeatureHandler],
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
    check_rows(rgen, "rgen")
    return write_rows(RowReader(rgen), n_samples, Encoder(keys_to_handlers), writer)


def write_records(
    record_dir: str | Path,
    record_pattern: str,
    keys_to_handlers: Mapping[str, FeatureHandler],
    samples_per_record: int,
    split_to_size: Mapping[str, int],
    rows_gen: Callable[[str], Rows],
    compression: str = "",
    keys_to_descriptions: Mapping[str, str] | None = None,
    overwrite: bool = False,
    source: Mapping[str, Any] | None = None,
    workers: int = 1,
) -> Manifest:
    """Write a data set: full shards, then one with the rest, for each split; last the manifest.

    Args:
        record_dir: Folder of the data set; it appears when everything is written.
        record_pattern: Format pattern of the shard names, taking the split and the index.
        keys_to_handlers: Feature name -> handler.
        samples_per_record: Records in a full shard.
        split_to_size: Number of records of each of the splits train, eval and test.
        rows_gen: From a split's name to its rows, exactly as many as ``split_to_size`` says: a
            generator, a list, or, which is several times faster, a mapping of arrays such as
            ``{"image": images, "label": labels}``, a row for each of their entries.
        compression: "", "GZIP" or "ZLIB".
        keys_to_descriptions: Feature name -> what it is, for people.
        overwrite: Replace a data set that is there already; it stays until the new one is whole.
        source: Where the rows come from, for the manifest.
        workers: Number of processes that write, one shard each at a time; the bytes are the same
            for any number. More than one need rows that are a list or arrays, and pay where rows
            are costly to handle, such as image files.

    Returns:
        The manifest.

    Raises:
        ConfigError: A setting can't work.
        DataError: Rows are missing, too many or malformed, or the folder can't be written; nothing
            is left behind and what was there is unchanged.
    """
    check_compression(compression)
    check_splits(split_to_size)
    plans = {
        split: plan_split(split, split_to_size[split], samples_per_record, record_pattern)
        for split in SPLITS
        if split in split_to_size
    }
    workers = whole("workers", workers)
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, found {workers}.")
    if not callable(rows_gen):
        raise ConfigError(f"rows_gen must be a function of a split's name, found {rows_gen!r:.50}.")
    encoder = Encoder(keys_to_handlers, keys_to_descriptions)
    # What is known before the rows are: made once here, so that it can't fail after them.
    make_manifest("", encoder, {}, compression, record_pattern, samples_per_record, source)
    total = sum(planned[-1].stop for planned in plans.values())
    with staged(record_dir, overwrite) as folder, Progress(total) as bar, ended_workers(workers):
        writing = _Writing(folder, encoder, compression, bar, workers)
        splits = {}
        for split in plans:
            rows = rows_gen(split)
            check_rows(rows, f"rows_gen({split!r})")
            splits[split] = writing.split(split, rows, plans[split])
        manifest = make_manifest(
            folder, encoder, splits, compression, record_pattern, samples_per_record, source
        )
        write_manifest(manifest)
    return manifest.moved_to(str(record_dir))


def make_manifest(
    folder: str | Path,
    encoder: Encoder,
    splits: Mapping[str, Split],
    compression: str,
    record_pattern: str,
    samples_per_record: int,
    source: Mapping[str, Any] | None,
) -> Manifest:
    """Describe a data set whose shards are written.

    Raises:
        ConfigError: The source or a handler describes itself by what no manifest can hold.
    """
    return Manifest(
        record_dir=str(folder),
        features=encoder.schema,
        splits=dict(splits),
        compression=compression,
        fingerprint=compute_fingerprint(
            encoder.schema, {name: (split.records, split.content) for name, split in splits.items()}
        ),
        record_pattern=record_pattern,
        samples_per_record=whole("samples_per_record", samples_per_record),
        source=described("source", source),
        handlers={
            key: plain(f"The settings of the handler of {key!r}", handler.config())
            for key, handler in encoder.handlers.items()
        },
        library_version=reproducible_ml.__version__,
    )


class _Writing:
    """The writing of one data set.

    Args:
        folder: Where to.
        encoder: Makes the records.
        compression: "", "GZIP" or "ZLIB".
        bar: Counts the records.
        workers: Number of processes.
    """

    def __init__(
        self, folder: Path, encoder: Encoder, compression: str, bar: Progress, workers: int
    ) -> None:
        self._folder = folder
        self._encoder = encoder
        self._compression = compression
        self._bar = bar
        self._workers = workers

    def split(self, name: str, rows: Rows, plans: Sequence[ShardPlan]) -> Split:
        """Write a split's shards."""
        content = hashlib.sha256()
        by_workers = self._workers > 1 and len(plans) > 1
        write = self._by_workers if by_workers else self._here
        shards = write(name, rows, plans, content)
        return Split(plans[-1].stop, tuple(shards), content.hexdigest())

    def _here(self, name: str, rows: Rows, plans: Sequence[ShardPlan], content: Any) -> list[Shard]:
        """Write in this process, and in a thread what goes to the disk."""
        reader = RowReader(rows)
        writers: list[ShardWriter] = []
        try:
            with Disk() as disk:
                for plan in plans:
                    path = os.path.join(self._folder, plan.file)
                    writer = ShardWriter(path, self._compression, content.update, disk)
                    writers.append(writer)
                    wanted = plan.stop - plan.start
                    found = write_rows(reader, wanted, self._encoder, writer, self._bar.advance)
                    if found < wanted:
                        raise wrong_number(name, plans[-1].stop, f"only {plan.start + found}")
        except BaseException:
            for writer in writers:
                writer.discard()
            raise
        surplus = reader.left(_MOST_COUNTED + 1)
        if surplus:
            more = "" if surplus <= _MOST_COUNTED else "more than "
            size = plans[-1].stop
            raise wrong_number(name, size, f"{more}{size + min(surplus, _MOST_COUNTED)}")
        return [writer.shard() for writer in writers]

    def _by_workers(
        self, name: str, rows: Rows, plans: Sequence[ShardPlan], content: Any
    ) -> list[Shard]:
        """Write in other processes."""
        parts = reachable(rows)
        if parts is None:
            raise ConfigError(
                f"workers={self._workers} needs rows that can be reached by number, but rows_gen"
                f"({name!r}) yields them one after the other. Return a list or a mapping of "
                "arrays, or leave workers out."
            )
        if len(parts) != plans[-1].stop:
            raise wrong_number(name, plans[-1].stop, f"{len(parts)}")
        # Binds the handlers by the first row, which must be the same for all workers.
        self._encoder.encode(parts[:1], plans[0].file, 0)
        shards = []
        tasks = ((plan, parts[plan.start : plan.stop]) for plan in plans)
        for written in write_by_workers(
            self._folder, tasks, self._encoder, self._compression, self._workers
        ):
            content.update(written.content)
            shards.append(written.shard)
            self._bar.advance(written.shard.records)
        return shards


def wrong_number(split: str, size: int, found: str) -> DataError:
    """Say that a split has another number of rows than was stated."""
    return DataError(
        f"The split {split!r} should have {size} rows, rows_gen({split!r}) yields {found}. Give "
        "split_to_size the right number."
    )
