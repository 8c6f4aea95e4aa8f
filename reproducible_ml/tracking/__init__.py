"""Sacred wiring: experiments, where their runs go, and reading them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproducible_ml.tracking.tracked_experiment import TrackedExperiment, experiment

__all__ = ["TrackedExperiment", "experiment"]


def __getattr__(name: str) -> Any:
    # Sacred takes 0.4 s to import, which commands that only read runs need not wait for.
    if name in __all__:
        from reproducible_ml.tracking import tracked_experiment

        return getattr(tracked_experiment, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
