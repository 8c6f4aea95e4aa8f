"""Encoding of rows as records, in blocks or one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.encoding.encoder import Encoder
    from reproducible_ml.datasets.serialize.encoding.examples import check_features, expected_size
    from reproducible_ml.datasets.serialize.encoding.watch import (
        Spans,
        joined,
        numbers_of,
        with_ranges,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Encoder",
    "Spans",
    "check_features",
    "expected_size",
    "joined",
    "numbers_of",
    "with_ranges",
]
