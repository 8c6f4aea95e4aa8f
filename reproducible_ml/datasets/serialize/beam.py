"""Serialization on Apache Beam: the same shards and manifest, written by any number of machines.

    python -m reproducible_ml.datasets.serialize.beam --source=mnist --record-dir=/shared/mnist

One element is the range of rows of one shard. A worker takes them from the source and writes them
with the writer that is used everywhere; nothing but the plan of the shards goes through Beam. A
shard appears under its name when it is complete, so a bundle that is tried again, or by two workers
at once, puts the same bytes in the same place.

``record_dir`` must be reachable from all workers: a shared folder, or an address that Beam's file
systems know, such as ``gs://bucket/mnist``. Needs the extra ``[beam]``. See docs/beam.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import click

from reproducible_ml.datasets.rows import Reachable, Rows, reachable
from reproducible_ml.datasets.serialize.encoder import Encoder
from reproducible_ml.datasets.serialize.manifest import (
    MANIFEST_FILE,
    SPLITS,
    Manifest,
    Shard,
    Split,
    manifest_text,
    write_manifest,
)
from reproducible_ml.datasets.serialize.records import make_manifest, wrong_number
from reproducible_ml.datasets.serialize.shard_writer import check_compression
from reproducible_ml.datasets.serialize.shards import (
    RECORD_PATTERN,
    ShardPlan,
    check_splits,
    plan_split,
    write_shard,
)
from reproducible_ml.datasets.serialize.staging import staged
from reproducible_ml.datasets.sources import SOURCES, Source, make_source
from reproducible_ml.handlers import FeatureHandler
from reproducible_ml.utils.errors import ConfigError, DataError

try:
    import apache_beam
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
except ImportError as error:
    raise ConfigError(
        f"Apache Beam can't be imported ({error}). Install it: pip install 'reproducible-ml[beam]'."
    ) from error

# Beam's runner of this machine. Its newer name, DirectRunner, may first download another one.
_LOCAL_RUNNER = "FnApiRunner"
# Beside each shard until all are written: what it is, and what its records' digest is made over.
_NOTE = ".note"
_PART = ".part-"


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
    options: Sequence[str] = (),
) -> Manifest:
    """Write a data set by a Beam pipeline; see ``datasets.serialize.write_records``.

    Args:
        record_dir: Folder that all workers reach, or an address of Beam's file systems.
        record_pattern: Format pattern of the shard names, taking the split and the index.
        keys_to_handlers: Feature name -> handler.
        samples_per_record: Records in a full shard, and rows in an element of the pipeline.
        split_to_size: Number of records of each of the splits train, eval and test.
        rows_gen: From a split's name to its rows, as a list, arrays or anything with a length and
            slices; called in each worker, so it should open what it reads only there.
        compression: "", "GZIP" or "ZLIB".
        keys_to_descriptions: Feature name -> what it is, for people.
        overwrite: Replace a data set in a folder; addresses take none.
        source: Where the rows come from, for the manifest.
        options: Beam's own, such as ``["--runner=FlinkRunner", "--flink_master=host:8081"]``.

    Returns:
        The manifest.

    Raises:
        ConfigError: A setting can't work.
        DataError: Rows are missing, too many or malformed, or the folder can't be written.
    """
    check_compression(compression)
    check_splits(split_to_size)
    encoder = Encoder(keys_to_handlers, keys_to_descriptions)
    plans = {
        split: plan_split(split, split_to_size[split], samples_per_record, record_pattern)
        for split in SPLITS
        if split in split_to_size
    }
    first = next(iter(plans.values()))[0]
    for split, size in split_to_size.items():
        found = len(_parts(rows_gen, split))
        if found != size:
            raise wrong_number(split, size, f"{found}")
    # Binds the handlers by the first row, which must be the same for all workers.
    encoder.encode(_parts(rows_gen, first.split)[:1], first.file, 0)
    with _destination(record_dir, overwrite) as folder:
        _run(plans, _ShardWriting(folder, rows_gen, encoder, compression), options)
        splits = {split: _collected(folder, plans[split]) for split in plans}
        manifest = make_manifest(
            folder, encoder, splits, compression, record_pattern, samples_per_record, source
        )
        _clean(folder)
        if _is_address(folder):
            _publish(manifest_text(manifest).encode("utf-8"), f"{folder}/{MANIFEST_FILE}")
        else:
            write_manifest(manifest)
    return manifest.moved_to(str(record_dir))


class SourceRows:
    """A ``rows_gen`` that opens a source where it is called, and only once in a process.

    Args:
        name: A name of ``datasets.sources.SOURCES``.
        arguments: Its arguments; files must be reachable from all workers.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name = name
        self._arguments = json.dumps(dict(arguments), sort_keys=True)

    def __call__(self, split: str) -> Sequence[Any]:
        """Return the rows of a split."""
        return self.source().rows_gen(split)

    def source(self) -> Source:
        """Open the source."""
        return _opened(self.name, self._arguments)


@lru_cache(maxsize=2)
def _opened(name: str, arguments: str) -> Source:
    return make_source(name, **json.loads(arguments))


class _ShardWriting(apache_beam.DoFn):
    """Writes the shards that it is given."""

    def __init__(
        self,
        folder: str,
        rows_gen: Callable[[str], Rows],
        encoder: Encoder,
        compression: str,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._rows_gen = rows_gen
        self._encoder = encoder
        self._compression = compression

    def process(self, plan: ShardPlan) -> Iterator[int]:
        """Write one shard and the note beside it; yield its number of records."""
        remote = _is_address(self._folder)
        parent = None if remote else self._folder
        with tempfile.TemporaryDirectory(prefix=_PART, dir=parent) as part:
            rows = _parts(self._rows_gen, plan.split)[plan.start : plan.stop]
            written = write_shard(part, plan, rows, self._encoder, self._compression)
            target = f"{self._folder}/{plan.file}"
            note = json.dumps(asdict(written.shard)).encode("ascii") + b"\n" + written.content
            if remote:
                with open(os.path.join(part, plan.file), "rb") as file:
                    _publish(file, target)
            else:
                os.replace(os.path.join(part, plan.file), target)
        # Last, since it says that the shard is there.
        _publish(note, target + _NOTE)
        yield written.shard.records


def _run(
    plans: Mapping[str, Sequence[ShardPlan]], writing: _ShardWriting, options: Sequence[str]
) -> None:
    chosen = PipelineOptions(list(options))
    runner = chosen.view_as(StandardOptions).runner or _LOCAL_RUNNER
    every = [plan for split in plans.values() for plan in split]
    try:
        with apache_beam.Pipeline(runner=runner, options=chosen) as pipeline:
            (
                pipeline
                | "shards" >> apache_beam.Create(every)
                | "spread" >> apache_beam.Reshuffle()
                | "write" >> apache_beam.ParDo(writing)
            )
    except Exception as error:
        # Runners wrap what a worker raised, some as text only.
        found = _data_error_in(error)
        if found is None:
            raise
        raise DataError(found) from error


def _data_error_in(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, DataError):
            return str(error).split(" [while running")[0]
        error = error.__cause__ or error.__context__
    return None


def _parts(rows_gen: Callable[[str], Rows], split: str) -> Reachable:
    rows = rows_gen(split)
    found = reachable(rows)
    if found is not None:
        return found
    if hasattr(rows, "__len__") and hasattr(rows, "__getitem__"):
        return rows  # type: ignore[return-value]
    raise ConfigError(
        f"A shard's worker takes only its own rows, but rows_gen({split!r}) yields them one after "
        "the other. Return a list, a mapping of arrays, or what has a length and slices."
    )


@contextmanager
def _destination(record_dir: str | Path, overwrite: bool) -> Iterator[str]:
    """Give the folder or address to write into."""
    if not _is_address(str(record_dir)):
        with staged(record_dir, overwrite) as folder:
            yield str(folder)
        return
    address = str(record_dir).rstrip("/")
    if FileSystems.exists(f"{address}/{MANIFEST_FILE}"):
        hint = " Addresses can't be overwritten as a whole." if overwrite else ""
        raise DataError(
            f"{address} holds a data set already. Choose another record_dir, or remove it.{hint}"
        )
    if not FileSystems.exists(address):
        FileSystems.mkdirs(address)
    yield address


def _collected(folder: str, plans: Sequence[ShardPlan]) -> Split:
    """Put together what the workers noted."""
    content, shards = hashlib.sha256(), []
    for plan in plans:
        try:
            with FileSystems.open(f"{folder}/{plan.file}{_NOTE}", compression_type=_PLAIN) as file:
                described, _, digested = file.read().partition(b"\n")
        except OSError as error:
            raise DataError(
                f"{folder}/{plan.file} was not written, although the pipeline ended well: do all "
                "workers reach record_dir?"
            ) from error
        shards.append(Shard(**json.loads(described)))
        content.update(digested)
    return Split(plans[-1].stop, tuple(shards), content.hexdigest())


_PLAIN = "uncompressed"


def _publish(content: Any, target: str) -> None:
    """Write a file so that it is whole as soon as it has its name."""
    part = f"{target}{_PART}{uuid.uuid4().hex}"
    with FileSystems.create(part, compression_type=_PLAIN) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            shutil.copyfileobj(content, file, 1 << 20)
    if _is_address(target):
        FileSystems.rename([part], [target])
    else:
        os.replace(part, target)


def _clean(folder: str) -> None:
    """Remove the notes, and what workers left that were stopped on the way."""
    if _is_address(folder):
        names = [found.path for found in FileSystems.match([f"{folder}/*"])[0].metadata_list]
        gone = [name for name in names if name.endswith(_NOTE) or _PART in name]
        if gone:
            FileSystems.delete(gone)
        return
    for path in Path(folder).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name.endswith(_NOTE) or _PART in path.name:
            path.unlink()


def _is_address(folder: str) -> bool:
    return "://" in folder


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--source", required=True, type=click.Choice(list(SOURCES)))
@click.option("--npz-file", help="For mnist and npz; must be reachable from all workers.")
@click.option("--image-dir", help="For folder: a folder with a sub-folder for each class.")
@click.option("--image-shape", default="64,64,3", help="For folder: height,width,channels.")
@click.option("--record-dir", required=True, help="Folder or address that all workers reach.")
@click.option("--record-pattern", default=RECORD_PATTERN, show_default=True)
@click.option("--samples-per-record", default=5000, show_default=True)
@click.option("--compression", default="", help='"" (none), GZIP or ZLIB.')
@click.option("--overwrite", is_flag=True, help="Replace a data set that is there.")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED)
def main(
    source: str,
    npz_file: str | None,
    image_dir: str | None,
    image_shape: str,
    record_dir: str,
    record_pattern: str,
    samples_per_record: int,
    compression: str,
    overwrite: bool,
    beam_options: tuple[str, ...],
) -> None:
    """Serialize a source by an Apache Beam pipeline; what is unknown here are Beam's options."""
    shape = [int(size) for size in image_shape.split(",")]
    arguments = {"npz_file": npz_file, "image_dir": image_dir, "image_shape": shape}
    rows = SourceRows(source, {name: value for name, value in arguments.items() if value})
    opened = rows.source()
    manifest = write_records(
        record_dir,
        record_pattern,
        opened.keys_to_handlers,
        samples_per_record,
        opened.split_to_size,
        rows,
        compression,
        opened.keys_to_descriptions,
        overwrite,
        opened.describe(),
        options=beam_options,
    )
    records = sum(split.records for split in manifest.splits.values())
    click.echo(f"{records:,} records in {record_dir}; fingerprint {manifest.fingerprint[:16]}")


if __name__ == "__main__":
    from reproducible_ml.datasets.serialize import beam as _importable

    # Workers find the classes by their module's name, which is not __main__ there.
    _importable.main()
