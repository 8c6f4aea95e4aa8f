"""Verification of a data set, compared with only reading its bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.data_write import ours
from benchmarks.measure import Contender, Part, Target, take_turns

CHECK, CAT, UNPACK = "verify", "cat", "gzip -dc"
PLAIN, LABELS, GZIP = "verify MNIST, none", "verify MNIST, labels to 999", "verify MNIST, GZIP"
TARGETS = [
    Target("verify", PLAIN, CHECK, CAT, 0.5, "percent"),
    Target("verify, records of two lengths", LABELS, CHECK, CAT, 0.5, "percent"),
    Target("verify, GZIP", GZIP, CHECK, UNPACK, None, "percent"),
]


def measure(work: Path, mnist: dict[str, Any], rounds: int) -> Iterator[Part]:
    """Measure all parts of verification.

    Args:
        work: An empty folder.
        mnist: ``image`` uint8 [n, 28, 28] and ``label`` int64 [n], below 128.
        rounds: How often each contender runs.
    """
    import numpy as np

    count = len(mnist["label"])
    # From 128 on a label takes two bytes, so that records differ in length and layout.
    many = {**mnist, "label": np.arange(count) % 1000}
    for title, rows, compression in ((PLAIN, mnist, ""), (LABELS, many, ""), (GZIP, mnist, "GZIP")):
        folder = work / title.replace(" ", "-")
        ours(folder, rows, rows, compression)
        files = sorted(str(path) for path in folder.glob("*.tfrecord"))
        turns = {CAT: Contender(lambda files=files: _read("cat", files))}  # type: ignore[misc]
        if compression:
            turns[UNPACK] = Contender(
                lambda files=files: _read("gzip", ["-dc", "--suffix=.tfrecord", *files])  # type: ignore[misc]
            )
        turns[CHECK] = Contender(lambda folder=folder: _verify(folder))  # type: ignore[misc]
        yield take_turns(Part(title, CAT, count, 784), turns, rounds)


def _read(program: str, arguments: list[str]) -> None:
    subprocess.run([program, *arguments], stdout=subprocess.DEVNULL, check=True)


def _verify(folder: Path) -> None:
    from reproducible_ml.datasets.serialize.checking import verify

    defects = verify(folder)
    if defects:
        raise RuntimeError(f"the benchmark's own data set is damaged: {defects[0]}")
