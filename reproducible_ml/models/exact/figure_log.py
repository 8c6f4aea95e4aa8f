"""A log of the figures computed while a model trains, one JSON line each.

Like the step log, it is cut after the checkpoint that a training resumes from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from reproducible_ml.utils.files import replacing

FIGURES_FILE = "figures.jsonl"


class Point(NamedTuple):
    """One figure at one step."""

    name: str
    value: float
    step: int


def read_figures(model_dir: str | Path) -> list[Point]:
    """Read all logged figures, in the order of their computation."""
    path = Path(model_dir) / FIGURES_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    # A killed writer may leave half a line at the end, which has no newline behind it.
    return [Point(*json.loads(line)) for line in lines[:-1]]


class FigureLog:
    """Appends figures, starting after a given step.

    Args:
        model_dir: Folder of the checkpoints.
        restored_step: Step of the checkpoint that training resumes from; 0 for a fresh start.

    Attributes:
        points: The figures up to that step.
    """

    def __init__(self, model_dir: str | Path, restored_step: int) -> None:
        self.points = [one for one in read_figures(model_dir) if one.step <= restored_step]
        text = "".join(f"{json.dumps(point)}\n" for point in self.points)
        path = Path(model_dir) / FIGURES_FILE
        # Replaced, not cut: a kill in between loses no figure that was kept.
        with replacing(path, synced=True) as file:
            file.write(text.encode())
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def write(self, name: str, value: float, step: int) -> None:
        """Add a figure."""
        self._file.write(f"{json.dumps(Point(name, value, step))}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
