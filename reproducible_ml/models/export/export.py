"""Export of a trained generator as a SavedModel, with a record of its origin.

The folder holds a SavedModel with the signature ``serving_default``, which maps ``latents``
[n, noise_dims] (and ``labels`` [n] for a class-conditional type) to ``images`` [n, h, w, c] in
[-1, 1], and ``provenance.json``. It is made under a temporary name beside its place, loaded again,
compared bit for bit with the samples of the checkpoint, and only then renamed. An export under its
final name is therefore complete and checked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import reproducible_ml
from reproducible_ml.models.exact import IDENTITY_FILE, read_identity
from reproducible_ml.utils.digests import array_digest, combined_digest, file_digest
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
        same_as_run: Whether its samples have the digest that the training recorded; None if the
            training recorded no digest for this step.
    """

    path: Path
    step: int
    same_as_run: bool | None


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
            f"There is no folder {model_dir}. Name the folder to which a training wrote its "
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


def checkpoint_files(prefix: Path) -> dict[str, dict[str, Any]]:
    """Return the size and the SHA-256 of a checkpoint's files, by name."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(prefix.parent.glob(glob_safe(prefix.name) + ".*"))
    }


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


def export_gan(
    model_dir: str | Path,
    output: str | Path,
    step: int | None = None,
    overwrite: bool = False,
    run: Mapping[str, Any] | None = None,
) -> Export:
    """Export the generator of a training.

    Call it in a process that has not used TensorFlow yet: it sets the training's threads and
    kernels, without which equal samples can't be expected.

    Args:
        model_dir: Folder of the training's checkpoints.
        output: Folder to create.
        step: Step of the checkpoint; None for the newest.
        overwrite: Replace an existing export.
        run: Facts about the recorded run, for the entry ``run`` of the provenance.

    Returns:
        The export, with whether it draws what the training drew.

    Raises:
        ConfigError: ``output`` is taken, or TensorFlow's threads can no longer be set.
        DataError: There is no such checkpoint, or the export draws other samples.
    """
    output = Path(os.path.abspath(output))
    check_output(output, overwrite)
    step, prefix = choose_checkpoint(model_dir, step)
    identity = _identity_with_shape(model_dir)

    from reproducible_ml.models.exact import apply_determinism
    from reproducible_ml.models.gan import settings_from

    settings = settings_from(identity["settings"])
    apply_determinism(settings.determinism, settings.seed)

    from reproducible_ml.models.export.saved_generator import (
        draw_grid,
        draw_loaded,
        save_generator,
        signature_of,
    )
    from reproducible_ml.models.gan import make_gan_estimator

    image_shape = tuple(identity["data"]["image_shape"])
    classes = int(identity["data"].get("classes", 0))
    estimator = make_gan_estimator(model_dir, settings, image_shape, classes)
    inputs, images = draw_grid(estimator, settings, classes, str(prefix))
    with ExitStack() as stack:
        stack.enter_context(writing(f"The export {output}", output.parent, "export it again"))
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.exporting-", dir=output.parent))
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        folder = staging / output.name
        save_generator(estimator, settings, classes, str(prefix), folder)
        loaded = draw_loaded(folder, inputs)
        if not np.array_equal(loaded, images):
            raise DataError(
                f"The exported model draws other samples than the checkpoint {prefix}: the largest "
                f"difference is {np.abs(loaded - images).max():g}. Nothing was exported."
            )
        digest = combined_digest(
            {
                **{name: array_digest(value) for name, value in inputs.items()},
                "pixels": array_digest(images),
            }
        )
        recorded = _recorded_digest(model_dir, step)
        same = None if recorded is None else recorded == digest
        provenance = {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "run": None if run is None else dict(run),
            "data_fingerprint": identity["data"]["fingerprint"],
            "settings": identity["settings"],
            "checkpoint": {
                "path": os.path.abspath(prefix),
                "step": step,
                "files": checkpoint_files(prefix),
            },
            "signature": signature_of(settings, image_shape, classes),
            "samples": {
                "inputs": "reproducible_ml.models.gan.grid_inputs(seed, noise_dims, classes)",
                "count": len(images),
                "digest": digest,
                "same_as_run": same,
            },
            "determinism": asdict(settings.determinism),
            **_versions(),
            "files": {
                path.relative_to(folder).as_posix(): file_digest(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        text = json.dumps(provenance, indent=1, sort_keys=True)
        (folder / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")
        # Another export may have appeared in the meantime.
        check_output(output, overwrite)
        _put_in_place(folder, output, staging)
    return Export(output, step, same)


def _identity_with_shape(model_dir: str | Path) -> dict[str, Any]:
    """Return the content of ``training.json``.

    Raises:
        DataError: It is missing, damaged, or by an old version that did not record the images'
            shape.
    """
    identity = read_identity(model_dir)
    if "image_shape" not in identity["data"]:
        raise DataError(
            f"{Path(model_dir) / IDENTITY_FILE} does not state the shape of the images "
            "(data.image_shape), because an older version wrote it. Train again, or add it as "
            "[height, width, channels]."
        )
    return identity


def _recorded_digest(model_dir: str | Path, step: int) -> str | None:
    """Return the digest of the samples that the training drew at this step."""
    try:
        result = json.loads((Path(model_dir) / "result.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return str(result["digests"]["samples"]) if result.get("step") == step else None


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
