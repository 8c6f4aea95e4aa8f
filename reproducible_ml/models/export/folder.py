"""The folder of an export: its checkpoint, its place, and the record of its origin.

It is made under a temporary name beside its place and renamed when it is complete, so an export
under its final name has been checked. ``provenance.json`` is its last file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.utils.digests import checkpoint_files, file_digest
from reproducible_ml.utils.disk import writing
from reproducible_ml.utils.environment import describe_environment
from reproducible_ml.utils.errors import ConfigError, DataError

PROVENANCE_FILE = "provenance.json"
FORMAT_NAME = "reproducible-ml export"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Export:
    """A finished export.

    Attributes:
        path: Folder of the export.
        step: Step of the checkpoint.
        same_as_run: Whether its outputs have the digest that the training recorded; None if the
            training recorded no digest for this step.
        digest: Digest of the inputs and outputs that were compared.
    """

    path: Path
    step: int
    same_as_run: bool | None
    digest: str


def kept_checkpoints(model_dir: str | Path) -> dict[int, Path]:
    """Return the checkpoints in a folder: step -> prefix, oldest first."""
    found = {}
    for index in Path(model_dir).glob("model.ckpt-*.index"):
        step = re.fullmatch(r"model\.ckpt-(\d+)\.index", index.name)
        # An index without its data is left when TensorFlow is killed while it writes or deletes.
        if step and list(index.parent.glob(f"{glob_safe(index.stem)}.data-*")):
            found[int(step.group(1))] = index.with_suffix("")
    return dict(sorted(found.items()))


def glob_safe(name: str) -> str:
    """Return a file name as a glob pattern that matches only this name."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def choose_checkpoint(model_dir: str | Path, step: int | None) -> tuple[int, Path]:
    """Return the step and the prefix of a checkpoint.

    Args:
        model_dir: Folder of the checkpoints.
        step: Step of the checkpoint; None for the newest.

    Raises:
        DataError: There is no checkpoint, or none of this step; the message lists the others.
    """
    if not Path(model_dir).is_dir():
        raise DataError(
            f"There is no folder {model_dir}. Name the folder where a training wrote its "
            "checkpoints (model_dir in its configuration)."
        )
    kept = kept_checkpoints(model_dir)
    if not kept:
        raise DataError(
            f"{model_dir} holds no checkpoint. Train first: "
            f"python -m experiments.mnist_wgan with model_dir={model_dir}"
        )
    if step is None:
        step = max(kept)
    if step not in kept:
        raise DataError(
            f"{model_dir} holds no checkpoint of step {step}, only of {', '.join(map(str, kept))}. "
            "Choose one of them with --step."
        )
    return step, kept[step]


def check_output(output: str | Path, overwrite: bool) -> None:
    """Refuse a place that can't take an export.

    Raises:
        ConfigError: There is a file, a folder with other files, or an export that must stay.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ConfigError(
            f"{output} is a file, but an export is a folder. Choose another --output."
        )
    if not output.exists() or not any(output.iterdir()):
        return
    if not (output / PROVENANCE_FILE).is_file():
        raise ConfigError(
            f"{output} holds files but no export ({PROVENANCE_FILE} is missing). Choose another "
            "--output."
        )
    if not overwrite:
        raise ConfigError(
            f"{output} already holds an export. Replace it with --overwrite, or choose another "
            "--output."
        )


def is_export_of(output: str | Path, model_dir: str | Path) -> bool:
    """Tell whether a folder is an export of one of a training's checkpoints."""
    try:
        text = Path(output, PROVENANCE_FILE).read_text(encoding="utf-8")
        prefix = json.loads(text)["checkpoint"]["path"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return Path(prefix).parent == Path(os.path.abspath(model_dir))


@contextmanager
def new_export(output: Path, overwrite: bool) -> Iterator[Path]:
    """Make an export: yield the folder to fill, and put it in its place when the block ends.

    Args:
        output: Its place, absolute.
        overwrite: Replace an existing export.
    """
    with ExitStack() as stack:
        stack.enter_context(writing(f"The export {output}", output.parent, "export it again"))
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.exporting-", dir=output.parent))
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        folder = staging / output.name
        yield folder
        # Another export may have appeared in the meantime.
        check_output(output, overwrite)
        _put_in_place(folder, output, staging)


def write_provenance(folder: Path, prefix: Path, step: int, facts: Mapping[str, Any]) -> None:
    """Write the record of an export's origin, as its last file.

    Args:
        folder: Folder of the export.
        prefix: Prefix of its checkpoint.
        step: Step of the checkpoint.
        facts: What is known of the rest, by name.
    """
    provenance = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "checkpoint": {
            "path": os.path.abspath(prefix),
            "step": step,
            "files": checkpoint_files(prefix),
        },
        **_versions(),
        **facts,
        "files": {
            path.relative_to(folder).as_posix(): file_digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    text = json.dumps(provenance, indent=1, sort_keys=True)
    (folder / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")


def _versions() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "library_version": reproducible_ml.__version__,
        "tensorflow_version": tf.__version__,
        "environment": {
            name: value
            for name, value in describe_environment().items()
            if name in ("python", "os", "cpu", "variables")
        },
    }


def _put_in_place(folder: Path, output: Path, staging: Path) -> None:
    before = staging / "before"
    if output.exists():
        os.rename(output, before)
    try:
        os.rename(folder, output)
    except BaseException:
        # The caller removes the staging folder, so the old export must leave it first.
        if before.exists():
            os.rename(before, output)
        raise
