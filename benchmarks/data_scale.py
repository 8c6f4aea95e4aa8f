"""Growth of time and memory with the number of records, each size in its own process.

Uncompressed shards are large. Compressed shards have the usual size, so that many of them are
opened one after the other.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Compression -> records in a shard.
SHARD_RECORDS = {"": 100_000, "GZIP": 5_000}
# Memory is compared with that for this many records, and may exceed it by this many bytes.
BASE_RECORDS, MOST_MORE_BYTES = 100_000, 50_000_000
_WRITE = """
import json, sys, time
import numpy as np
from benchmarks.measure import peak_memory_bytes
from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import LabelHandler
import tensorflow
folder, count, compression = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def rows(split):
    return ({"label": number} for number in range(count))
began = time.perf_counter()
write_records(folder, "{}-{:05d}.tfrecord", {"label": LabelHandler()}, int(sys.argv[4]),
              {"train": count}, rows, compression)
print(json.dumps([time.perf_counter() - began, peak_memory_bytes()]))
"""
_READ = """
import json, sys, time
import tensorflow as tf
from benchmarks.measure import peak_memory_bytes
from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn import Positions
from reproducible_ml.input_fn.readers import stream_batches
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
        Compression, number of records, seconds and peak memory in bytes of the writer and of the
        reader.
    """
    for compression in SHARD_RECORDS:
        count = 10_000
        while count <= largest:
            folder = str(work / f"scale-{count}")
            write = _run(_WRITE, folder, count, compression)
            read = _run(_READ, folder, count, compression)
            shutil.rmtree(folder)
            yield {
                "compression": compression,
                "records": count,
                "write_seconds": write[0],
                "write_bytes": write[1],
                "read_seconds": read[0],
                "read_bytes": read[1],
            }
            count *= 10


def figures(sizes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines about memory for the table: the largest size against 10^5 records."""
    rows = []
    for compression in SHARD_RECORDS:
        of_form = {one["records"]: one for one in sizes if one["compression"] == compression}
        if BASE_RECORDS not in of_form or max(of_form) == BASE_RECORDS:
            continue
        base, last = of_form[BASE_RECORDS], of_form[max(of_form)]
        for key, who in (("write_bytes", "writer"), ("read_bytes", "streaming reader")):
            more = last[key] - base[key]
            rows.append(
                {
                    "work": f"memory of the {who}, {compression or 'none'}, "
                    f"{last['records']:,} records",
                    "against": f"{BASE_RECORDS:,} records",
                    "target": f"{MOST_MORE_BYTES / 1e6:+.0f} MB",
                    "measured": f"{more / 1e6:+.0f} MB",
                    "reached": more <= MOST_MORE_BYTES,
                }
            )
    return rows


def table(sizes: Sequence[Mapping[str, Any]]) -> str:
    """Return the sizes as Markdown."""
    lines = [
        "| records | compression | writer, s per million | writer, peak MB | "
        "streaming reader, s per million | reader, peak MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for size in sizes:
        millions = size["records"] / 1e6
        lines.append(
            f"| {size['records']:,} | {size['compression'] or 'none'} | "
            f"{size['write_seconds'] / millions:.2f} | {size['write_bytes'] / 1e6:.0f} | "
            f"{size['read_seconds'] / millions:.2f} | {size['read_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def _run(program: str, folder: str, count: int, compression: str) -> list[float]:
    shard_records = SHARD_RECORDS[compression]
    done = subprocess.run(
        [sys.executable, "-c", program, folder, str(count), compression, str(shard_records)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found
