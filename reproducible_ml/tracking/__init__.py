"""Tracking with Sacred: recording experiments, and reading their runs back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.recording import TrackedExperiment, experiment, finish
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "TrackedExperiment",
    "experiment",
    "finish",
]
