"""A run in one file that travels: its record, its data, and what its environment is made of.

``contents`` gathers what belongs to a run, ``sealed_zip`` writes and checks the file, ``opening``
puts it out again for ``reproduce``, ``crate`` describes it as a Process Run Crate, and ``command``
is ``reproducible-ml pack``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.archive.command import command
    from reproducible_ml.tracking.archive.contents import Packed, pack_run
    from reproducible_ml.tracking.archive.opening import is_archive, opened
    from reproducible_ml.tracking.archive.sealed_zip import check_archive
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Packed",
    "check_archive",
    "command",
    "is_archive",
    "opened",
    "pack_run",
]
