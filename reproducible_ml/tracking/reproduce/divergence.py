"""The first difference between two trainings: its step, and what differs there.

Each training logs the losses of every step and, at regular steps, a digest of each variable
(``models.exact.step_log``). Bits that differ once keep differing, so the first differing entry of
each log is found by binary search.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reproducible_ml.models.exact import (
    LOSSES_FILE,
    STEPS_FILE,
    TENSORS_FILE,
    step_dtype,
)
from reproducible_ml.tracking.runs import Run

TensorDigests = Mapping[int, Mapping[str, str]]


@dataclass(frozen=True)
class Divergence:
    """The first difference between two trainings.

    Attributes:
        step: The first step after which something is known to differ.
        equal_until: The last step before it after which everything compared was equal.
        losses: Loss name -> its two values at ``step``, for losses that differ there; None for a
            training without such a loss.
        tensors: Variable name -> its two digests, for variables that differ at the first compared
            digests that differ.
        tensors_step: The step of these digests, or None when no digests differ.
    """

    step: int
    equal_until: int
    losses: dict[str, tuple[float | None, float | None]]
    tensors: dict[str, tuple[str, str]]
    tensors_step: int | None

    def describe(self) -> str:
        """Return the difference as a clause: where, then what."""
        if self.equal_until == self.step - 1:
            where = f"at step {self.step}"
        else:
            where = f"between step {self.equal_until} (equal) and step {self.step}"
        parts = [f"{name} {a!r} / {b!r}" for name, (a, b) in self.losses.items()]
        if self.tensors:
            first = next(iter(self.tensors))
            a, b = self.tensors[first]
            more = f" and {len(self.tensors) - 1} more" if len(self.tensors) > 1 else ""
            parts.append(f"variable {first} (digest {a} / {b}){more} at step {self.tensors_step}")
        return f"{where}: {'; '.join(parts)}"


def step_logs(run: Run) -> tuple[np.ndarray[Any, Any], TensorDigests] | None:
    """Return the logged steps and weight digests of a training; None for any other stage."""
    if STEPS_FILE not in run.artifacts:
        return None
    content = run.artifacts[STEPS_FILE]
    names = run.artifacts.get(LOSSES_FILE)
    dtype = step_dtype() if names is None else step_dtype(json.loads(names))
    steps = np.frombuffer(content, dtype, count=len(content) // dtype.itemsize)
    lines = run.artifacts.get(TENSORS_FILE, b"").decode().splitlines()
    return steps, {one["step"]: one["tensors"] for one in map(json.loads, lines)}


def divergence_of(a: Run, b: Run) -> Divergence | None:
    """Find the first difference between two trainings; None without one, or without both logs."""
    left, right = step_logs(a), step_logs(b)
    if left is None or right is None:
        return None
    return first_divergence(left[0], right[0], left[1], right[1])


def first_divergence(
    steps_a: np.ndarray[Any, Any],
    steps_b: np.ndarray[Any, Any],
    tensors_a: TensorDigests,
    tensors_b: TensorDigests,
) -> Divergence | None:
    """Find the first difference within the steps that both trainings have completed.

    Args:
        steps_a: Logged steps of the first, as ``read_steps`` returns them.
        steps_b: Logged steps of the second.
        tensors_a: Weight digests of the first, as ``read_tensor_digests`` returns them.
        tensors_b: Weight digests of the second.

    Returns:
        The first difference, or None if everything that both have is equal.
    """
    common = min(len(steps_a), len(steps_b))
    loss_step = _first(
        common, lambda index: not same_steps(steps_a[: index + 1], steps_b[: index + 1])
    )
    digest_steps = [step for step in sorted(set(tensors_a) & set(tensors_b)) if step <= common]
    digest_index = _first(
        len(digest_steps),
        lambda index: tensors_a[digest_steps[index]] != tensors_b[digest_steps[index]],
    )
    if loss_step is None and digest_index is None:
        return None
    tensors_step = None if digest_index is None else digest_steps[digest_index]
    tensors = (
        {} if tensors_step is None else _pairs(tensors_a[tensors_step], tensors_b[tensors_step])
    )
    if loss_step is not None and (tensors_step is None or loss_step + 1 <= tensors_step):
        # The loss of a step is computed before that step's update, so the weights may have differed
        # one step earlier, unless their digests at that step are equal.
        step = loss_step + 1
        losses = _pairs(_losses_at(steps_a, loss_step), _losses_at(steps_b, loss_step))
        return Divergence(step, step - 1, losses, tensors, tensors_step)
    assert tensors_step is not None
    assert digest_index is not None
    equal_until = digest_steps[digest_index - 1] if digest_index else 0
    return Divergence(tensors_step, equal_until, {}, tensors, tensors_step)


def _first(count: int, differs: Callable[[int], bool]) -> int | None:
    """Find the first differing index by binary search; from there on everything differs."""
    if count == 0 or not differs(count - 1):
        return None
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if differs(middle):
            high = middle
        else:
            low = middle + 1
    return low


def same_steps(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Tell whether two logs hold the same losses, by name and by their bits."""
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _losses_at(steps: np.ndarray[Any, Any], index: int) -> dict[str, float]:
    return {name: float(steps[index][name]) for name in steps.dtype.names or () if name != "step"}


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = sorted(set(a) | set(b))
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}
