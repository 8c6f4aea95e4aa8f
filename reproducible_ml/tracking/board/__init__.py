"""The board: Sacredboard 0.4.2 made to work with today's packages, and with ``runs/``.

Sacredboard's pages, filters and plots are used as they are installed. Its data access is not: runs
are read by ``tracking.runs``, as everywhere. ``routes`` replaces its HTTP interface, and the files
under ``static`` and ``templates`` take precedence over the ones of the same name in the package.
``main`` is the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.board.main import command
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "command",
]
