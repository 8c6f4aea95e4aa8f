"""Writing of rows as shards with a manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.datasets.rows import RowReader, Rows, check_rows, reachable
from reproducible_ml.datasets.serialize.encoding import Encoder, Spans, joined, with_ranges
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
from reproducible_ml.handlers import FeatureHandler, ValueSpan
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.progress import Progress

# Limits the count of surplus rows, since some generators never end.
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
        The writer and the path that it writes to.
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
        n_samples: Number of samples to write.
        rgen: Generator of rows; further rows remain in it.
        keys_to_handlers: Feature name -> handler.
        writer: Writer of the shard, see ``get_writer``.

    Returns:
        Number of samples written, less than ``n_samples`` if the generator ended.

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
    """Write a data set: for each split full shards and one with the rest, and last the manifest.

    Args:
        record_dir: Folder of the data set; it appears when everything is written.
        record_pattern: Format pattern of the shard names, taking the split and the index.
        keys_to_handlers: Feature name -> handler.
        samples_per_record: Records in a full shard.
        split_to_size: Number of records of each of the splits train, eval and test.
        rows_gen: Function from a split's name to its rows, exactly as many as ``split_to_size``
            says: a generator, a list, or a mapping of arrays such as
            ``{"image": images, "label": labels}``, which is several times faster.
        compression: "", "GZIP" or "ZLIB".
        keys_to_descriptions: Feature name -> what it is, for people.
        overwrite: Replace a data set that is already there; it stays until the new one is complete.
        source: Description of where the rows come from, for the manifest.
        workers: Number of processes that write, each with one shard at a time; the bytes do not
            depend on it. More than one requires rows in a list or arrays, and pays off if rows are
            costly to handle, such as image files.

    Returns:
        The manifest.

    Raises:
        ConfigError: A setting is invalid.
        DataError: Rows are missing, surplus or malformed, or the folder can't be written; nothing
            is left behind, and an older data set is unchanged.
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
    # A trial, so that a bad description fails before hours of writing and not after.
    make_manifest("", encoder, {}, compression, record_pattern, samples_per_record, source)
    total = sum(planned[-1].stop for planned in plans.values())
    with staged(record_dir, overwrite) as folder, Progress(total) as bar, ended_workers(workers):
        writing = _Writing(folder, encoder, compression, bar, workers)
        splits, spans = {}, {}
        for split in plans:
            rows = rows_gen(split)
            check_rows(rows, f"rows_gen({split!r})")
            splits[split], spans[split] = writing.split(split, rows, plans[split])
        manifest = make_manifest(
            folder, encoder, splits, compression, record_pattern, samples_per_record, source, spans
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
    spans: Spans | None = None,
) -> Manifest:
    """Make the manifest of a data set whose shards are written.

    Raises:
        ConfigError: The source or a handler describes itself with values that a manifest can't
            hold.
        DataError: The range of a feature can't be told from its values.
    """
    features = with_ranges(encoder.schema, encoder.handlers, spans or {})
    return Manifest(
        record_dir=str(folder),
        features=features,
        splits=dict(splits),
        compression=compression,
        fingerprint=compute_fingerprint(
            features, {name: (split.records, split.content) for name, split in splits.items()}
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
        folder: Folder to write into.
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
        self._spans: list[Mapping[str, ValueSpan]] = []

    def split(
        self, name: str, rows: Rows, plans: Sequence[ShardPlan]
    ) -> tuple[Split, Mapping[str, ValueSpan]]:
        """Write a split's shards; return it with the spans of its values, by feature."""
        self._encoder.spans()  # those of another split's first row
        content = hashlib.sha256()
        by_workers = self._workers > 1 and len(plans) > 1
        write = self._by_workers if by_workers else self._here
        shards = write(name, rows, plans, content)
        # Each of the other processes reports those of its shards.
        spans = joined(self._spans) if by_workers else self._encoder.spans()
        return Split(plans[-1].stop, tuple(shards), content.hexdigest()), spans

    def _here(self, name: str, rows: Rows, plans: Sequence[ShardPlan], content: Any) -> list[Shard]:
        """Write in this process, with a thread for the disk."""
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
        # Surplus rows are an error, too: they would silently be missing from the data set.
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
                f"workers={self._workers} needs rows that can be indexed, but rows_gen({name!r}) "
                "yields them one at a time. Return a list or a mapping of arrays, or omit workers."
            )
        if len(parts) != plans[-1].stop:
            raise wrong_number(name, plans[-1].stop, f"{len(parts)}")
        # Binds the handlers to the first row; all workers must use the same form.
        self._encoder.encode(parts[:1], plans[0].file, 0)
        shards, self._spans = [], []
        tasks = ((plan, parts[plan.start : plan.stop]) for plan in plans)
        for written in write_by_workers(
            self._folder, tasks, self._encoder, self._compression, self._workers
        ):
            content.update(written.content)
            self._spans.append(written.spans)
            shards.append(written.shard)
            self._bar.advance(written.shard.records)
        return shards


def wrong_number(split: str, size: int, found: str) -> DataError:
    """Return the error for a split whose number of rows differs from ``split_to_size``."""
    return DataError(
        f"The split {split!r} should have {size} rows, but rows_gen({split!r}) yields {found}. "
        "Correct split_to_size."
    )
