"""Turn a stored run into what the page shows: plain JSON values, tails and thinned metrics."""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import datetime
from typing import Any

import numpy as np

from reproducible_ml.tracking.runs import RUNNING, comment_of, seconds_since
from reproducible_ml.utils.redaction import without_secrets

# Longest result shown in the list; the details show all of it.
RESULT_CHARACTERS = 80
# A browser draws this many points without a noticeable pause.
PLOT_POINTS = 20_000

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(value: Any) -> Any:
    """Convert a value to JSON types; anything that JSON can't hold becomes a string.

    NumPy values, which Sacred stores as ``{"py/object": "numpy.float64", "value": 1.0}``, become
    plain numbers or lists.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        if str(value.get("py/object", "")).startswith("numpy."):
            for key in ("value", "values"):
                if key in value:
                    return plain(value[key])
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return str(value)


def row(run: dict[str, Any]) -> dict[str, Any]:
    """Return one line of the list."""
    heartbeat = run.get("heartbeat")
    return {
        "id": str(run["_id"]),
        "experiment_name": _text(run.get("experiment"), "name"),
        # Sacredboard has no column for a comment.
        "command": " · ".join(filter(None, [str(run.get("command") or ""), comment_of(run)])),
        "status": run["status"],
        "is_alive": run["status"] == RUNNING,
        "start_time": plain(run.get("start_time")),
        "heartbeat": plain(heartbeat),
        "heartbeat_diff": seconds_since(heartbeat),
        "hostname": _text(run.get("host"), "hostname"),
        "result": short(without_secrets(run.get("result"))),
    }


def short(value: Any) -> str:
    """Return a value as one short line."""
    value = plain(value)
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= RESULT_CHARACTERS else text[: RESULT_CHARACTERS - 1] + "…"


def _text(holder: Any, key: str) -> str:
    return str(holder.get(key) or "") if isinstance(holder, dict) else ""


def printed(text: Any) -> str:
    """Return output as a terminal shows it at the end: the final form of each line, uncoloured."""
    *ended, last = str(text or "").split("\n")
    final = [*(_last_form(line.removesuffix("\r")) for line in ended), _last_form(last)]
    return _ESCAPES.sub("", "\n".join(final))


def _last_form(line: str) -> str:
    """Return what a carriage return has not moved back over."""
    return line.rpartition("\r")[2]


def metric_id(name: str) -> str:
    """Return an id of a metric for URLs; its name may contain slashes."""
    return base64.urlsafe_b64encode(name.encode("utf-8")).decode("ascii").rstrip("=")


def curve(steps: Any, timestamps: Any, values: Any) -> dict[str, list[Any]]:
    """Return a metric's points for plotting; non-finite values become gaps.

    More than ``PLOT_POINTS`` points are thinned: each stretch keeps its lowest point, its highest
    point and one gap, so that every spike and every gap stays visible.
    """
    count = min(len(steps), len(timestamps), len(values))
    numbers = np.array([_number(value) for value in values[:count]], dtype=np.float64)
    kept = range(count) if count <= PLOT_POINTS else _thinned(numbers)
    return {
        "steps": [plain(steps[i]) for i in kept],
        "strtimestamps": [plain(timestamps[i]) for i in kept],
        "values": [float(numbers[i]) if math.isfinite(numbers[i]) else None for i in kept],
    }


def _thinned(numbers: np.ndarray[Any, Any]) -> list[int]:
    """Return the positions to keep: at most three of each stretch, and the first and last one."""
    stretch = -(-3 * len(numbers) // PLOT_POINTS)
    kept = {0, len(numbers) - 1}
    for start in range(0, len(numbers), stretch):
        part = numbers[start : start + stretch]
        finite = np.flatnonzero(np.isfinite(part))
        if len(finite):
            kept.add(start + int(finite[part[finite].argmin()]))
            kept.add(start + int(finite[part[finite].argmax()]))
        if len(finite) < len(part):
            kept.add(start + int(np.flatnonzero(~np.isfinite(part))[0]))
    return sorted(kept)


def _number(value: Any) -> float:
    value = plain(value)
    try:
        return float(value) if not isinstance(value, str) else math.nan
    except (TypeError, OverflowError):
        return math.nan
