"""Publishing of a written folder: it appears as a whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.publishing.staging import staged
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "staged",
]
