"""What an earlier sweep says of the members that it left: the database that they went to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.mongo import MONGO_FROM, MONGO_VARIABLE
from reproducible_ml.tracking.sweep.member import COMPLETED, RECORDED, Request
from reproducible_ml.tracking.sweep.values import Parameters
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.redaction import without_secrets


def need_database(request: Request, members: Sequence[Parameters]) -> None:
    """Refuse to resume a sweep into the folder alone if it went to a database as well.

    ``sweep.json`` holds no password, so the address has to be given again.

    Args:
        request: The sweep's request.
        members: Parameters of its members.

    Raises:
        ConfigError: An unfinished sweep of the same members names a database, and the request none.
    """
    if request.mongo is not None or not request.resumes:
        return
    asked = [without_secrets(one) for one in members]
    for path in sorted(Path(request.sweeps).glob("*/sweep.json"), reverse=True):
        earlier = _read(path)
        if (earlier.get("module"), earlier.get("named")) != (request.module, list(request.named)):
            continue
        left = [
            one
            for one in earlier.get("members") or []
            if one.get("status") not in (COMPLETED, RECORDED) and one.get("parameters") in asked
        ]
        if left and earlier.get("mongo"):
            raise ConfigError(
                f"{path.parent} left members of this sweep unfinished and delivered its runs to "
                f"{earlier['mongo']}, whose address it does not keep: name it again with "
                f"{MONGO_FROM} FILE, {MONGO_VARIABLE} or -m, or add --no-resume to start them "
                "anew and in the folder alone."
            )
        if left:
            return  # the newest one counts


def _read(path: Path) -> dict[str, Any]:
    """Return what a file says; nothing if it is damaged, since it is only a help."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
