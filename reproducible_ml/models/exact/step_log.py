"""The log of every step's losses, and rolling digests of the weights, beside the checkpoints.

Protocol. ``steps.log`` holds the step and its losses in a fixed number of bytes, little-endian (16
for the two losses of a GAN), so step ``s`` lies at (s - 1) times that offset. ``tensors.jsonl``
holds the CRC-32C of each variable, one line per digest. Both are written and synced before the
checkpoint of a step is made (``ExactSaverHook``). A resume at the checkpoint of step ``c`` cuts
both files after ``c``; what a killed process had written beyond it is written again, with the same
bits. So at any moment the files hold at least what the newest checkpoint has seen, and no
step twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import replacing, write_json

STEPS_FILE = "steps.log"
TENSORS_FILE = "tensors.jsonl"
# Names the losses of ``steps.log`` where they are not those of version 1.0, which wrote no names.
LOSSES_FILE = "losses.json"
LOSSES_OF_1_0 = ("generator_loss", "critic_loss")


def step_dtype(losses: Sequence[str] = LOSSES_OF_1_0) -> np.dtype[Any]:
    """Return the form of a logged step: its number, and each loss as a float32."""
    return np.dtype([("step", "<i8"), *((name, "<f4") for name in losses)])


def read_losses(model_dir: str | Path) -> tuple[str, ...]:
    """Return the names of the losses that ``steps.log`` holds."""
    path = Path(model_dir) / LOSSES_FILE
    if not path.exists():
        return LOSSES_OF_1_0
    return tuple(json.loads(path.read_text(encoding="utf-8")))


def read_steps(model_dir: str | Path) -> np.ndarray[Any, Any]:
    """Read all logged steps.

    Returns:
        Structured array with the fields step (int64) and each loss (float32).
    """
    path = Path(model_dir) / STEPS_FILE
    dtype = step_dtype(read_losses(model_dir))
    if not path.exists():
        return np.empty(0, dtype)
    return np.fromfile(path, dtype=dtype, count=path.stat().st_size // dtype.itemsize)


def read_tensor_digests(model_dir: str | Path) -> dict[int, dict[str, str]]:
    """Read the rolling digests.

    Returns:
        Step -> variable name -> CRC-32C as 8 hexadecimal digits.
    """
    path = Path(model_dir) / TENSORS_FILE
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").split("\n")
    # A killed writer may leave half a line at the end, which has no newline behind it.
    return {entry["step"]: entry["tensors"] for entry in map(json.loads, lines[:-1])}


def losses_digest(steps: np.ndarray[Any, Any], last_step: int | None = None) -> str:
    """Digest the losses up to a step.

    Args:
        steps: As ``read_steps`` returns them.
        last_step: The last step to include; None includes all.

    Returns:
        SHA-256 of the steps' bytes, as 64 hexadecimal digits.
    """
    part = steps if last_step is None else steps[:last_step]
    return hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest()


class StepLog:
    """Appends steps and tensor digests, starting after a given step.

    Args:
        model_dir: Folder of the checkpoints.
        restored_step: Step of the checkpoint that training resumes from; 0 for a fresh start.
        losses: Names of the losses of a step, in the order of the log.

    Attributes:
        folder: That folder.

    Raises:
        DataError: The log lacks steps that the checkpoint has seen, or holds other losses.
    """

    def __init__(
        self, model_dir: str | Path, restored_step: int, losses: Sequence[str] = LOSSES_OF_1_0
    ) -> None:
        folder = self.folder = Path(model_dir)
        self._losses, self._dtype = tuple(losses), step_dtype(losses)
        logged = read_losses(folder)
        if restored_step and logged != self._losses:
            raise DataError(
                f"{folder / STEPS_FILE} holds the losses {', '.join(logged)}; this training has "
                f"{', '.join(self._losses)}. Start in another model_dir."
            )
        if self._losses != LOSSES_OF_1_0:
            write_json(folder / LOSSES_FILE, self._losses)
        self.steps = read_steps(folder)[:restored_step]
        complete = len(self.steps) == restored_step
        if not complete or not np.array_equal(self.steps["step"], np.arange(1, restored_step + 1)):
            raise DataError(
                f"{folder / STEPS_FILE} holds {len(self.steps)} whole steps, its checkpoint "
                f"{restored_step}: the folder was altered, so the run can't resume exactly. "
                "Restore the file or start in another model_dir."
            )
        digests = read_tensor_digests(folder)
        kept = [self._line(step, digests[step]) for step in digests if step <= restored_step]
        with replacing(folder / TENSORS_FILE, synced=True) as file:
            file.write("".join(kept).encode())
        with open(folder / STEPS_FILE, "ab") as log:
            log.truncate(restored_step * self._dtype.itemsize)
        # Unbuffered: what a killed process had logged is then in the file, step by step.
        self._steps_file = open(folder / STEPS_FILE, "ab", buffering=0)  # noqa: SIM115
        self._tensors_file = open(folder / TENSORS_FILE, "ab", buffering=0)  # noqa: SIM115

    @staticmethod
    def _line(step: int, tensors: dict[str, str]) -> str:
        return json.dumps({"step": step, "tensors": tensors}) + "\n"

    def append(self, step: int, losses: Mapping[str, float]) -> None:
        """Add a step."""
        entry = (step, *(losses[name] for name in self._losses))
        self._steps_file.write(np.array([entry], self._dtype).tobytes())

    def append_tensors(self, step: int, tensors: dict[str, str]) -> None:
        """Add the digests of all variables after a step."""
        self._tensors_file.write(self._line(step, tensors).encode())

    def sync(self) -> None:
        """Flush everything to the disk."""
        for file in (self._steps_file, self._tensors_file):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Sync and close the files."""
        if not self._steps_file.closed:
            self.sync()
            self._steps_file.close()
            self._tensors_file.close()
