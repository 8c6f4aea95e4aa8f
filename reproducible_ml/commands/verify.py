"""``reproducible-ml verify``: read a complete data set and name every defect."""

from __future__ import annotations

import click

from reproducible_ml.commands.layout import echo
from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import SHORT_DIGEST


@click.command()
@click.argument("record_dir", shell_complete=complete_folder)
@click.option("--bytes-only", is_flag=True, help="Don't check records against the schema.")
def command(record_dir: str, bytes_only: bool) -> None:
    """Read a complete data set and name every defect by shard, record and field.

    RECORD_DIR may also be a file that reproducible-ml pack has written: then each of its bytes is
    compared with its digests.

    Exits with 0 if everything is as it was written, otherwise with 1.
    """
    from reproducible_ml.datasets.serialize import read_manifest
    from reproducible_ml.datasets.serialize.checking import verify
    from reproducible_ml.models.exact import quiet_tensorflow
    from reproducible_ml.tracking.archive import is_archive

    if is_archive(record_dir):
        _verify_archive(record_dir)
        return
    quiet_tensorflow()
    defects = verify(record_dir, schema=not bytes_only)
    for defect in defects:
        echo(str(defect))
    if defects:
        count = "1 defect" if len(defects) == 1 else f"{len(defects)} defects"
        # Nothing can be repaired with a damaged manifest; its own message says what to do.
        hint = (
            f" Repair them: reproducible-ml repair {record_dir}" if _is_readable(record_dir) else ""
        )
        echo(f"{record_dir}: {count}.{hint}")
        raise SystemExit(1)
    manifest = read_manifest(record_dir)
    shards = sum(len(split.shards) for split in manifest.splits.values())
    records = ", ".join(f"{split.records:,} {name}" for name, split in manifest.splits.items())
    echo(
        f"{record_dir}: {shards} shards are as they were written ({records}); "
        f"fingerprint {manifest.fingerprint[:SHORT_DIGEST]}"
    )


def _verify_archive(path: str) -> None:
    from pathlib import Path

    from reproducible_ml.tracking.archive import check_archive
    from reproducible_ml.utils.errors import DataError
    from reproducible_ml.utils.text import counted, size

    try:
        listing = check_archive(Path(path).expanduser())
    except DataError as error:
        echo(str(error))
        raise SystemExit(1) from error
    files = listing["files"]
    total = size(sum(count for count, _ in files.values()))
    echo(
        f"{path}: {counted(len(files), 'file')} of run {listing['run']} ({total}) and all bytes "
        "between them are as they were packed."
    )


def _is_readable(record_dir: str) -> bool:
    from reproducible_ml.datasets.serialize import read_manifest
    from reproducible_ml.utils.errors import DataError

    try:
        read_manifest(record_dir)
    except DataError:
        return False
    return True
