"""Reruns of recorded runs, compared bit for bit, and comparison of any two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.reproduce.comparison import (
        SECTIONS,
        Comparison,
        Difference,
        changed_lines,
        compare_runs,
        equal,
    )
    from reproducible_ml.tracking.reproduce.conclusion import Conclusion, conclude
    from reproducible_ml.tracking.reproduce.recorded import Recorded
    from reproducible_ml.tracking.reproduce.recorded_environment import make_wheels
    from reproducible_ml.tracking.reproduce.reproduction import Reproduction, reproduce
    from reproducible_ml.tracking.reproduce.request import NotComparable, Request
    from reproducible_ml.tracking.reproduce.verdict import IDENTICAL
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "IDENTICAL",
    "SECTIONS",
    "Comparison",
    "Conclusion",
    "Difference",
    "NotComparable",
    "Recorded",
    "Reproduction",
    "Request",
    "changed_lines",
    "compare_runs",
    "conclude",
    "equal",
    "make_wheels",
    "reproduce",
]
