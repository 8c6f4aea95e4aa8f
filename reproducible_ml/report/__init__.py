"""A self-contained HTML report about recorded runs.

``page.py`` fills the template with plain values from the other modules; ``templates/`` determines
how they look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.report.page import make_report
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "make_report",
]
