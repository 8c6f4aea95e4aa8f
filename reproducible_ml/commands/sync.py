"""``reproducible-ml sync``: deliver what MongoDB has not received yet."""

from __future__ import annotations

import click


@click.command()
@click.option("-m", "--mongo", metavar="DB", help="Database: sacred, host:port:db, mongodb://...")
@click.argument("runs_dir", default="runs", metavar="[RUNS_DIR]")
def command(mongo: str | None, runs_dir: str) -> None:
    """Deliver what MongoDB has not received yet.

    With -m all runs of RUNS_DIR go to that database. Without it each run goes to the databases it
    was meant for; one that asks for a password must be named with -m.

    A run whose process is alive is left to it; a killed process's run is delivered as it stood,
    with the status INTERRUPTED. Repeat and interrupt this as you like: nothing is lost or doubled.
    """
    from pathlib import Path

    from reproducible_ml.tracking.mongo_uri import parse_mongo
    from reproducible_ml.tracking.sync import sync_runs
    from reproducible_ml.utils.errors import TrackingError

    counts: dict[str, int] = {}
    for outcome in sync_runs(Path(runs_dir), parse_mongo(mongo) if mongo else None):
        counts[outcome.word] = counts.get(outcome.word, 0) + 1
        if outcome.word == "delivered":
            click.echo(f"{outcome.directory}: delivered as {outcome.detail} in {outcome.target}")
        elif outcome.word in ("running", "failed"):
            click.echo(f"{outcome.directory}: {outcome.word}: {outcome.detail}")
    summary = ", ".join(f"{count} {_WORDS[word]}" for word, count in sorted(counts.items()))
    click.echo(f"{summary or 'no runs'} in {runs_dir}")
    if counts.get("failed"):
        raise TrackingError(f"{counts['failed']} runs of {runs_dir} are not delivered; see above.")


_WORDS = {
    "complete": "there already",
    "delivered": "delivered",
    "failed": "failed",
    "local": "not meant for a database",
    "running": "still running",
}
