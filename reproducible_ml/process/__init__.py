"""A process among others: who it is, which folders it alone may write, and how it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.process.lease import (
        EXPIRY_SECONDS,
        RENEWAL_SECONDS,
        Held,
        Lease,
        beside,
        held_by,
        hold,
        hold_until_end,
        lease_of,
        release_of,
        within,
        writing_run,
    )
    from reproducible_ml.process.owner import Owner, this_process
    from reproducible_ml.process.stopping import (
        GRACE_SECONDS,
        STOPPED_EXIT,
        Stopped,
        asked_to_stop,
        between_steps,
        grace_seconds,
        listening,
        main_has_returned,
        stop_if_asked,
        stop_signals,
        undisturbed,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "EXPIRY_SECONDS",
    "GRACE_SECONDS",
    "RENEWAL_SECONDS",
    "STOPPED_EXIT",
    "Held",
    "Lease",
    "Owner",
    "Stopped",
    "asked_to_stop",
    "beside",
    "between_steps",
    "grace_seconds",
    "held_by",
    "hold",
    "hold_until_end",
    "lease_of",
    "listening",
    "main_has_returned",
    "release_of",
    "stop_if_asked",
    "stop_signals",
    "this_process",
    "undisturbed",
    "within",
    "writing_run",
]
