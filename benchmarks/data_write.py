"""Writing of records: MNIST, larger and encoded images, and the cost of crash safety."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.measure import Contender, Part, Target, take_turns

LOOP = "TFRecordWriter, Example by Example"
PLAIN, PLAIN_SYNCED = "write() of the same bytes", "write() of the same bytes, fsync"
ARRAYS, ROWS = "write_records, arrays", "write_records, generator of dicts"
TFDS, TFDS_PNG = "TFDS, Tensor feature (raw)", "TFDS, Image feature (PNG)"
UNSAFE = "write_records, without fsync"
SHARD_RECORDS = 5000  # as serialize_source does by default
PNG_SHARD_RECORDS = 5000

Rows = dict[str, Any]


def title(what: str, compression: str) -> str:
    """Return the name of a part of writing."""
    return f"write {what}, {compression or 'none'}"


MNIST, PICTURES, PNG = "MNIST", "128x128x3", "PNG byte strings"
TARGETS = [
    Target("write MNIST, none", title(MNIST, ""), ARRAYS, LOOP, 8),
    Target("write MNIST, GZIP", title(MNIST, "GZIP"), ARRAYS, LOOP, 10),
    Target("write MNIST, none", title(MNIST, ""), ARRAYS, TFDS, 20),
    Target("write MNIST, none", title(MNIST, ""), ARRAYS, PLAIN, 0.35, "percent"),
    Target("write 128x128x3, none", title(PICTURES, ""), ARRAYS, LOOP, 1.6),
    Target("write 128x128x3, GZIP", title(PICTURES, "GZIP"), ARRAYS, LOOP, 4),
    # Nothing but the frame of a record is left to do: bytes of any length go as they are.
    Target("write PNG byte strings, none", title(PNG, ""), ARRAYS, LOOP, None),
    Target(
        "crash safety, MNIST, none", title(MNIST, ""), ARRAYS, UNSAFE, 1 / 1.3, "more time"
    ),
    Target(
        "crash safety, 128x128x3, none", title(PICTURES, ""), ARRAYS, UNSAFE, 1 / 1.3, "more time"
    ),
]  # fmt: skip


def measure(work: Path, mnist: Rows, pictures: Rows, pngs: Rows, rounds: int) -> Iterator[Part]:
    """Measure all parts of writing.

    Args:
        work: An empty folder on the disk to measure.
        mnist: ``image`` uint8 [n, 28, 28] and ``label`` int64 [n].
        pictures: The same with images [n, 128, 128, 3].
        pngs: ``image``, a list of PNG files' bytes, and ``label``.
        rounds: How often each contender runs.
    """
    for compression in ("", "GZIP"):
        yield _part(work, MNIST, mnist, compression, rounds)
    for compression in ("", "GZIP"):
        yield _part(work, PICTURES, pictures, compression, rounds)
    yield _part(work, PNG, pngs, "", rounds)


def _part(work: Path, what: str, rows: Rows, compression: str, rounds: int) -> Part:
    folder = work / "write"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    contenders = {
        LOOP: _clean(folder / "loop", lambda path: loop(path, rows, compression)),
        **_array_record(folder, rows, compression),
        **(_tfds(folder, rows) if what == MNIST and not compression else {}),
        **_plain(folder, rows, compression),
        ROWS: _clean(folder / "rows", lambda path: ours(path, each(rows), rows, compression)),
        UNSAFE: _clean(folder / "unsafe", lambda path: _unsafe(path, rows, compression)),
        ARRAYS: _clean(folder / "arrays", lambda path: ours(path, rows, rows, compression)),
    }
    size = sum(map(_length, rows["image"])) / len(rows["image"])
    part = Part(title(what, compression), LOOP, len(rows["label"]), size)
    take_turns(part, contenders, rounds)
    shutil.rmtree(folder)
    return part


def _length(image: Any) -> int:
    return len(image) if isinstance(image, bytes) else int(image.nbytes)


def _clean(path: Path, write: Callable[[Path], object]) -> Contender:
    """Make a contender that starts without the files and folders of earlier rounds."""

    def remove() -> None:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink()

    return Contender(lambda: write(path), remove)


def each(rows: Rows) -> Iterator[Rows]:
    """Yield rows one after the other."""
    return ({"image": image, "label": label} for image, label in zip(rows["image"], rows["label"]))


def examples(rows: Rows) -> Iterable[bytes]:
    """Make serialized Examples the usual way."""
    import tensorflow as tf

    for image, label in zip(rows["image"], rows["label"]):
        value = image if isinstance(image, bytes) else image.tobytes()
        feature = {
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
        }
        yield tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def loop(path: Path, rows: Rows, compression: str = "") -> None:
    """Write the usual way, into one file."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for example in examples(rows):
            writer.write(example)


def ours(path: Path, source: Any, rows: Rows, compression: str = "") -> Any:
    """Write with this project; return the manifest.

    Args:
        path: Folder of the data set.
        source: What rows_gen gives.
        rows: All rows.
        compression: "" or "GZIP".
    """
    from reproducible_ml.datasets.serialize import write_records
    from reproducible_ml.handlers import LabelHandler

    return write_records(
        path,
        "{}-{:05d}.tfrecord",
        {"image": _image_handler(rows["image"]), "label": LabelHandler()},
        samples_per_record=SHARD_RECORDS,
        split_to_size={"train": len(rows["label"])},
        rows_gen=lambda split: source,
        compression=compression,
    )


def _image_handler(images: Any) -> Any:
    from reproducible_ml.handlers import ImageHandler

    if isinstance(images, list):
        return encoded_handler()
    shape = images.shape[1:]
    return ImageHandler(shape if len(shape) == 3 else (*shape, 1))


def encoded_handler() -> Any:
    """Make a handler for images that already are the bytes of PNG files."""
    from reproducible_ml.handlers import FeatureHandler, FeatureSchema, pick, pick_batch
    from reproducible_ml.utils.features import bytes_feature

    class EncodedHandler(FeatureHandler):
        def handle(self, row: Any, key: str) -> dict[str, Any]:
            return {key: bytes_feature(pick(row, key))}

        def handle_batch(self, rows: Any, key: str) -> list[bytes]:
            return list(pick_batch(rows, key))

        def schema(self) -> FeatureSchema:
            return FeatureSchema("bytes", "uint8", None, "png")

    return EncodedHandler()


def _unsafe(path: Path, rows: Rows, compression: str) -> None:
    with without_fsync():
        ours(path, rows, rows, compression)


@contextmanager
def without_fsync() -> Iterator[None]:
    """Disable syncing, and the file advice that shortens it."""
    kept = os.fsync, os.posix_fadvise
    os.fsync, os.posix_fadvise = lambda fd: None, lambda *range: None
    try:
        yield
    finally:
        os.fsync, os.posix_fadvise = kept


def _plain(folder: Path, rows: Rows, compression: str) -> dict[str, Contender]:
    """The limit: the bytes that our writer made, in shards as ours, with nothing to compute."""
    manifest = ours(folder / "bytes", rows, rows, compression)
    shards = [shard.file for shard in manifest.splits["train"].shards]
    contents = [(folder / "bytes" / name).read_bytes() for name in shards]
    shutil.rmtree(folder / "bytes")

    def write(path: Path, synced: bool) -> None:
        path.mkdir()
        for name, content in zip(shards, contents):
            with open(path / name, "xb", buffering=0) as file:
                file.write(content)
                if synced:
                    os.fsync(file.fileno())

    return {
        PLAIN: _clean(folder / "plain", lambda path: write(path, synced=False)),
        PLAIN_SYNCED: _clean(folder / "synced", lambda path: write(path, synced=True)),
    }


def _array_record(folder: Path, rows: Rows, compression: str) -> dict[str, Contender]:
    """The same Examples into array_record, which has zstd and no GZIP."""
    try:
        from array_record.python.array_record_module import ArrayRecordWriter  # noqa: F401
    except ImportError:
        return {}
    name = f"array_record, {'zstd' if compression else 'uncompressed'}"
    write = lambda path: write_array_record(path, rows, bool(compression))  # noqa: E731
    return {name: _clean(folder / "array_record", write)}


def write_array_record(path: Path, rows: Rows, compressed: bool) -> None:
    """Write Examples into one array_record file, each to be read by its index."""
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1" + ("" if compressed else ",uncompressed"))
    for example in examples(rows):
        writer.write(example)
    writer.close()


def _tfds(folder: Path, rows: Rows) -> dict[str, Contender]:
    try:
        from benchmarks import tfds_peer
    except ImportError:
        return {}

    def contender(name: str, png: bool) -> Contender:
        write = lambda path: tfds_peer.write(path, rows["image"], rows["label"], png)  # noqa: E731
        return _clean(folder / name, write)

    return {TFDS: contender("tensor", False), TFDS_PNG: contender("image", True)}
