"""``reproducible-ml copy``: copy runs into another folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reproducible_ml.commands.layout import NEVER, echo, store_options
from reproducible_ml.utils.paths import complete_folder

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import RunId, Store


@click.command()
@click.argument("run_ids", nargs=-1, required=True, metavar="ID...")
@click.argument("dest", metavar="DEST", shell_complete=complete_folder)
@store_options(variable=NEVER)
@click.option("--allow-altered", is_flag=True, help="Copy a run that was altered after its end.")
def command(
    run_ids: tuple[str, ...],
    dest: str,
    folder: str | None,
    mongo: str | None,
    allow_altered: bool,
) -> None:
    """Copy runs into DEST, another folder of runs.

    A copy has everything that comparing and reproducing it needs: journal, metrics, output,
    artifacts, source files and resources. Its seal is verified. If DEST has another run of that id,
    the copy gets a new one; nothing is overwritten. Checkpoints and data sets are no part of a run.
    """
    from reproducible_ml.tracking.runs import DEFAULT_FOLDER, open_store, typed_id
    from reproducible_ml.utils.errors import ConfigError

    if mongo is not None:
        raise ConfigError(
            "copy takes runs from a folder: -F DIR. A run in a database is read there: show, "
            "compare, report and reproduce take -m."
        )
    place = Path(folder or DEFAULT_FOLDER).expanduser()
    with open_store(folder=place) as store:
        for run_id in run_ids:
            _copy(store, place, typed_id(run_id), Path(dest).expanduser(), allow_altered)


def _copy(store: Store, place: Path, run_id: RunId, target: Path, allow_altered: bool) -> None:
    from reproducible_ml.tracking.runs import RUNNING, copy_run, load_run, open_store
    from reproducible_ml.utils.errors import TrackingError

    run = load_run(run_id, store)
    directory = place / str(run_id)
    places = (target.resolve(), *target.resolve().parents)
    if target.resolve() == place.resolve() or directory.resolve() in places:
        raise TrackingError(f"{target} holds run {run_id} already; name another folder of runs.")
    if run.status == RUNNING:
        raise TrackingError(f"Run {run_id} is still being written; copy it when it has ended.")
    _check_seal(store, run_id, allow_altered, "Restore it from a backup, or copy it as it is")
    copy, is_new = copy_run(directory, target)
    if not is_new:
        echo(f"Run {run_id} is in {target} already: {copy}; nothing was copied.")
        return
    with open_store(folder=target) as other:
        _check_seal(other, copy.name, allow_altered, "Copy it again, or leave it as it is")
    said = "" if copy.name == str(run_id) else f", since {target} has another run {run_id}"
    echo(f"Run {run_id} copied to {copy}{said}.")
    for one in run.facts.get("upstream") or ():
        if one.get("run_id") is not None:
            echo(f"It builds on run {one['run_id']} of {one.get('stage')}: copy that, too.")


def _check_seal(store: Store, run_id: RunId, allow_altered: bool, advice: str) -> None:
    """Refuse a run that isn't what it was at its end."""
    from reproducible_ml.tracking.recording import broken_parts, seal_of
    from reproducible_ml.tracking.runs import load_run
    from reproducible_ml.utils.errors import TrackingError

    run = load_run(run_id, store)
    seal = run.facts.get("seal")
    broken = broken_parts(seal, seal_of(run)) if seal else []
    if broken and not allow_altered:
        raise TrackingError(
            f"The record of run {run_id} in {store.shown} was altered after the run: "
            f"{', '.join(broken)}. {advice}: --allow-altered."
        )
