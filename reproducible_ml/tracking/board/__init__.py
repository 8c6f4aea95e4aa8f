"""The board: Sacredboard 0.4.2 made to work with today's packages, and with ``runs/``.

Sacredboard's pages, filters and plots are used as they are installed. What is broken in it is
replaced from outside: ``data`` subclasses its data access, ``routes`` its HTTP interface, and the
files under ``static`` and ``templates`` take precedence over the ones of the same name in the
package. ``main`` is the command.
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
