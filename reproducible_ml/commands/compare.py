"""``reproducible-ml compare``: find where two runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.layout import (
    as_json,
    shown,
    store_options,
    table,
    terminal_width,
)

if TYPE_CHECKING:
    from reproducible_ml.tracking.comparison import Comparison, Difference
    from reproducible_ml.tracking.divergence import Divergence
    from reproducible_ml.tracking.runs import Run

IDENTICAL_EXIT, DIFFERENT_EXIT, UNDECIDED_EXIT = 0, 1, 2
_INDENT = 2
_MOST_ROWS = 20
_UNFINISHED = ("RUNNING", "QUEUED", "UNREADABLE")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@store_options
@click.option("--diff", is_flag=True, help="Print the changed lines of the sources.")
@click.option("--all", "all_", is_flag=True, help=f"Print more than {_MOST_ROWS} lines a section.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def command(
    a: str, b: str, folder: str | None, mongo: str | None, diff: bool, all_: bool, json_: bool
) -> None:
    """Find where the runs A and B differ.

    Compared are configuration, sources, data, environment, metrics and result, floats by their
    bits. Of two trainings the first differing step is found in their logs of every step.

    Exit code: 0 the results are identical, whatever else differs; 1 they differ; 2 they cannot be
    compared, with what is missing.
    """
    from reproducible_ml.tracking.comparison import compare_runs
    from reproducible_ml.tracking.runs import load_run
    from reproducible_ml.tracking.stores import open_store
    from reproducible_ml.tracking.verdict import divergence_of
    from reproducible_ml.utils.errors import ReproducibleMLError

    try:
        with open_store(folder, mongo) as store:
            left, right = load_run(a, store), load_run(b, store)
            reason = why_not(left, right)
            found = compare_runs(left, right)
            divergence = divergence_of(left, right)
            if json_:
                click.echo(as_json(_facts(found, divergence, reason)))
            else:
                for line in _report(found, divergence, reason, diff, None if all_ else _MOST_ROWS):
                    click.echo(line)
    except ReproducibleMLError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(UNDECIDED_EXIT) from error
    raise SystemExit(exit_code(found, divergence, reason))


def why_not(a: Run, b: Run) -> str:
    """Return why the results of two runs cannot be compared; empty when they can."""
    if a.experiment != b.experiment:
        return f"they are of different experiments, {a.experiment or '-'} and {b.experiment or '-'}"
    for run in (a, b):
        if run.status in _UNFINISHED:
            return f"run {run.id} is {run.status}"
    for run in (a, b):
        if run.result is None and not run.points and not run.info.get("digest"):
            return f"run {run.id} ({run.status}) has neither a result nor metrics"
    return ""


def exit_code(found: Comparison, divergence: Divergence | None, reason: str) -> int:
    """Return 0 for identical results, 1 for different ones, 2 when that can't be said."""
    if reason:
        return UNDECIDED_EXIT
    return IDENTICAL_EXIT if found.identical and divergence is None else DIFFERENT_EXIT


def _report(
    found: Comparison, divergence: Divergence | None, reason: str, diff: bool, most: int | None
) -> list[str]:
    from reproducible_ml.tracking.comparison import SECTIONS

    width = terminal_width()
    lines = [*table([_head("A", found.a), _head("B", found.b)], width=width), ""]
    for section in SECTIONS:
        differences = found.of(section)
        if not differences:
            lines.append(f"{section}: {_same(section, found)}")
            continue
        if lines[-1]:
            lines.append("")
        lines += [f"{section}: {len(differences)} {_WORDS[section][len(differences) > 1]}"]
        rows = [_row(one) for one in differences[:most]]
        header = ("", f"A: {found.a.id}", f"B: {found.b.id}", "")
        rows = [header, *rows] if section != "sources" else rows
        lines += table(rows, elastic=(3, 1, 2, 0), width=width, indent=_INDENT)
        if most is not None and len(differences) > most:
            lines.append(f"{' ' * _INDENT}and {len(differences) - most} more, see --all")
        if diff and section == "sources":
            lines += ["", *"".join(one.detail for one in differences).splitlines()]
        lines.append("")
    return [*lines, *([""] if lines[-1] else []), *_conclusion(found, divergence, reason)]


_WORDS = {
    "config": ("key differs", "keys differ"),
    "sources": ("file differs", "files differ"),
    "data": ("entry differs", "entries differ"),
    "environment": ("entry differs", "entries differ"),
    "metrics": ("metric differs", "metrics differ"),
    "result": ("entry differs", "entries differ"),
}


def _head(letter: str, run: Run) -> tuple[str, ...]:
    started = "-" if run.started is None else f"{run.started:%Y-%m-%d %H:%M} UTC"
    return (f"{letter}: run {run.id}", run.experiment or "-", run.status, started)


def _same(section: str, found: Comparison) -> str:
    if section == "sources":
        count = len(found.a.sources)
        return f"same ({count} files)" if count else "none recorded"
    if section == "data" and not found.a.info.get("dataset"):
        return "none recorded"
    if section == "environment" and not found.a.environment:
        return "none recorded"
    if section == "metrics":
        points = sum(len(one["values"]) for one in found.a.points.values())
        return f"same ({points} points)" if points else "none recorded"
    return "same"


def _row(one: Difference) -> tuple[str, str, str, str]:
    from reproducible_ml.tracking.comparison import changed_lines

    if one.section == "sources":
        if one.a is None or one.b is None:
            return (one.name, f"only in {'B' if one.a is None else 'A'}", "", "")
        added, removed = changed_lines(one.detail)
        return (one.name, f"+{added}", f"-{removed}", "")
    detail = "" if one.step is None else f"at step {one.step}, {one.detail}"
    return (one.name, shown(one.a), shown(one.b), detail)


def _conclusion(found: Comparison, divergence: Divergence | None, reason: str) -> list[str]:
    lines = []
    metric = found.first_metric
    if divergence is not None:
        lines.append(f"First difference {divergence.describe()}.")
    elif metric is not None:
        values = f"{shown(metric.a)} / {shown(metric.b)}"
        lines.append(f"First differing point: {metric.name} at step {metric.step}: {values}.")
    if reason:
        lines.append(f"The results cannot be compared: {reason}.")
    elif exit_code(found, divergence, reason) == IDENTICAL_EXIT:
        lines.append("The results are identical, bit for bit.")
    else:
        lines.append("The results differ.")
        steps = _common_steps(found) if divergence is None else 0
        if steps:
            lines.append(f"The {steps} steps that both have logged are equal.")
    return lines


def _common_steps(found: Comparison) -> int:
    from reproducible_ml.tracking.verdict import step_logs

    logs = step_logs(found.a), step_logs(found.b)
    return min(0 if log is None else len(log[0]) for log in logs)


def _facts(found: Comparison, divergence: Divergence | None, reason: str) -> dict[str, Any]:
    return {
        "a": found.a.id,
        "b": found.b.id,
        "store": found.a.store.shown,
        "identical": None if reason else exit_code(found, divergence, reason) == IDENTICAL_EXIT,
        "not_comparable": reason,
        "first_divergence": None if divergence is None else vars(divergence),
        "differences": [vars(one) for one in found.differences],
    }
