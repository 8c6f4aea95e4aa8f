"""How time and memory grow with the number of records: each size in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Larger batches of made rows would count as the writer's memory.
ROWS_AT_ONCE = 1_000
_WRITE = """
import json, sys, time
import numpy as np
from benchmarks.measure import peak_memory_bytes
from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import LabelHandler
import tensorflow
folder, count = sys.argv[1], int(sys.argv[2])
def rows(split):
    return ({"label": number} for number in range(count))
began = time.perf_counter()
write_records(folder, "{}-{:05d}.tfrecord", {"label": LabelHandler()}, 100_000,
              {"train": count}, rows)
print(json.dumps([time.perf_counter() - began, peak_memory_bytes()]))
"""
_READ = """
import json, sys, time
import tensorflow as tf
from benchmarks.measure import peak_memory_bytes
from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn.parse import parse_batch
from reproducible_ml.input_fn.positions import Positions
from reproducible_ml.input_fn.stream import stream_batches
folder, count = sys.argv[1], int(sys.argv[2])
manifest = read_manifest(folder)
positions = Positions(batch_size=1000, substeps=1, num_workers=1, first_worker=0, workers=1,
                      start=0, records=count, whole_steps=False)
@tf.function(autograph=False)
def drain():
    data = stream_batches(manifest, "train", manifest.features, positions,
                          lambda element, values: values["label"], seed=1, shuffle=True)
    return data.reduce(tf.constant(0, tf.int64), lambda total, labels: total + tf.reduce_sum(
        tf.cast(labels, tf.int64)))
began = time.perf_counter()
total = int(drain())
assert total == count * (count - 1) // 2, total
print(json.dumps([time.perf_counter() - began, peak_memory_bytes()]))
"""


def measure(work: Path, largest: int) -> Iterator[dict[str, Any]]:
    """Write and stream 10^4 records and so on up to ``largest``, of one integer each.

    Yields:
        Number of records, seconds and peak memory in bytes of the writer and of the reader.
    """
    count = 10_000
    while count <= largest:
        folder = str(work / f"scale-{count}")
        write, read = _run(_WRITE, folder, count), _run(_READ, folder, count)
        yield {
            "records": count,
            "write_seconds": write[0],
            "write_bytes": write[1],
            "read_seconds": read[0],
            "read_bytes": read[1],
        }
        count *= 10


def table(sizes: list[dict[str, Any]]) -> str:
    """Give the sizes as Markdown."""
    lines = [
        "| records | writer, s per million | writer, peak MB | streaming reader, s per million | "
        "reader, peak MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for size in sizes:
        millions = size["records"] / 1e6
        lines.append(
            f"| {size['records']:,} | {size['write_seconds'] / millions:.2f} | "
            f"{size['write_bytes'] / 1e6:.0f} | {size['read_seconds'] / millions:.2f} | "
            f"{size['read_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def _run(program: str, folder: str, count: int) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", program, folder, str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
