"""``reproducible-ml report``: write one HTML file about one run or several."""

from __future__ import annotations

import click

from reproducible_ml.commands.completion import files, run_ids
from reproducible_ml.commands.layout import echo, store_options
from reproducible_ml.utils.text import size


@click.command()
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=run_ids)
@store_options
@click.option(
    "-o",
    "--output",
    default="report.html",
    show_default=True,
    metavar="FILE",
    shell_complete=files,
    help="File to write; an existing one is replaced.",
)
def command(run_ids: tuple[str, ...], folder: str | None, mongo: str | None, output: str) -> None:
    """Write one HTML file about runs; it needs no network and no other files.

    It shows verdicts, configuration, curves, pictures over time, data, lineage and environment.
    For several runs it also shows how the first one differs from each of the others.
    """
    from pathlib import Path

    from reproducible_ml.report import make_report
    from reproducible_ml.tracking.runs import load_run, open_store
    from reproducible_ml.utils.disk import writing
    from reproducible_ml.utils.errors import TrackingError
    from reproducible_ml.utils.files import replacing

    path = Path(output)
    if path.is_dir() or not path.parent.is_dir():
        raise TrackingError(
            f"{output} is a folder; name a file."
            if path.is_dir()
            else f"There is no folder {path.parent} for {path.name}; create it first."
        )
    with open_store(folder, mongo) as store:
        runs = [load_run(one, store) for one in dict.fromkeys(run_ids)]
        page = make_report(runs).encode("utf-8")
    with writing("The report", path, "write it again"), replacing(path) as file:
        file.write(page)
    names = ", ".join(str(run.id) for run in runs)
    echo(f"Report on {'runs' if len(runs) > 1 else 'run'} {names}: {path}, {size(len(page))}")
