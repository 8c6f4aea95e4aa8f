"""One HTML file about recorded runs: nothing in it is loaded from elsewhere.

``page.py`` gathers what the other modules say about the runs and fills the template. They return
plain values; how these look is the business of ``templates/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.report.page import make_report
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "make_report",
]
