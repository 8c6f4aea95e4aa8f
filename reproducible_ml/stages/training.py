"""Stage that trains a GAN and records its metrics, sample grids, checkpoint and digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from reproducible_ml.models.evaluation import DESCRIPTION_FILE
from reproducible_ml.models.exact import (
    MIRRORED,
    MULTI_WORKER,
    STEPS_FILE,
    TENSORS_FILE,
    Determinism,
    Task,
    read_task,
    refuse_cluster,
    set_environment,
)
from reproducible_ml.models.gan import (
    Cadence,
    GANSettings,
    TrainingResult,
    Watcher,
    follow_training,
    train_gan,
)
from reproducible_ml.stages.origins import record_origin
from reproducible_ml.stages.own_gan import OwnGAN, train_own_gan
from reproducible_ml.stages.parts import (
    Points,
    default_dir,
    has_data,
    need_data,
    record_probe,
    source_inputs,
    values_of,
)
from reproducible_ml.tracking.recording import (
    record_checkpoint,
    record_digest,
    record_image,
    record_stage,
    seal_run,
)
from reproducible_ml.tracking.runs import record_model_dir
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.text import SHORT_DIGEST


def gan_stage(run: Any, config: Mapping[str, Any], serialize: Any, **own: Any) -> dict[str, Any]:
    """Train a GAN; serialize its data set first if there is none yet.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_wgan``; those that name the source may be missing
            if ``serialize`` does not need them.
        serialize: The Sacred experiment that writes ``record_dir``.
        **own: Networks, losses and optimizers as functions of your own in place of the GAN type's,
            or a whole estimator: the fields of ``stages.own_gan.OwnGAN``.

    Returns:
        The run's result: last step, losses and digests.

    Raises:
        ConfigError: A setting is invalid, or ``model_dir`` belongs to another training.
        DataError: The data set is missing or damaged.
        TrainingDiverged: A loss is not finite.
    """
    if own:
        return train_own_gan(run, config, serialize, OwnGAN(**own))
    determinism = Determinism(**values_of(Determinism, config))
    # Serialization may load TensorFlow, which reads the environment when it is imported.
    set_environment(determinism)
    settings = GANSettings(determinism=determinism, **values_of(GANSettings, config))
    cadence = Cadence(**values_of(Cadence, config))
    # Invalid settings are refused before anything is written.
    refuse_cluster(settings.strategy)
    if settings.strategy == MULTI_WORKER:
        task = _join_cluster(settings, config, serialize)
        if not task.is_chief:
            follow_training(config["record_dir"], config["model_dir"], settings, cadence.max_steps)
            print(f"Worker {task.index} is done; the record is the chief's, {task.addresses[0]}.")
            return {"worker": task.index}
    # All settings, since those without a configuration key may get other defaults one day.
    run.info["settings"] = asdict(settings)
    manifest = need_data(run, config, serialize)
    record_dir = Path(config["record_dir"])
    model_dir = Path(config["model_dir"] or default_dir(run))
    inputs = (
        "record_dir",
        "classifier_dir",
        *source_inputs(config, manifest.source),
    )
    # Reproduced on one machine, as many mirrored devices as workers give the same bits.
    again = {"strategy": MIRRORED} if settings.strategy == MULTI_WORKER else {}
    record_stage(run, inputs=inputs, outputs=("model_dir",), again=again)
    record_model_dir(run, model_dir)
    watcher = _RunWatcher(run, config.get("classifier_dir"))
    result = train_gan(
        record_dir,
        model_dir,
        settings,
        cadence,
        watcher=watcher,
        allow_changed=config["allow_changed"],
        judge=_judge(config.get("classifier_dir")),
    )
    record_checkpoint(run, result.checkpoint, result.step)
    record_digest(run, result.digests)
    record_probe(run, determinism)
    for name in (STEPS_FILE, TENSORS_FILE):
        run.add_artifact(str(model_dir / name), name=name, content_type="application/octet-stream")
    seal_run(run, watcher.points)
    _say_where(result, record_dir)
    return {
        "step": result.step,
        **result.losses,
        "digest": result.digests["run"],
    }


def _judge(classifier_dir: str | None) -> Any:
    """Return what evaluates samples during training; None without a classifier."""
    if classifier_dir is None:
        return None
    from reproducible_ml.models.evaluation import evaluate_small

    return partial(evaluate_small, classifier_dir=classifier_dir)


def _join_cluster(settings: GANSettings, config: Mapping[str, Any], serialize: Any) -> Task:
    """Check what several workers need before any of them starts."""
    task = read_task(settings.replicas)
    if config["model_dir"] is None:
        raise ConfigError(
            f"strategy={MULTI_WORKER!r} needs model_dir: one folder that every worker sees."
        )
    if not has_data(config):
        raise ConfigError(
            f"{config['record_dir']} holds no data set, and no worker writes it while others "
            f"wait. Serialize it first: python -m {serialize.origin.module} with "
            f"record_dir={config['record_dir']}"
        )
    print(
        f"Worker {task.index} of {len(task.addresses)}: starts when all of "
        f"{', '.join(task.addresses)} are there."
    )
    return task


class _RunWatcher(Points, Watcher):
    """Passes points, grids and the basis of the figures on to the Sacred run."""

    def __init__(self, run: Any, classifier_dir: str | None) -> None:
        super().__init__(run)
        self._classifier_dir = classifier_dir

    def grid(self, path: Path, step: int) -> None:
        record_image(self._run, path, f"samples-{step:08d}.png", step)

    def judged_by(self, basis: Mapping[str, Any]) -> None:
        assert self._classifier_dir is not None
        folder = Path(self._classifier_dir)
        # Recorded once, since N, split, layer and classifier are the same for every point.
        self._run.info["small_evaluation"] = dict(basis)
        record_origin(self._run, "classifier_dir", folder, "weights", basis["classifier"])
        self._run.add_resource(str(folder / DESCRIPTION_FILE))


def _say_where(result: TrainingResult, record_dir: Path) -> None:
    print(f"Step {result.step}, digest {result.digests['run'][:SHORT_DIGEST]}")
    print(f"Sample grid: {result.grid}")
    print(f"Checkpoint:  {result.checkpoint}")
    print(f"Records:     {record_dir}")
