"""``reproducible-ml repair``: write the damaged shards of a data set again."""

from __future__ import annotations

import click

from reproducible_ml.utils.paths import complete_folder


@click.command()
@click.argument("record_dir", shell_complete=complete_folder)
def command(record_dir: str) -> None:
    """Write the damaged and missing shards of a data set again from their source.

    A shard that lies in the folder under another name is put back. A shard is replaced only by
    exactly the bytes that were written, or the command says why it can't be.
    """
    from reproducible_ml.datasets.serialize.checking import repair
    from reproducible_ml.models.exact import quiet_tensorflow

    quiet_tensorflow()
    repaired = repair(record_dir)
    for name in repaired:
        click.echo(f"{name}: is as it was written again")
    click.echo(f"{record_dir}: {len(repaired) or 'no'} files needed repair")
