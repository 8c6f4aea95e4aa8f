"""Readers of a split: from memory, from memory-mapped shards, or front to back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.input_fn.readers.readers import choose_reader, open_reader
    from reproducible_ml.input_fn.readers.stream import stream_batches
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "choose_reader",
    "open_reader",
    "stream_batches",
]
