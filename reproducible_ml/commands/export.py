"""``reproducible-ml export``: export a trained model as a SavedModel with its provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.completion import run_ids_and_folders
from reproducible_ml.commands.layout import echo, store_options
from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import SHORT_DIGEST

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Run


@click.command()
@click.argument("origin", metavar="ID|MODEL_DIR", shell_complete=run_ids_and_folders)
@store_options
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    shell_complete=complete_folder,
    help="Folder to create; default: exports/<name>.",
)
@click.option(
    "--step", type=click.IntRange(min=0), metavar="N", help="Checkpoint; default: the newest."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing export.")
def command(
    origin: str,
    folder: str | None,
    mongo: str | None,
    output: str | None,
    step: int | None,
    overwrite: bool,
) -> None:
    """Export the trained GAN of a run, or of a folder of checkpoints, as a SavedModel.

    It takes latents [n, noise_dims] and returns images [n, height, width, channels] in [-1, 1].
    tf.saved_model.load loads it without this project. provenance.json beside it records its origin.

    Only its own code can export an Estimator of your own: set export_dir, or call export_estimator.
    """
    from reproducible_ml.models.exact import quiet_tensorflow
    from reproducible_ml.models.export import check_output, choose_checkpoint, export_gan
    from reproducible_ml.tracking.runs import typed_id

    run = None
    if not isinstance(typed_id(origin), int) and (Path(origin).is_dir() or "/" in origin):
        model_dir = Path(origin)
    else:
        run, model_dir = _model_of(origin, folder, mongo)
    step, prefix = choose_checkpoint(model_dir, step)
    if run is not None:
        _check_unchanged(run, step, prefix)
    name = f"run-{run.id}" if run is not None else model_dir.resolve().name
    target = Path(output or f"exports/{name}-step-{step}")
    check_output(target, overwrite)
    quiet_tensorflow()
    done = export_gan(model_dir, target, step, overwrite, None if run is None else _facts(run))
    verdict = {
        True: "its samples are those that the training drew, bit for bit",
        False: "its samples are NOT those that the training drew (other machine or TensorFlow?)",
        None: "its samples are those of the checkpoint, bit for bit",
    }[done.same_as_run]
    echo(f"Step {done.step} exported to {output or target}; {verdict}.")


def _model_of(run_id: str, folder: str | None, mongo: str | None) -> tuple[Run, Path]:
    from reproducible_ml.tracking.runs import load_run, open_store
    from reproducible_ml.utils.errors import TrackingError

    with open_store(folder, mongo) as store:
        run = load_run(run_id, store)
    checkpoint = run.facts.get("checkpoint")
    if not checkpoint:
        raise TrackingError(
            f"Run {run.id} of {run.experiment or '-'} ({run.status}) recorded no checkpoint. "
            "Export a completed training, or name the folder of its checkpoints."
        )
    model_dir = Path(checkpoint["path"]).parent
    if not model_dir.is_dir():
        raise TrackingError(
            f"The checkpoints of run {run.id} were in {model_dir}, which no longer exists. Name "
            "the folder where they are now."
        )
    return run, model_dir


def _check_unchanged(run: Run, step: int, prefix: Path) -> None:
    """Refuse a recorded checkpoint whose files have changed."""
    from reproducible_ml.utils.digests import checkpoint_files
    from reproducible_ml.utils.errors import DataError

    recorded = run.facts["checkpoint"]
    # The files of only one checkpoint are recorded.
    if recorded["step"] != step:
        return
    found = checkpoint_files(prefix)
    for name, facts in recorded["files"].items():
        if found.get(name) != facts:
            raise DataError(
                f"{prefix.parent / name} is not the file that run {run.id} recorded: SHA-256 "
                f"{str((found.get(name) or {}).get('sha256'))[:SHORT_DIGEST]}, recorded "
                f"{facts['sha256'][:SHORT_DIGEST]}. Another training wrote to this folder, or the "
                f"file is damaged; name the folder ({prefix.parent}) to export it as it is."
            )


def _facts(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "experiment": run.experiment,
        "status": run.status,
        "started": None if run.started is None else run.started.isoformat(),
        "digest": run.facts.get("digest"),
        "git_commit": run.git_commit,
        "dirty": run.dirty,
        "config": run.config,
        "data": run.facts.get("dataset"),
    }
