"""``reproducible-ml board``: start Sacredboard, under a name that no other package uses."""

from __future__ import annotations

from reproducible_ml.tracking.board import command

__all__ = ["command"]
