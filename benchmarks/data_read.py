"""Reading of shuffled epochs: MNIST with all peers, larger images, and PNG files of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data_epochs import drained, opened, scaled
from benchmarks.data_peers import LIMIT, TFDS, peers
from benchmarks.data_write import ours
from benchmarks.measure import Contender, Part, Target, take_turns

BUFFER = 10_000
TITLE, GZIP_TITLE = "read MNIST, none", "read MNIST, GZIP"
PICTURES_TITLE, PNG_TITLE = "read 128x128x3, none", "read PNG"
DOCUMENT = "map(parse_single), batch, shuffle"
PLAIN = "shuffle(buffer), batch, parse_example"
MEMORY, MEMMAP, STREAM = "ours, memory", "ours, memmap", "ours, stream"
LOADED = "ours, memory, once loaded"
TARGETS = [
    Target("read MNIST, memory gather, shuffled", TITLE, MEMORY, DOCUMENT, 18),
    Target("read MNIST, memory gather, shuffled", TITLE, MEMORY, TFDS, 20),
    Target("read MNIST, memory gather once loaded, shuffled", TITLE, LOADED, LIMIT, 0.8, "percent"),
    Target("read MNIST, streaming shuffled, none", TITLE, STREAM, DOCUMENT, 5),
    Target("read MNIST, streaming shuffled, GZIP", GZIP_TITLE, STREAM, DOCUMENT, 4),
    Target("memory-mapped global shuffle", TITLE, MEMMAP, PLAIN, 1.4),
    Target("read 128x128x3, memory gather, shuffled", PICTURES_TITLE, MEMORY, DOCUMENT, None),
    Target("read 128x128x3, memory-mapped, shuffled", PICTURES_TITLE, MEMMAP, DOCUMENT, None),
    Target("read 128x128x3, streaming shuffled", PICTURES_TITLE, STREAM, DOCUMENT, None),
    Target("read PNG, memory gather, shuffled", PNG_TITLE, MEMORY, DOCUMENT, None),
    Target("read PNG, streaming shuffled", PNG_TITLE, STREAM, DOCUMENT, None),
]


@dataclass(frozen=True)
class Work:
    """A data set to read, and how.

    Attributes:
        title: Of the part.
        folder: The data set.
        records: Number of its records.
        record_bytes: Bytes of an image when it is decoded.
        decode: From images' strings to bytes; of one image, or of a batch for raw ones.
        readers: Of ours.
        compression: "" or "GZIP".
        batch: Batch size.
        epochs: How many of them share the opening of a reader that takes no seconds for one.
    """

    title: str
    folder: Path
    records: int
    record_bytes: int
    decode: Callable[[Any], Any]
    readers: tuple[str, ...]
    compression: str = ""
    batch: int = 256
    epochs: int = 10


def measure(
    work: Path, mnist: dict[str, Any], pictures: dict[str, Any], rounds: int
) -> Iterator[Part]:
    """Measure all parts of reading.

    Args:
        work: An empty folder.
        mnist: ``image`` uint8 [n, 28, 28] and ``label`` int64 [n].
        pictures: The same with images [n, 128, 128, 3].
        rounds: How often each contender runs.
    """
    count = len(mnist["label"])
    for compression, title in (("", TITLE), ("GZIP", GZIP_TITLE)):
        folder = work / f"read{compression}"
        ours(folder, mnist, mnist, compression)
        # A memory map needs uncompressed records.
        names = ("memory", "stream") if compression else ("memory", "memmap", "stream")
        reading = Work(title, folder, count, 784, _raw, names, compression)
        contenders = _readers(reading)
        if not compression:
            batches = count // reading.batch * reading.epochs
            contenders[LOADED] = opened(
                _reader(reading, "memory", repeat=True), batches, reading.batch
            )
            contenders.update(peers(work, mnist, reading.batch, BUFFER, reading.epochs))
        yield _part(reading, contenders, rounds)
    folder = work / "pictures"
    ours(folder, pictures, pictures)
    reading = Work(
        PICTURES_TITLE, folder, len(pictures["label"]), 128 * 128 * 3, _raw,
        ("memory", "memmap", "stream"), batch=64, epochs=2,
    )  # fmt: skip
    yield _part(reading, _readers(reading), rounds)
    folder = work / "png"
    few = {key: values[:10_000] for key, values in mnist.items()}
    _write_png(folder, few)
    reading = Work(
        PNG_TITLE, folder, len(few["label"]), 784, _png, ("memory", "stream"), epochs=2
    )  # fmt: skip
    yield _part(reading, _readers(reading), rounds)


def _part(reading: Work, contenders: dict[str, Contender], rounds: int) -> Part:
    part = Part(reading.title, DOCUMENT, reading.records, reading.record_bytes)
    return take_turns(part, contenders, rounds)


def _raw(images: Any) -> Any:
    import tensorflow as tf

    return tf.io.decode_raw(images, tf.uint8)


def _png(image: Any) -> Any:
    import tensorflow as tf

    return tf.io.decode_png(image, channels=1)


def _write_png(folder: Path, rows: dict[str, Any]) -> None:
    from reproducible_ml.datasets.serialize import write_records
    from reproducible_ml.handlers import ImageHandler, LabelHandler

    write_records(
        folder,
        "{}-{:05d}.tfrecord",
        {"image": ImageHandler((28, 28, 1), encoding="png"), "label": LabelHandler()},
        samples_per_record=5000,
        split_to_size={"train": len(rows["label"])},
        rows_gen=lambda split: rows,
    )


def _readers(reading: Work) -> dict[str, Contender]:
    import tensorflow as tf

    form = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    shards = sorted(str(path) for path in reading.folder.glob("*.tfrecord"))

    def document() -> Any:
        def parse(one: Any) -> Any:
            parsed = tf.io.parse_single_example(one, form)
            return scaled(reading.decode(parsed["image"]), parsed["label"])

        data = tf.data.TFRecordDataset(shards, reading.compression).map(parse)
        return data.batch(reading.batch).shuffle(1000).prefetch(2)

    def plain() -> Any:
        def parse(batch: Any) -> Any:
            parsed = tf.io.parse_example(batch, form)
            images = parsed["image"]
            if reading.decode is _raw:
                return scaled(_raw(images), parsed["label"])
            decoded = tf.map_fn(reading.decode, images, fn_output_signature=tf.uint8)
            return scaled(decoded, parsed["label"])

        data = tf.data.TFRecordDataset(shards, reading.compression).shuffle(BUFFER)
        return data.batch(reading.batch).map(parse).prefetch(2)

    found = {
        DOCUMENT: drained(document, reading.records),
        PLAIN: drained(plain, reading.records, reading.epochs),
    }
    for name in reading.readers:
        found[f"ours, {name}"] = drained(_reader(reading, name), reading.records, reading.epochs)
    return found


def _reader(reading: Work, name: str, repeat: bool = False) -> Callable[[], Any]:
    from reproducible_ml.input_fn import input_fn

    def read() -> Any:
        made = input_fn(
            reading.folder,
            batch_size=reading.batch,
            # As few latents as possible, since the others draw none.
            noise_dims=1,
            label_key="label",
            repeat=repeat,
            reader=name,
            check="size",
        )
        return made()

    return read
