"""Verification of data sets, and repair of damaged shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.checking.reading_range import odd_values, readable
    from reproducible_ml.datasets.serialize.checking.repairing import _replace, repair
    from reproducible_ml.datasets.serialize.checking.verification import Defect, verify
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Defect",
    "_replace",
    "odd_values",
    "readable",
    "repair",
    "verify",
]
