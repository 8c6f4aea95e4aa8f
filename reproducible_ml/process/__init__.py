"""A process: who it is, the code it has loaded, the folders it alone writes, and how it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.process.forked_info import ForkedInfo
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
    from reproducible_ml.process.own_code import LIBRARY, LoadedCode, is_readable, loaded_code
    from reproducible_ml.process.owner import Owner, this_process
    from reproducible_ml.process.stopping import (
        GRACE_SECONDS,
        STOPPED_EXIT,
        Stopped,
        asked_to_stop,
        between_steps,
        grace_seconds,
        listen_again,
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
    "LIBRARY",
    "RENEWAL_SECONDS",
    "STOPPED_EXIT",
    "ForkedInfo",
    "Held",
    "Lease",
    "LoadedCode",
    "Owner",
    "Stopped",
    "asked_to_stop",
    "beside",
    "between_steps",
    "grace_seconds",
    "held_by",
    "hold",
    "hold_until_end",
    "is_readable",
    "lease_of",
    "listen_again",
    "listening",
    "loaded_code",
    "main_has_returned",
    "release_of",
    "stop_if_asked",
    "stop_signals",
    "this_process",
    "undisturbed",
    "within",
    "writing_run",
]
