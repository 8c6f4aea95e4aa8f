"""``reproducible-ml board``: Sacredboard under a name that no other package can take."""

from __future__ import annotations

from reproducible_ml.tracking.board import command

__all__ = ["command"]
