"""Differences between two recorded runs, by section, down to the first differing metric point.

Sections: config, sources, data, environment, metrics, result. Ids, times and seals, which differ
between any two runs, are left out.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.runs import Run, flat, read_number, used_config
from reproducible_ml.utils.text import SHORT_DIGEST, counted

SECTIONS = ("config", "sources", "data", "environment", "metrics", "result")
# Facts of the environment that say where and not what: paths, branch, git's list of changes.
_LEFT_OUT = (
    "python.executable",
    "git.root",
    "git.url",
    "git.branch",
    "git.changed",
    "git.diff",
    "library_git.root",
    "library_git.url",
    "library_git.branch",
    "library_git.changed",
    "library_git.diff",
    "cpu.usable_cores",
)
# These measure the machine's speed, not the result.
SPEED_METRICS = ("steps_per_second",)


@dataclass(frozen=True)
class Difference:
    """One difference between two runs.

    Attributes:
        section: One of ``SECTIONS``.
        name: Key, path or metric.
        a: The first run's value; None if it has none.
        b: The second run's value.
        step: For a metric: the first step at which the streams differ.
        detail: For a source file: the unified diff; for a metric: how many points before are equal.
        ended: For a metric: whether the streams are equal except that one ends earlier.
    """

    section: str
    name: str
    a: Any
    b: Any
    step: int | float | None = None
    detail: str = ""
    ended: bool = False


@dataclass(frozen=True)
class Comparison:
    """All differences between two runs.

    Attributes:
        a: The first run.
        b: The second run.
        differences: Sorted in the order of ``SECTIONS``, then by name (metrics by step).
    """

    a: Run
    b: Run
    differences: tuple[Difference, ...]

    def of(self, section: str) -> tuple[Difference, ...]:
        """Return the differences of one section."""
        return tuple(one for one in self.differences if one.section == section)

    @property
    def identical(self) -> bool:
        """Whether metrics and result are equal bit for bit, whatever else differs."""
        return not self.of("metrics") and not self.of("result")

    @property
    def first_metric(self) -> Difference | None:
        """The metric difference with the smallest step."""
        metrics = self.of("metrics")
        return metrics[0] if metrics else None


def compare_runs(a: Run, b: Run) -> Comparison:
    """Compare two recorded runs, which may be in different stores."""
    return Comparison(
        a,
        b,
        (
            *_values("config", used_config(a), used_config(b)),
            *_sources(a, b),
            *_values("data", _data(a), _data(b)),
            *_values("environment", *_environments(a, b)),
            *_metrics(a, b),
            *_values("result", _result(a), _result(b)),
        ),
    )


def _values(section: str, a: Any, b: Any) -> Iterator[Difference]:
    left, right = flat(a, ""), flat(b, "")
    for name in sorted(left.keys() | right.keys()):
        # None in one run and no entry in the other count as equal.
        one, other = left.get(name), right.get(name)
        if not equal(one, other):
            yield Difference(section, name, one, other)


def equal(a: Any, b: Any) -> bool:
    """Tell whether two recorded values are the same: floats by their bits, NaN equals NaN.

    An integer equals the float of the same value, because stores differ in which of them they give
    back.
    """
    if isinstance(a, float) or isinstance(b, float):
        if isinstance(a, bool) or isinstance(b, bool):
            return False
        try:
            same = struct.pack("<d", a) == struct.pack("<d", b)
        except (struct.error, TypeError, OverflowError):
            return False
        # An integer beyond 2**53 is rounded when it is packed; Python compares the exact values.
        return (same and a == b) or (a != a and b != b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


def _sources(a: Run, b: Run) -> Iterator[Difference]:
    left, right = a.sources, b.sources
    for name in sorted(left.keys() | right.keys()):
        one, other = left.get(name), right.get(name)
        if one != other:
            yield Difference(
                "sources",
                name,
                _short_digest(one),
                _short_digest(other),
                None,
                _diff(name, one, other),
            )


def _short_digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()[:SHORT_DIGEST]


def _diff(name: str, a: bytes | None, b: bytes | None) -> str:
    left, right = (
        (text or b"").decode("utf-8", "replace").splitlines(keepends=True) for text in (a, b)
    )
    old = "/dev/null" if a is None else f"a/{name}"
    new = "/dev/null" if b is None else f"b/{name}"
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(left, right, old, new, n=2)
    )


def changed_lines(diff: str) -> tuple[int, int]:
    """Return how many lines a unified diff adds and removes."""
    lines = diff.splitlines()[2:]
    return (
        sum(line.startswith("+") for line in lines),
        sum(line.startswith("-") for line in lines),
    )


def _data(run: Run) -> dict[str, Any]:
    # Only the content of a data set matters, not where it or its raw data are stored.
    return {
        key: {name: value for name, value in facts.items() if name not in ("record_dir", "source")}
        for key, facts in (run.facts.get("dataset") or {}).items()
    }


def plain_environment(run: Run) -> dict[str, Any]:
    """Return what a run of plain Sacred tells of its environment, as one of ours would.

    These are Sacred's facts about the host, and the packages that the experiment had imported.
    """
    host = run.entry.get("host") or {}
    system = [*(host.get("os") or ()), None, None]
    dependencies = (run.entry.get("experiment") or {}).get("dependencies") or ()
    pairs = (str(one).partition("==") for one in dependencies)
    facts = {
        "python": {"version": host.get("python_version")},
        "os": {"system": system[0], "platform": system[1]},
        "cpu": {"model": host.get("cpu")},
        "packages": {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pairs},
    }
    return {
        group: {name: value for name, value in values.items() if value}
        for group, values in facts.items()
    }


def facts_of(environment: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return those facts of an environment that another has, too, by group and name."""
    return {
        group: {name: one for name, one in values.items() if name in wanted[group]}
        for group, values in environment.items()
        if group in wanted and isinstance(values, Mapping)
    }


def _environments(a: Run, b: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what can be compared of two environments."""
    left, right = (one.environment or plain_environment(one) for one in (a, b))
    # Plain Sacred knows a few packages, and not what else the machine had.
    if a.environment and not b.environment:
        left = facts_of(left, right)
    if b.environment and not a.environment:
        right = facts_of(right, left)
    return _facts(left), _facts(right)


def _facts(environment: Mapping[str, Any]) -> dict[str, Any]:
    facts = {
        name: value
        for name, value in flat(environment, "").items()
        if name not in _LEFT_OUT and not name.startswith("library_git.diff")
    }
    flags = facts.pop("cpu.flags", None)
    # One line for each differing flag instead of two long lists.
    facts.update({f"cpu.flags.{flag}": True for flag in flags or ()})
    return facts


def _result(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = {"status": run.status}
    facts.update(flat(run.result, "result."))
    facts.update(flat(run.facts.get("digest"), "digest."))
    return facts


def _metrics(a: Run, b: Run) -> list[Difference]:
    found = []
    for name in sorted((a.points.keys() | b.points.keys()) - set(SPEED_METRICS)):
        left, right = (run.points.get(name, {"steps": [], "values": []}) for run in (a, b))
        difference = metric_difference(name, left, right)
        if difference is not None:
            found.append(difference)
    return sorted(found, key=lambda one: (one.step is None, one.step, one.name))


def metric_difference(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Difference | None:
    """Return the first point at which two streams of a metric differ; None if equal."""
    index = first_difference(a, b)
    return None if index is None else _at(name, a, b, index)


def first_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> int | None:
    """Return the index of the first point at which two metric streams differ; None if equal.

    Args:
        a: ``steps`` and ``values`` of one stream.
        b: The same of the other.
    """
    count = min(len(a["values"]), len(b["values"]))
    for index in range(count):
        if not equal(a["steps"][index], b["steps"][index]) or not equal(
            read_number(a["values"][index]), read_number(b["values"][index])
        ):
            return index
    return None if len(a["values"]) == len(b["values"]) else count


def _at(name: str, a: Mapping[str, Any], b: Mapping[str, Any], index: int) -> Difference:
    steps = [stream["steps"][index] for stream in (a, b) if index < len(stream["steps"])]
    step = min(steps)
    values = [
        stream["values"][index]
        if index < len(stream["values"]) and stream["steps"][index] == step
        else None
        for stream in (a, b)
    ]
    counts = len(a["values"]), len(b["values"])
    detail = f"{counted(index, 'equal point')} before it"
    if counts[0] != counts[1]:
        detail += f"; {counts[0]} and {counted(counts[1], 'point')} in total"
    ended = index == min(counts)
    return Difference("metrics", name, values[0], values[1], step, detail, ended)
