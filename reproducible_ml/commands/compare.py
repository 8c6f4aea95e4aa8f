"""``reproducible-ml compare``: find where two runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.completion import run_ids
from reproducible_ml.commands.layout import as_json, echo, store_options, terminal_width
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import counted, shown, table

if TYPE_CHECKING:
    from reproducible_ml.tracking.reproduce import Comparison, Conclusion, Difference
    from reproducible_ml.tracking.runs import Run, Used

IDENTICAL_EXIT, DIFFERENT_EXIT, UNDECIDED_EXIT = 0, 1, 2
_INDENT = 2
_MOST_ROWS = 20


@click.command()
@click.argument("a", metavar="A", shell_complete=run_ids)
@click.argument("b", metavar="B", shell_complete=run_ids)
@store_options
@click.option("--diff", is_flag=True, help="Print the changed lines of the source files.")
@click.option(
    "--all", "all_", is_flag=True, help=f"Print all lines of a section, not only {_MOST_ROWS}."
)
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def command(
    a: str, b: str, folder: str | None, mongo: str | None, diff: bool, all_: bool, json_: bool
) -> None:
    """Find where the runs A and B differ.

    This compares configuration, source files, data, environment, metrics and result, and floats bit
    by bit. For two trainings it also finds the first differing step in their step logs.

    Exit code: 0 if the results are identical, whatever else differs; 1 if they differ; 2 if they
    can't be compared, with the reason.
    """
    from reproducible_ml.tracking.reproduce import conclude
    from reproducible_ml.tracking.runs import load_run, open_store
    from reproducible_ml.utils.errors import ReproducibleMLError

    try:
        with open_store(folder, mongo) as store:
            left, right = load_run(a, store), load_run(b, store)
            conclusion = conclude(left, right)
            if json_:
                echo(as_json(_facts(conclusion)))
            else:
                for line in _report(conclusion, diff, None if all_ else _MOST_ROWS):
                    echo(line)
    except ReproducibleMLError as error:
        echo(f"Error: {error}", err=True)
        raise SystemExit(UNDECIDED_EXIT) from error
    raise SystemExit(exit_code(conclusion))


def exit_code(conclusion: Conclusion) -> int:
    """Return 0 for identical results, 1 for different ones, 2 if they can't be compared."""
    if conclusion.reason:
        return UNDECIDED_EXIT
    return IDENTICAL_EXIT if conclusion.identical else DIFFERENT_EXIT


def _report(conclusion: Conclusion, diff: bool, most: int | None) -> list[str]:
    from reproducible_ml.tracking.reproduce import SECTIONS
    from reproducible_ml.tracking.runs import used_values

    found = conclusion.found
    width = terminal_width()
    used = used_values(found.a), used_values(found.b)
    lines = [*table([_head("A", found.a), _head("B", found.b)], width=width), ""]
    for section in SECTIONS:
        differences = found.of(section)
        if not differences:
            lines.append(f"{section}: {_same(section, found)}")
            continue
        if lines[-1]:
            lines.append("")
        lines += [f"{section}: {len(differences)} {_WORDS[section][len(differences) > 1]}"]
        rows = [_row(one, used) for one in differences[:most]]
        header = ("", f"A: {found.a.id}", f"B: {found.b.id}", "")
        rows = [header, *rows] if section != "sources" else rows
        lines += table(rows, elastic=(3, 1, 2, 0), width=width, indent=_INDENT)
        if most is not None and len(differences) > most:
            lines.append(f"{' ' * _INDENT}and {len(differences) - most} more; --all prints them")
        if diff and section == "sources":
            text = without_secrets("".join(one.detail for one in differences))
            lines += ["", *text.splitlines()]
        lines.append("")
    return [*lines, *([""] if lines[-1] else []), *conclusion.sentences]


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
        text = f"same ({counted(count, 'file')})" if count else "none recorded"
        missing = sorted({*_unrecorded(found.a), *_unrecorded(found.b)})
        return f"{text}, as far as recorded: without {'; '.join(missing)}" if missing else text
    if section == "data" and not found.a.facts.get("dataset"):
        return "none recorded"
    if section == "environment" and not (found.a.environment and found.b.environment):
        return "same, as far as plain Sacred recorded it"
    if section == "metrics":
        points = sum(len(one["values"]) for one in found.a.points.values())
        return f"same ({counted(points, 'point')})" if points else "none recorded"
    return "same"


def _unrecorded(run: Run) -> list[str]:
    return [str(one) for one in run.facts.get("unrecorded") or () if "commit of" not in str(one)]


def _row(one: Difference, used: Sequence[Mapping[str, Used]]) -> tuple[str, str, str, str]:
    from reproducible_ml.tracking.reproduce import changed_lines
    from reproducible_ml.tracking.runs import with_origin

    if one.section == "sources":
        if one.a is None or one.b is None:
            return (one.name, f"only in {'B' if one.a is None else 'A'}", "", "")
        added, removed = changed_lines(one.detail)
        return (one.name, f"+{added}", f"-{removed}", "")
    detail = "" if one.step is None else f"at step {one.step}, {one.detail}"
    if one.section != "config":
        return (one.name, *_sides(one), detail)
    origins = (values.get(one.name) for values in used)
    a, b = (with_origin(text, origin) for text, origin in zip(_sides(one), origins))
    return (one.name, a, b, detail)


def _sides(one: Difference) -> tuple[str, str]:
    return shown(without_secrets(one.a, one.name)), shown(without_secrets(one.b, one.name))


def _facts(conclusion: Conclusion) -> dict[str, Any]:
    found, divergence = conclusion.found, conclusion.divergence
    return {
        "a": found.a.id,
        "b": found.b.id,
        "store": found.a.store.shown,
        "identical": None if conclusion.reason else conclusion.identical,
        "not_comparable": conclusion.reason,
        "first_divergence": None if divergence is None else vars(divergence),
        "differences": [
            {
                **without_secrets(vars(one)),
                "a": without_secrets(one.a, one.name),
                "b": without_secrets(one.b, one.name),
            }
            for one in found.differences
        ],
    }
