"""Writing and reading records, against what people usually write and read them with.

$ python -m benchmarks.data --npz-file mnist.npz

Contenders take turns; medians of the rounds are shown as records a second and as ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH_SIZE, BUFFER = 64, 10_000


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; without it random images of its size")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    images, labels = rows(arguments.npz_file, arguments.records)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        compare("writing", writers(work, images, labels), len(images), arguments.rounds)
        compare("reading", readers(work), len(images), arguments.rounds)


def rows(npz_file: str | None, count: int) -> tuple[Any, Any]:
    """Return images and labels."""
    import numpy as np

    if npz_file:
        with np.load(npz_file) as archive:
            return archive["x_train"][:count], archive["y_train"][:count].astype(np.int64)
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (count, 28, 28), np.uint8), draw.integers(0, 10, count)


def compare(
    what: str, contenders: dict[str, Callable[[], None]], records: int, rounds: int
) -> None:
    """Let contenders take turns and print medians; the first one is the ratios' base."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in names:
            began = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - began)
    base = statistics.median(next(iter(seconds.values())))
    print(f"\n{what:42} {'records/s':>12} {'ratio':>7}")
    for name, found in seconds.items():
        median = statistics.median(found)
        print(f"{name:42} {records / median:>12,.0f} {base / median:>7.2f}")


def writers(work: Path, images: Any, labels: Any) -> dict[str, Callable[[], None]]:
    """Return what writes all rows."""
    import tensorflow as tf

    from reproducible_ml.datasets.serialize import write_records
    from reproducible_ml.handlers import ImageHandler, LabelHandler

    def usual() -> None:
        with tf.io.TFRecordWriter(str(work / "usual.tfrecord")) as writer:
            for image, label in zip(images, labels):
                feature = {
                    "image": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[image.tobytes()])
                    ),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())

    def ours() -> None:
        write_records(
            work / "ours",
            "{}-{:05d}.tfrecord",
            {"image": ImageHandler((28, 28, 1)), "label": LabelHandler(10)},
            samples_per_record=5000,
            split_to_size={"train": len(images)},
            rows_gen=lambda split: (
                {"image": image, "label": label} for image, label in zip(images, labels)
            ),
            overwrite=True,
        )

    return {"TFRecordWriter, Example by Example": usual, "write_records": ours}


def readers(work: Path) -> dict[str, Callable[[], None]]:
    """Return what reads one epoch in shuffled batches."""
    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    form = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    shards = sorted(str(path) for path in (work / "ours").glob("*.tfrecord"))

    def decoded(parsed: Any) -> Any:
        return tf.cast(tf.io.decode_raw(parsed["image"], tf.uint8), tf.float32) / 127.5 - 1.0

    def single() -> None:
        data = tf.data.TFRecordDataset(shards)
        data = data.map(lambda one: decoded(tf.io.parse_single_example(one, form)))
        drain(data.shuffle(BUFFER).batch(BATCH_SIZE))

    def batched() -> None:
        data = tf.data.TFRecordDataset(shards).shuffle(BUFFER).batch(BATCH_SIZE)
        drain(data.map(lambda batch: decoded(tf.io.parse_example(batch, form))))

    def ours(reader: str) -> Callable[[], None]:
        def read() -> None:
            drain(
                input_fn(
                    work / "ours", batch_size=BATCH_SIZE, repeat=False, reader=reader, check="size"
                )()
            )

        return read

    return {
        "map(parse_single), shuffle, batch": single,
        "shuffle, batch, map(parse)": batched,
        **{f"input_fn, reader={name}": ours(name) for name in ("memory", "memmap", "stream")},
    }


def drain(dataset: Any) -> None:
    """Read a dataset to its end."""
    for _ in dataset.prefetch(2):
        pass


if __name__ == "__main__":
    main()
