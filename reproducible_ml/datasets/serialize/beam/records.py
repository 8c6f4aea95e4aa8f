"""Writing of a data set on Apache Beam: many machines write the same shards and manifest.

    python -m reproducible_ml.datasets.serialize.beam --source=mnist --record-dir=/shared/mnist

An element of the pipeline is the range of rows of one shard. A worker takes these rows from the
source and writes them with the ordinary writer; only the plan of the shards goes through Beam. A
shard appears under its name when it is complete. If a bundle is retried, or run by two workers at
once, the same bytes are put in the same place.

``record_dir`` must be reachable from all workers: a shared folder, or an address of one of Beam's
file systems, such as ``gs://bucket/mnist``. Needs the extra ``[beam]``. See docs/beam.md.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import click

from reproducible_ml.datasets.rows import Reachable, Rows, reachable
from reproducible_ml.datasets.serialize.encoding import Encoder
from reproducible_ml.datasets.serialize.manifest import (
    SPLITS,
    Manifest,
    manifest_text,
    write_manifest,
)
from reproducible_ml.datasets.serialize.shard import (
    RECORD_PATTERN,
    ShardPlan,
    check_compression,
    check_splits,
    plan_split,
    write_shard,
)
from reproducible_ml.datasets.serialize.writing import make_manifest, wrong_number
from reproducible_ml.datasets.sources import SOURCES, Source, make_source
from reproducible_ml.handlers import FeatureHandler
from reproducible_ml.utils.errors import ConfigError, ReproducibleMLError
from reproducible_ml.utils.text import SHORT_DIGEST

# On import Beam warns about missing Google packages, none of which is used here.
_disabled = logging.root.manager.disable
logging.disable(logging.WARNING)
try:
    import apache_beam

    from reproducible_ml.datasets.serialize.beam import files as beam_files
    from reproducible_ml.datasets.serialize.beam.pipeline import parse_options, run
except ImportError as error:
    _missing = (
        f"Apache Beam can't be imported ({error}). Install it: pip install 'reproducible-ml[beam]'."
    )
    raise ConfigError(_missing) from error
finally:
    logging.disable(_disabled)


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
    """Write a data set with a Beam pipeline; see ``datasets.serialize.write_records``.

    Args:
        record_dir: Folder that all workers can reach, or an address of Beam's file systems.
        record_pattern: Format pattern of the shard names, taking the split and the index.
        keys_to_handlers: Feature name -> handler.
        samples_per_record: Records in a full shard, and rows in an element of the pipeline.
        split_to_size: Number of records of each of the splits train, eval and test.
        rows_gen: Function from a split's name to its rows, as a list, arrays or anything with a
            length and slices. It is called in each worker, so only there should it open files.
        compression: "", "GZIP" or "ZLIB".
        keys_to_descriptions: Feature name -> what it is, for people.
        overwrite: Replace a data set in a folder; not possible at an address.
        source: Description of where the rows come from, for the manifest.
        options: Beam's own, such as ``["--runner=FlinkRunner", "--flink_master=host:8081"]``.

    Returns:
        The manifest.

    Raises:
        ConfigError: A setting is invalid.
        DataError: Rows are missing, surplus or malformed, or the folder can't be written.
    """
    check_compression(compression)
    check_splits(split_to_size)
    chosen = parse_options(options)
    encoder = Encoder(keys_to_handlers, keys_to_descriptions)
    # A trial, so that a bad description fails before hours of writing and not after.
    make_manifest("", encoder, {}, compression, record_pattern, samples_per_record, source)
    plans = {
        split: plan_split(split, split_to_size[split], samples_per_record, record_pattern)
        for split in SPLITS
        if split in split_to_size
    }
    first = next(iter(plans.values()))[0]
    if first.file.endswith(beam_files.NOTE) or beam_files.PART in first.file:
        raise ConfigError(
            f"record_pattern {record_pattern!r}: names that end with {beam_files.NOTE!r} or "
            f"contain {beam_files.PART!r} belong to the pipeline's own files. The usual pattern is "
            f"{RECORD_PATTERN!r}."
        )
    for split, size in split_to_size.items():
        found = len(_parts(rows_gen, split))
        if found != size:
            raise wrong_number(split, size, f"{found}")
    # Binds the handlers to the first row; all workers must use the same form.
    encoder.encode(_parts(rows_gen, first.split)[:1], first.file, 0)
    with beam_files.destination(record_dir, overwrite, record_pattern) as folder:
        run(plans, _ShardWriting(folder, rows_gen, encoder, compression), chosen)
        splits, spans = {}, {}
        for split in plans:
            splits[split], spans[split] = beam_files.collected(folder, plans[split])
        manifest = make_manifest(
            folder, encoder, splits, compression, record_pattern, samples_per_record, source, spans
        )
        beam_files.clean(folder)
        if beam_files.is_address(folder):
            beam_files.publish_manifest(folder, manifest_text(manifest))
        else:
            write_manifest(manifest)
    return manifest.moved_to(str(record_dir))


class SourceRows:
    """A ``rows_gen`` that opens a source when it is called, but only once per process.

    Args:
        name: A name in ``datasets.sources.SOURCES``.
        arguments: Arguments of the source; its files must be reachable from all workers.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name = name
        # As a string, since the cache of opened sources needs a hashable key.
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
    """Writes the shards that it receives."""

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
        remote = beam_files.is_address(self._folder)
        parent = None if remote else self._folder
        with tempfile.TemporaryDirectory(prefix=beam_files.PART, dir=parent) as part:
            rows = _parts(self._rows_gen, plan.split)[plan.start : plan.stop]
            written = write_shard(part, plan, rows, self._encoder, self._compression)
            target = f"{self._folder}/{plan.file}"
            if remote:
                with open(os.path.join(part, plan.file), "rb") as file:
                    beam_files.publish(file, target)
            else:
                os.replace(os.path.join(part, plan.file), target)
        # The note comes last: it says that the shard is complete.
        note = beam_files.note_of(written.shard, written.content, written.spans)
        beam_files.publish(note, target + beam_files.NOTE)
        yield written.shard.records


def _parts(rows_gen: Callable[[str], Rows], split: str) -> Reachable:
    rows = rows_gen(split)
    found = reachable(rows)
    if found is not None:
        return found
    if hasattr(rows, "__len__") and hasattr(rows, "__getitem__"):
        return rows  # type: ignore[return-value]
    raise ConfigError(
        f"A worker takes only the rows of its shard, but rows_gen({split!r}) yields them one at a "
        "time. Return a list, a mapping of arrays, or anything with a length and slices."
    )


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--source", required=True, help=f"{', '.join(SOURCES)}, or tfds:NAME.")
@click.option("--npz-file", help="For mnist and npz; all workers must be able to reach it.")
@click.option("--image-dir", help="For folder: a folder with one sub-folder per class.")
@click.option("--image-shape", default="64,64,3", help="For folder: height,width,channels.")
@click.option(
    "--argument",
    "others",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another argument of the source, such as csv_file=rows.csv.",
)
@click.option("--record-dir", required=True, help="Folder or address that all workers can reach.")
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
    others: tuple[str, ...],
    record_dir: str,
    record_pattern: str,
    samples_per_record: int,
    compression: str,
    overwrite: bool,
    beam_options: tuple[str, ...],
) -> None:
    """Serialize a source with an Apache Beam pipeline; other options are passed to Beam."""
    # Silences TensorFlow in this process and in workers that it starts.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # Before the source is opened, which may take long.
        parse_options(beam_options)
        shape = _shape_of(image_shape)
        arguments: dict[str, Any] = {
            "npz_file": npz_file,
            "image_dir": image_dir,
            "image_shape": shape,
        }
        arguments.update(map(_argument, others))
        rows = SourceRows(source, {name: value for name, value in arguments.items() if value})
        opened = rows.source()
        for remark in opened.remarks():
            click.echo(remark)
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
    except ReproducibleMLError as error:
        raise click.ClickException(str(error)) from error
    records = sum(split.records for split in manifest.splits.values())
    fingerprint = manifest.fingerprint[:SHORT_DIGEST]
    click.echo(f"{records:,} records in {record_dir}; fingerprint {fingerprint}")


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--argument={text} is not KEY=VALUE, such as csv_file=rows.csv.")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


def _shape_of(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"--image-shape={text} is not height,width,channels, such as 64,64,3."
        ) from error
