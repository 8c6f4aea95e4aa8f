"""The one place where what a store holds becomes a run's document with typed values.

A record may be damaged, written by another program, or forged. Every reader of runs gets documents
from here: what has another type than the readers expect makes the run UNREADABLE, with the reason,
and leaves all other runs as they are. ``info`` belongs to the experiment, which may use any key for
itself: ``facts`` returns those of its entries that have this library's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from reproducible_ml.tracking.packing import DEEPEST, depth_of
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.text import cut, neutral

TIMES = ("start_time", "heartbeat", "stop_time")
_LONGEST_VALUE = 60
_TYPE_NAMES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "nothing",
}

# A shape is a type, a tuple of shapes of which one fits, or one of the classes below. None fits
# every shape but a needed one: a reader takes it for a missing entry.
Shape = Any
ANYTHING = object


@dataclass(frozen=True)
class ListOf:
    """A list whose items have this shape."""

    item: Shape


@dataclass(frozen=True)
class MapOf:
    """An object whose values have this shape, whatever their keys."""

    item: Shape


@dataclass(frozen=True)
class Row:
    """A list of at least so many items, one shape for each."""

    items: tuple[Shape, ...]


@dataclass(frozen=True)
class Record:
    """An object with these entries, if they are there; others may be anything."""

    entries: Mapping[str, Shape]
    needed: tuple[str, ...] = ()


class Mismatch(ValueError):
    """A value of another shape; the message names its place, the expected type and the value."""


def typed(value: Any, shape: Shape, place: str) -> Any:
    """Return a value whose parts have the given shape; entries that are None are left out.

    Raises:
        Mismatch: It has another shape.
    """
    if shape is ANYTHING:
        return value
    if isinstance(shape, tuple):
        return _one_of(value, shape, place)
    if isinstance(shape, ListOf):
        items = _expected(value, list, place)
        # Hundreds of names take microseconds like this.
        if shape.item is ANYTHING or list(map(type, items)) == [shape.item] * len(items):
            return list(items)
        return [typed(item, shape.item, f"{place}[{i}]") for i, item in enumerate(items)]
    if isinstance(shape, MapOf):
        items = _expected(value, dict, place)
        return {
            key: typed(item, shape.item, f"{place}.{key}")
            for key, item in items.items()
            if item is not None or shape.item is ANYTHING
        }
    if isinstance(shape, Row):
        items = _expected(value, list, place)
        if len(items) < len(shape.items):
            raise Mismatch(f"{place} has {len(items)} items, expected {len(shape.items)}")
        return [
            item if one is ANYTHING or type(item) is one else typed(item, one, f"{place}[{i}]")
            for i, (item, one) in enumerate(zip(items, shape.items))
        ]
    if isinstance(shape, Record):
        return _record(value, shape, place)
    return _expected(value, shape, place)


def _one_of(value: Any, shapes: tuple[Shape, ...], place: str) -> Any:
    reason = None
    for one in shapes:
        try:
            return typed(value, one, place)
        except Mismatch as error:
            reason = reason or error
    raise reason or Mismatch(f"{place} has no shape")


def _record(value: Any, shape: Record, place: str) -> dict[str, Any]:
    found = dict(_expected(value, dict, place))
    for key, inner in shape.entries.items():
        if found.get(key) is None:
            found.pop(key, None)
        else:
            found[key] = typed(found[key], inner, f"{place}.{key}" if place else key)
    for key in shape.needed:
        if key not in found:
            raise Mismatch(f"{place}.{key} is missing")
    return found


def _expected(value: Any, kind: type, place: str) -> Any:
    if kind is list and isinstance(value, tuple):
        return list(value)
    fits = isinstance(value, (int, float) if kind is float else kind)
    if fits and (kind is bool or not isinstance(value, bool)):
        return value
    found = neutral(
        cut(repr(value) if depth_of(value, 3) <= 3 else "a nested value", _LONGEST_VALUE)
    )
    raise Mismatch(f"{place} must be {_TYPE_NAMES[kind]}, found {found}")


def read_time(value: Any) -> datetime | None:
    """Return a time from MongoDB or in ISO form, as UTC without a zone; None if it is neither."""
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return None
    # With tz_aware in its address a database returns times with a zone, which don't compare with
    # ours.
    try:
        return value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value
    except OverflowError:  # in another zone, the first or the last day of the calendar
        return None


_DOCUMENT = Record(
    {
        "experiment": Record(
            {
                "name": str,
                "base_dir": str,
                "module": str,
                "mainfile": str,
                "library_dir": str,
                "sources": ListOf(Row((str, ANYTHING))),
                "dependencies": ListOf(ANYTHING),
                "repositories": ListOf(Record({"commit": str, "url": str})),
                "changed_sources": ListOf(str),
            }
        ),
        "command": str,
        "host": Record({"hostname": str, "os": ListOf(ANYTHING)}),
        "meta": Record(
            {
                "command": str,
                "comment": ANYTHING,
                "options": Record({"UPDATE": ListOf(ANYTHING)}),
                "named_configs": ListOf(ANYTHING),
                "config_updates": dict,
                "filled_in": MapOf(str),
            }
        ),
        "config": dict,
        "info": dict,
        "status": str,
        "fail_trace": (ListOf(str), str),
        "resources": ListOf(Row((str, ANYTHING))),
        "delivery": dict,
    }
)
# What ``info`` holds in a record of this library; docs/tracking-records.md describes it.
_DATASET = Record(
    {
        "record_dir": str,
        "fingerprint": str,
        "records": MapOf(int),
        "source": Record({"name": str, "arguments": dict}),
    },
    needed=("record_dir", "fingerprint"),
)
_CHECKPOINT = Record(
    {"path": str, "step": int, "files": MapOf(Record({"bytes": int}, needed=("bytes",)))},
    needed=("path", "step", "files"),
)
_VERDICT = Record(
    {"reproduced_from": Record({}), "across": ListOf(ANYTHING), "time": str, "verdict": str}
)
_PAIRS = (ListOf(Row((str, ANYTHING))), dict)
_STAGE = Record(
    {
        "cwd": str,
        "inputs": ListOf(str),
        "outputs": ListOf(str),
        "found_inputs": ListOf(Row((str, str))),
        "found_outputs": ListOf(Row((str, str))),
        "again": dict,
        "scheduled": ListOf(str),
    },
    needed=("cwd",),
)
_GIT = Record({"changed": ListOf(str)})
_FACTS: dict[str, Shape] = {
    "environment": Record(
        {
            "python": dict,
            "os": dict,
            "cpu": Record({"flags": ListOf(str)}),
            "threads": dict,
            "tensorflow": dict,
            "variables": dict,
            "packages": dict,
            "git": _GIT,
            "library_git": _GIT,
        }
    ),
    "dataset": MapOf(_DATASET),
    "upstream": ListOf(Record({"run_id": (int, str), "stage": str})),
    "digest": dict,
    "verdicts": ListOf((str, _VERDICT)),
    "checkpoint": _CHECKPOINT,
    "settings": dict,
    "stage": _STAGE,
    "determinism": dict,
    "model_dir": str,
    "resume_with": dict,
    "inputs": _PAIRS,
    "arrays": ListOf(Record({"name": str}, needed=("name",))),
    "artifacts": ListOf(Row((str, ANYTHING, ANYTHING))),
    "ignored": ListOf(str),
    "unrecorded": ListOf(str),
    "import_roots": ListOf(str),
    "seal": Record({"metrics": dict, "facts": dict}),
    "tensorflow": Record({"logdirs": ListOf(str)}),
}
_ALWAYS = ("experiment", "config", "info")


def document(entry: Any, what: str) -> dict[str, Any]:
    """Return a run's document with typed values.

    Args:
        entry: What the store holds; times are datetimes or strings.
        what: Its place for the message, such as "runs/5/run.json".

    Raises:
        TrackingError: It holds something else than readers of runs can use.
    """
    try:
        if depth_of(entry) > DEEPEST:
            raise Mismatch(f"it is nested deeper than {DEEPEST} levels")
        found: dict[str, Any] = _record(entry, _DOCUMENT, "")
        for name in _ALWAYS:
            found.setdefault(name, {})
        if isinstance(found.get("fail_trace"), str):
            found["fail_trace"] = [found["fail_trace"]]
        for name in TIMES:
            found[name] = _time(found.get(name), name)
    except Mismatch as error:
        raise TrackingError(
            f"{what} does not describe a run as Sacred does: {error}. Restore it from a copy, or "
            "remove the run."
        ) from None
    return found


def _time(value: Any, name: str) -> datetime | None:
    if value is None:
        return None
    found = read_time(value)
    if found is None:
        raise Mismatch(f"{name} must be a time, found {neutral(cut(repr(value), _LONGEST_VALUE))}")
    return found


def facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of ``info`` that have the form in which this library records them.

    Args:
        entry: A run's document.
    """
    return _split(entry)[0]


def strange_facts(entry: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with entries of ``info`` that have another form, in words."""
    return _split(entry)[1]


def _split(entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    strange = []
    for name, value in (entry.get("info") or {}).items():
        if name in _FACTS and value is not None:
            try:
                found[name] = typed(value, _FACTS[name], name)
            except Mismatch as error:
                strange.append(str(error))
    return found, strange


def metrics(values: Any, what: str) -> dict[str, dict[str, list[Any]]]:
    """Return a run's metrics with typed columns of equal length.

    Args:
        values: What the store holds: name -> steps, values and timestamps.
        what: Its place for the message.

    Raises:
        TrackingError: It holds something else.
    """
    try:
        return {
            str(name): _columns(one, str(name))
            for name, one in _expected(values, dict, "it").items()
        }
    except Mismatch as error:
        raise TrackingError(
            f"{what} does not hold metrics as Sacred does: {error}. Restore it from a copy, or "
            "remove it."
        ) from None


def _columns(one: Any, name: str) -> dict[str, list[Any]]:
    columns = _expected(one, dict, name)
    steps = _numbers(columns.get("steps"), (int, float), f"{name}.steps")
    values = _numbers(columns.get("values"), (int, float, bool, str, type(None)), f"{name}.values")
    times = _expected(columns.get("timestamps"), list, f"{name}.timestamps")
    if not len(steps) == len(values) == len(times):
        raise Mismatch(
            f"{name} has {len(steps)} steps, {len(values)} values and {len(times)} timestamps"
        )
    return {"steps": steps, "values": values, "timestamps": _times(times, name)}


def _numbers(items: Any, kinds: tuple[type, ...], place: str) -> list[Any]:
    items = _expected(items, list, place)
    if set(map(type, items)) <= set(kinds):  # a million points take milliseconds
        return list(items)
    found = []
    for index, item in enumerate(items):
        # Sacred's own observers store NumPy's numbers like this.
        packed = isinstance(item, dict) and str(item.get("py/object", "")).startswith("numpy.")
        value = item.get("value") if packed else item
        if type(value) not in kinds and not isinstance(value, kinds):
            raise Mismatch(f"{place}[{index}] is {neutral(cut(repr(value), _LONGEST_VALUE))}")
        found.append(value)
    return found


def _times(items: list[Any], name: str) -> list[datetime]:
    found = []
    for index, item in enumerate(items):
        time = read_time(item)
        if time is None:
            shown = neutral(cut(repr(item), _LONGEST_VALUE))
            raise Mismatch(f"{name}.timestamps[{index}] must be a time, found {shown}")
        found.append(time)
    return found
