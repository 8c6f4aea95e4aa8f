"""``reproducible-ml pack``: write a run, its data and its wheels into one file."""

from __future__ import annotations

import click

from reproducible_ml.utils.paths import complete_folder


@click.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "-F",
    "--file_storage",
    "folder",
    metavar="DIR",
    shell_complete=complete_folder,
    help="Folder of runs; default: runs.",
)
@click.option(
    "-m", "--mongo_db", "mongo", metavar="DB", help="Refused: pack takes runs from a folder."
)
@click.option("-o", "--output", metavar="FILE", help="File to write; default: run-ID.zip.")
@click.option("--data", is_flag=True, help="Pack the files and data sets that the run read.")
@click.option(
    "--wheels", is_flag=True, help="Pack every package of the record, for use without an index."
)
def command(
    run_id: str,
    folder: str | None,
    mongo: str | None,
    output: str | None,
    data: bool,
    wheels: bool,
) -> None:
    """Write a run into one file, from which it can be executed elsewhere.

    The file holds the record with its sources, those of the runs that it builds on, and the list of
    packages. It is a Process Run Crate: a ZIP with ro-crate-metadata.json. SHA-256 digests cover
    each of its bytes. There:

    \b
      reproducible-ml verify run-7.zip
      reproducible-ml reproduce run-7.zip
      reproducible-ml reproduce run-7.zip --environment recorded
    """  # noqa: D301 (click reads the backspace)
    from pathlib import Path

    from reproducible_ml.tracking.archive.contents import pack_run
    from reproducible_ml.tracking.runs import DEFAULT_FOLDER, typed_id
    from reproducible_ml.utils.errors import ConfigError
    from reproducible_ml.utils.text import counted, neutral, size

    if mongo is not None:
        raise ConfigError(
            "pack takes runs from a folder: -F DIR. A run recorded with -m lies in one, "
            "too: in runs, where it was recorded."
        )

    def echo(line: str) -> None:
        click.echo(neutral(line))

    place = Path(folder or DEFAULT_FOLDER).expanduser()
    path = Path(output or f"run-{run_id}.zip").expanduser()
    packed = pack_run(typed_id(run_id), place, path, data, wheels, echo)
    earlier = [str(one) for one in packed.runs[1:]]
    builds = f" and run {', '.join(earlier)}, on which it builds," if earlier else ""
    echo(
        f"Packed run {run_id}{builds} into {path}: {counted(packed.files, 'file')}, "
        f"{size(packed.size)}."
    )
    for key, at in packed.data.items():
        echo(f"  {key}: {at}")
    for stage in packed.without:
        echo(f"A run of {stage}, on which it builds, is not recorded here.")
    upstream = "" if data or not earlier else " --upstream"
    if not data:
        makes = ", and --upstream makes it again" if earlier else ""
        echo(f"What it read is not in the file: pack it with --data{makes}.")
    echo(f"Execute it elsewhere: reproducible-ml reproduce {path.name}{upstream}")
