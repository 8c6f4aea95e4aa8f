"""Sections of a report that show values of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproducible_ml.report.defaults import settings
from reproducible_ml.tracking.reproduce import SECTIONS, Difference, changed_lines, conclude
from reproducible_ml.tracking.runs import Used, flat, head_facts, used_values, with_origin
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import counted, shown

if TYPE_CHECKING:
    from reproducible_ml.report.curves import Plot
    from reproducible_ml.tracking.runs import Run

MOST_DIFFERENCES = 100
LONGEST_DIFF_LINES = 400
ABSENT = "-"


@dataclass(frozen=True)
class Cell:
    """A value of one run.

    Attributes:
        text: The value.
        mark: A remark on the value, such as its default if it differs.
    """

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """One fact of all runs.

    Attributes:
        name: Name of the fact.
        note: Meaning of the fact.
        cells: A cell for each run.
        differs: Whether the values of the runs differ.
    """

    name: str
    note: str
    cells: list[Cell]
    differs: bool


def side_by_side(
    columns: Sequence[Mapping[str, Cell]], notes: Mapping[str, str] | None = None
) -> list[Row]:
    """Make a line for each name that any run has, in order of first appearance."""
    names = dict.fromkeys(name for column in columns for name in column)
    rows = []
    for name in names:
        cells = [column.get(name, Cell(ABSENT)) for column in columns]
        rows.append(
            Row(name, (notes or {}).get(name, ""), cells, len({cell.text for cell in cells}) > 1)
        )
    return rows


def overview_facts(run: Run) -> dict[str, str]:
    """Return the facts about a run for the head of a report."""
    facts = {name: without_secrets(text) for name, text in head_facts(run).items()}
    digests = run.facts.get("digest") or {}
    for name, value in sorted(flat(without_secrets(run.result), "result ").items()):
        # Digests follow below, under the names of what they cover.
        if value not in digests.values():
            facts[name.strip()] = shown(value)
    for name, value in sorted(digests.items()):
        facts[f"digest of {name}"] = shown(value)
    return facts


def config_rows(runs: Sequence[Run]) -> list[Row]:
    """Lay out the configurations, and mark values that are not the default."""
    columns, notes = [], {}
    for run in runs:
        column = {}
        used = used_values(run)
        for one in settings(run):
            key = one.name
            mark = ""
            if one.changed:
                default = one.default and without_secrets(one.default.value, key)
                mark = "given" if one.default is None else f"default {_setting(default)}"
            value = used[one.name].value if one.name in used else one.value
            text = with_origin(_setting(without_secrets(value, key)), used.get(one.name))
            column[one.name] = Cell(text, mark)
            if one.default is not None and one.default.comment:
                notes[one.name] = one.default.comment
        columns.append(column)
    return sorted(side_by_side(columns, notes), key=lambda row: row.name)


def _setting(value: Any) -> str:
    # Shown as None, to tell it from a missing key.
    return "None" if value is None else shown(value)


def single_rows(plots: Sequence[Plot], runs: int) -> list[Row]:
    """Lay out the metrics with at most one point per run, which need a table instead of curves.

    Args:
        plots: Every metric.
        runs: Number of runs in the report.
    """
    columns: list[dict[str, Cell]] = [{} for _ in range(runs)]
    for plot in plots:
        for line in plot.lines if plot.is_single else ():
            columns[line.run][plot.name] = Cell(f"{line.values[0]} at step {line.steps[0]:.15g}")
    return sorted(side_by_side(columns), key=lambda row: row.name)


def environment_rows(runs: Sequence[Run]) -> list[Row]:
    """Lay out machines, software and determinism settings."""
    return side_by_side([_environment(run) for run in runs])


def _environment(run: Run) -> dict[str, Cell]:
    facts = without_secrets(run.environment)
    if not facts:
        return {}
    cpu, tensorflow = facts.get("cpu") or {}, facts.get("tensorflow") or {}
    python, system = facts.get("python") or {}, facts.get("os") or {}
    found = {
        "python": f"{python.get('implementation', '')} {python.get('version', '-')}",
        "tensorflow": shown(tensorflow.get("version")),
        "operating system": shown(system.get("platform")),
        "processor": f"{cpu.get('model', '-')}, {cpu.get('cores', '-')} cores",
    }
    for name, value in sorted((facts.get("threads") or {}).items()):
        found[f"threads: {name}"] = shown(value)
    for name, value in sorted((facts.get("variables") or {}).items()):
        found[f"variable: {name}"] = shown(value)
    for name, value in sorted(flat(run.facts.get("determinism"), "").items()):
        found[f"determinism: {name}"] = shown(value)
    return {name: Cell(text) for name, text in found.items()}


def package_rows(runs: Sequence[Run]) -> list[Row]:
    """Lay out the version of every installed package."""
    columns = [
        {name: Cell(str(version)) for name, version in sorted(packages.items())}
        for packages in ((run.environment.get("packages") or {}) for run in runs)
    ]
    return sorted(side_by_side(columns), key=lambda row: row.name)


def differences(a: Run, b: Run) -> dict[str, Any]:
    """Compare two runs and return the comparison for the template."""
    conclusion = conclude(a, b)
    used = used_values(a), used_values(b)
    sections = []
    for section in SECTIONS:
        entries = conclusion.found.of(section)
        rows = [
            {
                "name": one.name,
                "a": _side(one.a, one, used[0]),
                "b": _side(one.b, one, used[1]),
                "detail": _detail(one),
                "diff": _cut(without_secrets(one.detail)) if section == "sources" else "",
            }
            for one in entries[:MOST_DIFFERENCES]
        ]
        sections.append(
            {
                "name": section,
                "count": len(entries),
                "rows": rows,
                "detailed": section in ("sources", "metrics"),
            }
        )
    return {
        "a": a.id,
        "b": b.id,
        "sentence": " ".join(conclusion.sentences),
        "identical": conclusion.identical and not conclusion.reason,
        "sections": sections,
    }


def _side(value: Any, one: Difference, used: Mapping[str, Used]) -> str:
    if value is None:
        return ABSENT
    text = shown(without_secrets(value, one.name))
    return with_origin(text, used.get(one.name) if one.section == "config" else None)


def _detail(one: Any) -> str:
    if one.section == "sources":
        added, removed = changed_lines(one.detail)
        return f"{counted(added, 'line')} added, {removed} removed"
    return "" if one.step is None else f"at step {one.step}, {one.detail}"


def _cut(diff: str) -> str:
    lines = diff.splitlines()
    rest = len(lines) - LONGEST_DIFF_LINES
    return "\n".join([*lines[:LONGEST_DIFF_LINES], *([f"({rest} more lines)"] if rest > 0 else [])])
