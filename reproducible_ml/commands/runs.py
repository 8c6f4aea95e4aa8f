"""``reproducible-ml runs``: list recorded runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.completion import run_experiments
from reproducible_ml.commands.layout import as_json, echo, store_options, terminal_width
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import GAP, SHORT_DIGEST, duration, shown, table

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Run

STATUSES = ("COMPLETED", "FAILED", "INTERRUPTED", "RUNNING", "DEAD", "QUEUED", "UNREADABLE")
DIRTY_MARK = "*"
_VERDICT = 5  # column
# A narrow terminal gets times without the year.
_TIME, _SHORT_TIME, _WIDE = "%Y-%m-%d %H:%M", "%m-%d %H:%M", 100
_SHORT_FLOAT = "{:.5g}"
# Results that would be cut to fewer characters are left out.
_LEAST_RESULT = 12
_DIGEST = re.compile(r"[0-9a-f]{32,}")


@click.command()
@store_options
@click.option(
    "--status",
    type=click.Choice(STATUSES, case_sensitive=False),
    metavar="STATUS",
    help=f"Only runs of this status: {', '.join(STATUSES).lower()}.",
)
@click.option(
    "--experiment",
    metavar="NAME",
    shell_complete=run_experiments,
    help="Only runs of this experiment.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only runs that used this configuration value; repeatable.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the last N runs.")
@click.option("--json", "json_", is_flag=True, help="Print JSON instead of a table.")
def command(
    folder: str | None,
    mongo: str | None,
    status: str | None,
    experiment: str | None,
    filters: tuple[str, ...],
    limit: int | None,
    json_: bool,
) -> None:
    """List recorded runs, the newest last.

    A * after the id means that files differed from the git commit, or were new, when the run
    started.
    """
    from collections import deque

    from reproducible_ml.tracking.runs import iterate_runs, open_store

    with open_store(folder, mongo) as store:
        runs = deque(iterate_runs(store, experiment, status, _values(filters)), limit)
        if json_:
            echo(as_json([without_secrets(_facts(run)) for run in runs]))
        elif runs:
            echo("\n".join(_table(list(runs))))
        else:
            wanted = [f"status {status.upper()}"] if status else []
            wanted += [f"experiment {experiment}"] if experiment else []
            kind = f" of {' and '.join(wanted)}" if wanted else ""
            kind += f" with {' and '.join(filters)}" if filters else ""
            names = sorted({run.experiment for run in iterate_runs(store) if run.experiment})
            there = f"; there are runs of {', '.join(names)}" if kind and names else ""
            echo(f"There are no runs{kind} in {store.shown}{there}.")


def _values(filters: Sequence[str]) -> dict[str, Any]:
    from reproducible_ml.tracking.runs import read_typed

    values = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"--filter {text} must be KEY=VALUE, such as gen_lr=0.0005.")
        values[key] = read_typed(value)
    return values


def _facts(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "experiment": run.experiment,
        "status": run.status,
        "started": run.started,
        "duration_seconds": run.duration_seconds,
        "last_step": last_step(run),
        "config": run.config,
        "result": run.result,
        "git_commit": run.git_commit,
        "dirty": run.dirty,
        "verdict": run.verdict,
        "comment": (run.entry.get("meta") or {}).get("comment"),
    }


def _table(runs: list[Run]) -> list[str]:
    from reproducible_ml.tracking.runs import comment_of

    width = terminal_width()
    narrow = width is not None and width < _WIDE
    time_format = _SHORT_TIME if narrow else _TIME
    rows = [
        (
            "ID",
            "EXPERIMENT",
            "STATUS",
            "STARTED" if narrow else "STARTED (UTC)",
            "TIME",
            "VERDICT",
            "STEP",
            "RESULT",
            "COMMENT",
        )
    ]
    for run in runs:
        started = "-" if run.started is None else run.started.strftime(time_format)
        step = last_step(run)
        rows.append(
            (
                f"{run.id}{DIRTY_MARK if run.dirty else ' '}",
                run.experiment or "-",
                run.status,
                started,
                duration(run.duration_seconds),
                _short_verdict(run.verdict, narrow),
                "-" if step is None else str(step),
                outcome(run),
                comment_of(run.entry) or "-",
            )
        )
    if not any(comment_of(run.entry) for run in runs):
        rows = [row[:-1] for row in rows]  # type: ignore[misc]
    if not any(run.verdict for run in runs):
        rows = [(*row[:5], *row[6:]) for row in rows]  # type: ignore[misc]
    step = rows[0].index("STEP")
    others = sum(max(len(row[column]) for row in rows) + len(GAP) for column in range(step + 1))
    if width is not None and step == _VERDICT + 1 and others + _LEAST_RESULT > width:
        # A verdict says more than the first letters of a result.
        rows = [(*row[: step + 1], *row[step + 2 :]) for row in rows]  # type: ignore[misc]
    elastic: tuple[int, ...] = (step + 1, 1, _VERDICT) if len(rows[0]) > step + 1 else (1, _VERDICT)
    if len(rows[0]) > step + 2:
        elastic = (step + 2, *elastic)
    lines = table(rows, right=(0, 4, step), elastic=elastic, width=width)
    if any(run.dirty for run in runs):
        lines += ["", f"{DIRTY_MARK} files differed from the git commit, or were new"]
    return lines


def _short_verdict(verdict: str, narrow: bool) -> str:
    # "differs at step 3: loss …" and "differs between step 3 (equal) and step 5: …"
    text = verdict.partition(":")[0].replace(" (equal)", "") or "-"
    return text.replace(" up to step ", " to ").replace(" at step ", " at ") if narrow else text


def last_step(run: Run) -> int | float | None:
    """Return a run's last step, from its result or else its metrics; None if neither has one."""
    if isinstance(run.result, Mapping) and isinstance(run.result.get("step"), int):
        return int(run.result["step"])
    if run.status == "UNREADABLE":
        return None
    try:
        steps: list[int | float] = [one["steps"][-1] for one in run.points.values() if one["steps"]]
    except TrackingError as error:
        # Damaged metrics of one run hide no other run.
        echo(f"Run {run.id}: {error}", err=True)
        return None
    return max(steps, default=None)


def outcome(run: Run) -> str:
    """Return a run's result in one line, or the error of a failed run."""
    result = without_secrets(run.result)
    if result is None:
        trace = run.entry.get("fail_trace") or []
        lines = [line for part in trace for line in str(part).splitlines() if line.strip()]
        # Shorten "package.module.DataError: sentence" to "DataError: sentence".
        return (
            re.sub(r"^(\w+\.)+(?=\w+:)", "", shown(without_secrets(lines[-1])).strip())
            if lines
            else "-"
        )
    if not isinstance(result, Mapping):
        return shown(result)
    # Digests come first, since they show at a glance which runs gave the same result.
    items = sorted(result.items(), key=lambda item: not _is_digest(item[1]))
    return ", ".join(f"{name} {_short(value)}" for name, value in items if name != "step")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_short(item)}" for name, item in value.items())
    if _is_digest(value):
        return str(value)[:SHORT_DIGEST]
    return _SHORT_FLOAT.format(value) if isinstance(value, float) else shown(value)
