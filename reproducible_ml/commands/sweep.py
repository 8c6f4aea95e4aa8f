"""``reproducible-ml sweep``: run an experiment for each combination of values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.completion import experiment_modules, gan_types
from reproducible_ml.commands.layout import ALWAYS, as_json, echo, store_options
from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import counted, table

if TYPE_CHECKING:
    from reproducible_ml.tracking.sweep import Request, Space, Sweep


@click.command()
@click.argument("module", metavar="MODULE", shell_complete=experiment_modules)
@click.argument(
    "arguments", metavar="[NAMED...] [KEY=VALUES...]", nargs=-1, shell_complete=gan_types
)
@store_options(variable=ALWAYS)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Members to run at once.",
)
@click.option(
    "--metric", metavar="NAME", help="Number in the result, or metric whose last point counts."
)
@click.option(
    "--minimize",
    "direction",
    flag_value="minimize",
    help="The lowest mean is best and comes first.",
)
@click.option(
    "--maximize",
    "direction",
    flag_value="maximize",
    help="The highest mean is best and comes first.",
)
@click.option(
    "--search", type=click.Choice(["optuna"]), help="Search instead of running every combination."
)
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Combinations to try.")
@click.option(
    "--search-seed",
    type=click.IntRange(min=0),
    default=0,
    help="Seed of the search; default: 0.",
    metavar="N",
)
@click.option(
    "--sweeps",
    default="sweeps",
    metavar="DIR",
    shell_complete=complete_folder,
    help="Folder of logs; default: sweeps.",
)
@click.option(
    "--no-resume",
    is_flag=True,
    help="Start interrupted members at step 0.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the commands of members that would run, one a line, without running them.",
)
def command(module: str, arguments: tuple[str, ...], **options: Any) -> None:
    """Run an experiment for each combination of values, each in a process of its own.

    For example: sweep experiments.mnist_wgan digits gen_lr=1e-4,5e-4 seed=1..5 --jobs 2

    Separate values with commas; commas inside brackets or quotes don't separate. 1..5 expands to
    five values. A member is not run again if a completed run with the same configuration, source
    files and data is recorded, and resumes one that was interrupted after a checkpoint. Of values
    that give the same configuration one is run. With --search, values are drawn from ranges such
    as 2..5, 0.1..0.9 or log:1e-5..1e-3.

    Exit code: 0 if every member completed; 1 if one failed; 130 after Ctrl-C and 143 after SIGTERM,
    which stop them.
    """
    from reproducible_ml.tracking.runs import DEFAULT_FOLDER
    from reproducible_ml.tracking.sweep import FAILED, Request, parse_space

    searching = options["search"] is not None
    _check_options(options, searching)
    space = parse_space(arguments, search=searching)
    request = Request(
        module=module,
        named=space.named,
        jobs=options["jobs"],
        runs=options["folder"] or DEFAULT_FOLDER,
        mongo=options["mongo"],
        metric=options["metric"],
        sweeps=options["sweeps"],
        resumes=not options["no_resume"],
    )
    if options["dry_run"]:
        _say_what_would_run(request, space, options)
        return
    sweep, stopped_by = _execute(request, space, options)
    if sweep.members:
        _show(sweep, space, options["direction"])
    if stopped_by is not None:
        echo("Interrupted; run the same command again to resume.", err=True)
        raise SystemExit(128 + stopped_by)
    failed = [one for one in sweep.members if one.status == FAILED]
    if failed:
        echo(f"{len(failed)} of {len(sweep.members)} members failed.", err=True)
        raise SystemExit(1)


def _check_options(options: dict[str, Any], searching: bool) -> None:
    from reproducible_ml.utils.errors import ConfigError

    if not searching:
        if options["trials"] is not None:
            raise ConfigError("--trials belongs to a search; add --search optuna.")
        return
    from reproducible_ml.tracking.sweep import require_optuna

    needed = {"--trials": "trials", "--metric": "metric", "--minimize or --maximize": "direction"}
    missing = [option for option, name in needed.items() if options[name] is None]
    if missing:
        raise ConfigError(f"A search needs {' and '.join(missing)}.")
    require_optuna()


def _execute(request: Request, space: Space, options: dict[str, Any]) -> tuple[Sweep, int | None]:
    """Run all members, and return the signal that interrupted them; None if none did."""
    import signal

    from reproducible_ml.tracking.sweep import Sweep, SweepProgress, need_database, product

    members = [] if options["search"] else product(space)
    need_database(request, members)
    total = len(members) or options["trials"] * len(space.values.get("seed", (None,)))

    stopped_by: int = signal.SIGINT

    def stop(number: int, frame: Any) -> None:
        nonlocal stopped_by
        stopped_by = number
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    with SweepProgress(total) as progress:
        sweep = Sweep(request, total, progress)
        progress.note(f"Planning {counted(total, 'member')} of {request.module}.")
        try:
            if options["search"]:
                from reproducible_ml.tracking.sweep import Search, check_space, run_search

                check_space(space)
                search = Search(
                    *(options[name] for name in ("trials", "direction", "metric", "search_seed"))
                )
                run_search(sweep, space, search)
            else:
                sweep.execute(members)
        except KeyboardInterrupt:
            return sweep, stopped_by
        finally:
            signal.signal(signal.SIGTERM, before)
    return sweep, None


def _show(sweep: Sweep, space: Space, direction: str | None) -> None:
    from reproducible_ml.tracking.sweep import COLUMNS, as_cells, as_csv, make_rows
    from reproducible_ml.utils.files import replacing

    sweep.require_measured()
    rows = make_rows(sweep.members, direction)
    path = sweep.folder / "table.csv"
    with replacing(path) as file:
        file.write(as_csv(rows).encode())
    keys = [key for key in space.varied if key != "seed"]
    numbers = range(len(keys) + 1, len(keys) + len(COLUMNS))
    echo("\n".join(["", *table(as_cells(rows, keys), right=tuple(numbers)), ""]))
    echo(f"Logs and table.csv: {sweep.folder}")


def _say_what_would_run(request: Request, space: Space, options: dict[str, Any]) -> None:
    """Print the commands on stdout, for a job array, and what doesn't run on stderr."""
    from reproducible_ml.tracking.sweep import (
        Member,
        make_plan,
        need_database,
        product,
        recorded_members,
        shared_model_dirs,
        shell_command,
    )

    if options["search"]:
        echo(
            as_json(
                {
                    "named": space.named,
                    "values": space.values,
                    "intervals": {k: vars(v) for k, v in space.intervals.items()},
                }
            )
        )
        return
    members = product(space)
    need_database(request, members)
    plan = make_plan(request.module, request.named, members)
    plan.check_metric(request.metric)
    firsts = plan.without_repetitions()
    configs = [config for n, config in enumerate(plan.configs) if firsts[n] == n]
    shared_model_dirs(configs, len(configs))
    found = recorded_members(request, plan, plan.configs)
    commands, lines = [], []
    for number, (parameters, one, first) in enumerate(zip(members, found, firsts)):
        member = Member(number + 1, parameters)
        if first != number:
            lines.append(f"{member.shown}: the same configuration as member {first + 1}")
        elif one.completed is not None:
            lines.append(f"{member.shown}: recorded as run {one.completed.id}")
        elif one.running is not None:
            lines.append(f"{member.shown}: is run {one.running.id}, which runs")
        else:
            if one.stopped is not None and request.resumes:
                member.resumed = one.stopped.word
                lines.append(f"{member.shown}: resumes run {one.stopped.run.id}")
            commands.append(shell_command(request, member))
    for line in [*lines, *_what_jobs_need(request, configs if commands else [])]:
        echo(line, err=True)
    for command in commands:
        echo(command)


def _what_jobs_need(request: Request, configs: list[dict[str, Any]]) -> list[str]:
    """Return what commands that run side by side lack, in sentences."""
    from reproducible_ml.tracking.mongo import MONGO_VARIABLE, parse_mongo
    from reproducible_ml.tracking.sweep import missing_data

    lines = []
    if configs and request.mongo and parse_mongo(request.mongo).has_credentials:
        lines.append(f"The database's password is in no command; jobs need {MONGO_VARIABLE}.")
    for record_dir in sorted({one for one in map(missing_data, configs) if one is not None}):
        lines.append(f"{record_dir} holds no data set; run one command that writes it first.")
    return lines
