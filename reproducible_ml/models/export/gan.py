"""Export of a trained generator as a SavedModel, with a record of its origin.

The folder holds a SavedModel with the signature ``serving_default``, which maps ``latents``
[n, noise_dims] (and ``labels`` [n] for a class-conditional type) to ``images`` [n, h, w, c] in
[-1, 1], and ``provenance.json``. It is made under a temporary name beside its place, loaded again,
compared bit for bit with the samples of the checkpoint, and only then renamed. An export under its
final name is therefore complete and checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.models.exact import IDENTITY_FILE, read_identity
from reproducible_ml.models.export.folder import (
    Export,
    check_output,
    choose_checkpoint,
    new_export,
    write_provenance,
)
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import DataError


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
        DataError: There is no such checkpoint, or the export's samples differ.
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
    from reproducible_ml.models.gan import make_gan_estimator, result_digests

    recorded = result_digests(model_dir, step)
    image_shape = tuple(identity["data"]["image_shape"])
    classes = int(identity["data"].get("classes", 0))
    estimator = make_gan_estimator(model_dir, settings, image_shape, classes)
    inputs, images = draw_grid(estimator, settings, classes, str(prefix))
    with new_export(output, overwrite) as folder:
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
        same = None if recorded is None else recorded["samples"] == digest
        facts = {
            "run": None if run is None else dict(run),
            "data_fingerprint": identity["data"]["fingerprint"],
            "settings": identity["settings"],
            "signature": signature_of(settings, image_shape, classes),
            "samples": {
                "inputs": "reproducible_ml.models.gan.grid_inputs(seed, noise_dims, classes)",
                "count": len(images),
                "digest": digest,
                "same_as_run": same,
            },
            "determinism": asdict(settings.determinism),
        }
        write_provenance(folder, prefix, step, facts)
    return Export(output, step, same, digest)


def _identity_with_shape(model_dir: str | Path) -> dict[str, Any]:
    """Return the content of ``training.json``.

    Raises:
        DataError: It is missing, damaged, or does not state the images' shape.
    """
    identity = read_identity(model_dir)
    if "image_shape" not in identity["data"]:
        raise DataError(
            f"{Path(model_dir) / IDENTITY_FILE} does not state the shape of the images "
            "(data.image_shape). An Estimator of your own states none: export it where its code "
            "is, with export_dir in the configuration of stages.train or by export_estimator. If "
            "an older version wrote the file, add the shape as [height, width, channels]."
        )
    return identity
