"""``reproducible-ml repair``: rewrite the damaged shards of a data set."""

from __future__ import annotations

import click

from reproducible_ml.commands.layout import echo
from reproducible_ml.utils.paths import complete_folder


@click.command()
@click.argument("record_dir", shell_complete=complete_folder)
def command(record_dir: str) -> None:
    """Rewrite the damaged and missing shards of a data set from their source.

    A shard that is in the folder under another name is renamed back. Shards are only replaced by
    exactly the bytes that were first written; if this is impossible, the command says why.
    """
    from reproducible_ml.datasets.serialize.checking import repair
    from reproducible_ml.models.exact import quiet_tensorflow

    quiet_tensorflow()
    repaired = repair(record_dir)
    for name in repaired:
        echo(f"{name}: is again as it was written")
    echo(f"{record_dir}: {len(repaired) or 'no'} files needed repair")
