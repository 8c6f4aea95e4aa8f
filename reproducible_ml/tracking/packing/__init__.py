"""Values of configurations that JSON does not hold, packed and unpacked without running code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.packing.packed_values import (
        DEEPEST,
        depth_of,
        packed,
        unpacked,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["DEEPEST", "depth_of", "packed", "unpacked"]
