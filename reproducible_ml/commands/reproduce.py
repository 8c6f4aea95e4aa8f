"""``reproducible-ml reproduce``: execute a recorded run again and compare it bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.completion import run_ids
from reproducible_ml.commands.layout import ALWAYS, echo, store_options
from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import table

if TYPE_CHECKING:
    from reproducible_ml.tracking.reproduce import Reproduction


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@store_options(variable=ALWAYS)
@click.option(
    "--sources",
    type=click.Choice(["recorded", "current"]),
    default="recorded",
    show_default=True,
    help="Run the recorded source files, or those in the working directory.",
)
@click.option(
    "--environment",
    type=click.Choice(["current", "recorded"]),
    default="current",
    show_default=True,
    help="Run in this environment, or in one with the recorded Python and packages, which is "
    "installed once and kept in the cache.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Train and compare only N steps."
)
@click.option(
    "--upstream", is_flag=True, help="Run the earlier stages again too, starting with the data."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="KEY=PATH",
    help="Current path of an input that has moved.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the configuration.",
)
@click.option(
    "--allow-altered", is_flag=True, help="Use a record even if it was altered after the run."
)
@click.option(
    "--yes",
    is_flag=True,
    help="Run a record of another machine or folder without asking.",
)
@click.option(
    "--keep",
    metavar="DIR",
    shell_complete=complete_folder,
    help="Keep restored source files, data and models in this folder.",
)
def command(run_id: str, **options: Any) -> None:
    """Execute a recorded run again and compare it bit for bit.

    The recorded source files are restored into a temporary directory and run in a separate process,
    as a new run. ID may be a file that reproducible-ml pack has written. With -m, the record is
    read from the database, and the new run is written both to the database and to the folder. The
    verdict is stored in both runs.

    Exit code: 0 if the new run is identical; 1 if it differs, with the first differing step and
    what differs there; 2 if the runs can't be compared, with the reason.
    """
    import traceback
    from pathlib import Path

    from reproducible_ml.tracking.archive import is_archive, opened
    from reproducible_ml.tracking.reproduce import IDENTICAL, Request, reproduce
    from reproducible_ml.tracking.runs import DEFAULT_FOLDER, typed_id
    from reproducible_ml.utils.errors import ReproducibleMLError

    request = Request(
        folder=Path(options["folder"] or DEFAULT_FOLDER),
        mongo=options["mongo"],
        sources=options["sources"],
        environment=options["environment"],
        steps=options["steps"],
        upstream=options["upstream"],
        inputs=dict(_pair(text, "--input") for text in options["inputs"]),
        changes={
            key: _value(text) for key, text in (_pair(one, "--set") for one in options["changes"])
        },
        allow_altered=options["allow_altered"],
        keep=Path(options["keep"]) if options["keep"] else None,
        confirm=_confirming(options["yes"]),
    )
    packed = is_archive(run_id)
    try:
        if packed:
            echo(f"Reading {run_id}.")
            with opened(Path(run_id).expanduser(), request) as (which, directed):
                done = reproduce(which, directed, echo)
        else:
            done = reproduce(typed_id(run_id), request, echo)
    except ReproducibleMLError as error:
        echo(f"Error: {error}", err=True)
        raise SystemExit(2) from error
    except Exception as error:
        # Python would exit with 1, which here means that the runs differ.
        traceback.print_exc()
        raise SystemExit(2) from error
    echo(_table(done, f" of {Path(run_id).name}" if packed else ""))
    raise SystemExit(0 if done.verdict.word == IDENTICAL else 1)


def _confirming(yes: bool) -> Callable[[str], bool]:
    """Return what answers whether a record from elsewhere may run: ``--yes``, or the user, once."""
    import sys

    answered: set[str] = set()

    def confirm(sentence: str) -> bool:
        if yes:
            echo(sentence)
            return True
        if not sys.stdin.isatty():
            return False
        if not answered:
            echo(sentence)
            if not click.confirm("Run it?"):
                return False
            answered.add(sentence)
        return True

    return confirm


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{option} takes KEY=VALUE, found {text!r}.")
    return key, value


def _value(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


_WORDS = {True: "same", False: "DIFFERS", None: ""}
_MOST_DETAILS = 20


def _table(done: Reproduction, where: str = "") -> str:
    lines = [_table(one, where) for one in done.upstream]
    lines.append("")
    title = f"run {done.recorded.id}{where}", f"run {done.again.id}"
    rows = [("", *title, "")] + [
        (row.part, row.recorded, row.again, "ignored" if row.ignored else _WORDS[row.equal])
        for row in done.verdict.rows
    ]
    lines += [
        *table(rows),
        "",
        # The sentence names the first difference, these lines those of the other parts.
        *done.verdict.details[:_MOST_DETAILS],
        *([""] if done.verdict.details else []),
        *done.remarks,
        *([""] if done.remarks else []),
        f"Run {done.again.id} executes {title[0]} again: {done.verdict.sentence}.",
    ]
    return "\n".join(lines)
