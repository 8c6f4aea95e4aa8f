"""Columns that hold all points of a run in memory, 24 bytes each, and write ``metrics.json``."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any, Union

from reproducible_ml.tracking.folder.names import from_microseconds, iso
from reproducible_ml.utils.files import replacing

Values = Union["array[Any]", list[Any]]
WRITTEN_AT_ONCE = 10_000


class Column:
    """A growing list that packs its items as long as all have one type.

    Args:
        kind: the type that is packed: float (8 bytes), or int that fits 64 bits.
    """

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.items: Values = array("d" if kind is float else "q")

    def append(self, item: Any) -> None:
        """Add an item of any type; the first that doesn't fit turns the column into a list."""
        if isinstance(self.items, array):
            fits = type(item) is self._kind
            if not fits or (self._kind is int and not -(2**63) <= item < 2**63):
                self.items = list(self.items)
        self.items.append(item)


class MetricColumns:
    """Steps, values and timestamps by metric, in the order of logging."""

    def __init__(self) -> None:
        self._metrics: dict[str, tuple[Column, Column, Column]] = {}

    def extend(
        self, name: str, steps: list[Any], values: list[Any], microseconds: list[int]
    ) -> None:
        """Add points of one metric."""
        columns = self._metrics.get(name)
        if columns is None:
            columns = self._metrics[name] = (Column(int), Column(float), Column(int))
        for step, value, count in zip(steps, values, microseconds):
            columns[0].append(step)
            columns[1].append(value)
            columns[2].append(count)

    def snapshot(self) -> dict[str, tuple[Values, Values, Values]]:
        """Return a copy that no other thread changes: {name: (steps, values, microseconds)}."""
        return {
            name: (steps.items[:], values.items[:], times.items[:])
            for name, (steps, values, times) in self._metrics.items()
        }


def write_metrics(path: Path, snapshot: dict[str, tuple[Values, Values, Values]]) -> None:
    """Write ``metrics.json`` as FileStorageObserver does, one line for each column."""
    with replacing(path) as file:
        separator = b"{"
        for name in sorted(snapshot):
            steps, values, times = snapshot[name]
            file.write(separator + b"\n  " + json.dumps(name).encode("ascii") + b": {")
            _write_column(file, "steps", steps)
            file.write(b",")
            _write_column(file, "timestamps", times, stamps=True)
            file.write(b",")
            _write_column(file, "values", values)
            file.write(b"\n  }")
            separator = b","
        file.write(b"{}" if separator == b"{" else b"\n}")


def _write_column(file: Any, name: str, items: Values, stamps: bool = False) -> None:
    file.write(f'\n    "{name}": ['.encode("ascii"))
    for start in range(0, len(items), WRITTEN_AT_ONCE):
        part: list[Any] = list(items[start : start + WRITTEN_AT_ONCE])
        if stamps:
            part = [iso(from_microseconds(count)) for count in part]
        file.write((", " if start else "").encode("ascii"))
        file.write(json.dumps(part)[1:-1].encode("ascii"))
    file.write(b"]")
