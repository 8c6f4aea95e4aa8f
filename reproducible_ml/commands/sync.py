"""``reproducible-ml sync``: deliver runs that MongoDB has not received completely."""

from __future__ import annotations

import click

from reproducible_ml.commands.layout import NEVER, echo, store_options
from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import counted


@click.command()
@click.argument("runs_dir", required=False, metavar="[RUNS_DIR]", shell_complete=complete_folder)
@store_options(variable=NEVER)
def command(runs_dir: str | None, folder: str | None, mongo: str | None) -> None:
    """Deliver what MongoDB has not received yet.

    RUNS_DIR is the folder of runs, as with -F. With -m, all its runs go to that database. Without
    it, each run goes to the databases it was meant for; the password of one that needs it comes
    from --mongo-from or REPRODUCIBLE_ML_MONGO.

    A run whose process is still alive is left to that process. A run whose process was killed is
    delivered as far as it got, with the status INTERRUPTED. You can repeat and interrupt this
    command at any time: nothing is lost or duplicated.
    """
    from pathlib import Path

    from reproducible_ml.tracking.mongo import parse_mongo, sync_runs
    from reproducible_ml.tracking.runs import DEFAULT_FOLDER
    from reproducible_ml.utils.errors import ConfigError, TrackingError

    if runs_dir is not None and folder is not None:
        raise ConfigError(f"Runs are read from one place: {runs_dir} or -F {folder}, not both.")
    place = runs_dir or folder or DEFAULT_FOLDER
    counts: dict[str, int] = {}
    failures: dict[str, int] = {}
    for outcome in sync_runs(Path(place), parse_mongo(mongo) if mongo else None):
        counts[outcome.word] = counts.get(outcome.word, 0) + 1
        if outcome.word == "delivered":
            echo(f"{outcome.directory}: delivered as {outcome.detail} in {outcome.target}")
        elif outcome.word == "running":
            echo(f"{outcome.directory}: running: {outcome.detail}")
        elif outcome.word == "failed":
            failures[outcome.detail] = failures.get(outcome.detail, 0) + 1
            if failures[outcome.detail] == 1:
                echo(f"{outcome.directory}: failed: {outcome.detail}")
    for detail, count in failures.items():
        if count > 1:
            echo(f"{counted(count - 1, 'more run')} failed likewise: {detail[:_CUT]}…")
    summary = ", ".join(f"{count} {_WORDS[word]}" for word, count in sorted(counts.items()))
    echo(f"{summary or 'no runs'} in {place}")
    if counts.get("failed"):
        failed = counted(counts["failed"], "run")
        were = "was" if counts["failed"] == 1 else "were"
        raise TrackingError(f"{failed} in {place} {were} not delivered; see above.")


# Length of the repetition of a sentence that was shown in full before.
_CUT = 40
_WORDS = {
    "complete": "already there",
    "delivered": "delivered",
    "failed": "failed",
    "local": "not meant for a database",
    "plain": "left alone (recorded by plain Sacred, without the journal that sync delivers)",
    "running": "still running",
}
