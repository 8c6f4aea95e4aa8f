"""The board: Sacredboard 0.4.2 adapted to today's packages and to ``runs/``.

Sacredboard's pages, filters and plots are used as installed, but not its data access: runs are read
through ``tracking.runs``, as everywhere else. ``routes`` replaces its HTTP interface, and files
under ``static`` and ``templates`` replace those of the same name in the package. ``main`` is the
command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.board.main import command
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "command",
]
