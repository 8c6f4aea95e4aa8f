"""The run whose main function is being executed, for code that it calls without naming the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Runs within runs: a stage may be executed within another's main function.
_running: list[tuple[Any, bool]] = []


def enter(run: Any, autolog: bool) -> None:
    """Note that a run's main function begins.

    Args:
        run: The running Sacred run.
        autolog: Whether trainings of Estimators within it are recorded.
    """
    _running.append((run, autolog))


def leave(run: Any) -> None:
    """Note that a run has ended."""
    _running[:] = [one for one in _running if one[0] is not run]


@contextmanager
def recorded_elsewhere() -> Iterator[None]:
    """Mark trainings of Estimators inside as recorded by the caller, so that nobody else does."""
    # Of the process, since TensorFlow may train in a thread of its own.
    _running.append((None, False))
    try:
        yield
    finally:
        _running.pop()


def autologged_run() -> Any | None:
    """Return the run that records the trainings of Estimators at this moment; None without one."""
    if not _running:
        return None
    run, autolog = _running[-1]
    return run if autolog else None


def root_seed(seed: int | None = None) -> int:
    """Return a seed that was given, or else that of the run that records trainings at this moment.

    Outside of a run it is 0. Without this, runs of several seeds would be the same run.

    Args:
        seed: The seed; None if none was given.
    """
    if seed is not None:
        return seed
    # A training within the run is marked as recorded by the caller; the run is still its run.
    recorded = (run for run, autolog in reversed(_running) if run is not None and autolog)
    run = next(recorded, None)
    return 0 if run is None else int(run.config["seed"])
