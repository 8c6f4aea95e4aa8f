"""The stages that experiments consist of: what each does, and what it leaves in the run.

A stage takes the running Sacred run and its configuration, calls the library, and records: the data
set's fingerprint, the stage it builds on, metrics with their true step, sample grids, the
checkpoint and the digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import read_manifest, serialize_source
from reproducible_ml.datasets.sources import Source, make_source
from reproducible_ml.models.determinism import (
    Determinism,
    probe_digest,
    quiet_tensorflow,
    set_environment,
)
from reproducible_ml.models.settings import Cadence, GANSettings
from reproducible_ml.models.step_log import STEPS_FILE, TENSORS_FILE
from reproducible_ml.models.training import TrainingResult, Watcher, train_gan
from reproducible_ml.tracking import record
from reproducible_ml.tracking.seal import record_stage, seal_run

_MANIFEST = "dataset.json"
# What says where a source's rows lie; and with them, what a source takes.
_SOURCE_PATHS = ("npz_file", "image_dir")
_SOURCE_KEYS = (*_SOURCE_PATHS, "image_shape")


def serialize_stage(
    run: Any, config: Mapping[str, Any], source: Source | None = None
) -> dict[str, Any]:
    """Write a data set.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_serialize``; those that name the source are not
            needed when it is given.
        source: Where the rows come from; None: the source that the configuration names.

    Returns:
        The run's result: records by split, and the fingerprint.
    """
    quiet_tensorflow()
    record_stage(run, inputs=_SOURCE_PATHS, outputs=("record_dir",))
    if source is None:
        source = make_source(config["source"], **{key: config[key] for key in _SOURCE_KEYS})
    manifest = serialize_source(
        source,
        config["record_dir"],
        record_pattern=config["record_pattern"],
        samples_per_record=config["samples_per_record"],
        compression=config["compression"],
        overwrite=config["overwrite"],
        workers=config["workers"],
    )
    record.record_dataset(run, "records", manifest)
    record.record_digest(run, {"data": manifest.fingerprint})
    seal_run(run, {})
    records = {name: split.records for name, split in manifest.splits.items()}
    print(f"{sum(records.values()):,} records in {config['record_dir']}")
    return {"records": records, "fingerprint": manifest.fingerprint}


def gan_stage(run: Any, config: Mapping[str, Any], serialize: Any) -> dict[str, Any]:
    """Train a GAN, after serializing its data set when there is none yet.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_wgan``; those that name the source may be missing
            when ``serialize`` does without them.
        serialize: The Sacred experiment that writes ``record_dir``.

    Returns:
        The run's result: last step, losses and digests.
    """
    determinism = _pick(Determinism, config)
    # Before the serialization below, which may load TensorFlow.
    set_environment(determinism)
    settings = GANSettings(determinism=determinism, **_values(GANSettings, config))
    cadence = _pick(Cadence, config)
    from reproducible_ml.models.gan_types import gan_type_row

    # What can't work is refused before anything is written.
    gan_type_row(settings.gan_type)
    # What the configuration leaves open comes from the type's row, which may change one day.
    run.info["settings"] = asdict(settings)
    record_dir = Path(config["record_dir"])
    if (record_dir / _MANIFEST).exists():
        record.record_upstream(run, serialize.path, read_manifest(record_dir).fingerprint)
    else:
        source = {key: config[key] for key in ("source", *_SOURCE_KEYS) if key in config}
        print(f"{record_dir} holds no data set yet: {serialize.path} writes it first.")
        record.run_stage(run, serialize, **source, record_dir=str(record_dir))
    manifest = read_manifest(record_dir)
    record.record_dataset(run, "records", manifest)

    model_dir = Path(config["model_dir"] or f"models/{run.experiment_info['name']}-{run._id}")
    inputs = ("record_dir", "classifier_dir", *_SOURCE_PATHS)
    record_stage(run, inputs=inputs, outputs=("model_dir",))
    watcher = _RunWatcher(run)
    result = train_gan(
        record_dir,
        model_dir,
        settings,
        cadence,
        watcher=watcher,
        allow_changed=config["allow_changed"],
        classifier_dir=config.get("classifier_dir"),
    )
    record.record_checkpoint(run, result.checkpoint, result.step)
    record.record_digest(run, result.digests)
    # After training: the probe must not be the first to start TensorFlow's threads.
    probes = [probe_digest(), probe_digest()]
    measured = {"probe": probes[0], "probe_repeats": probes[0] == probes[1]}
    record.record_determinism(run, {**determinism.as_dict(), **measured})
    for name in (STEPS_FILE, TENSORS_FILE):
        run.add_artifact(str(model_dir / name), name=name, content_type="application/octet-stream")
    seal_run(run, watcher.points)
    _say_where(result, record_dir)
    return {
        "step": result.step,
        "generator_loss": result.generator_loss,
        "critic_loss": result.critic_loss,
        "digest": result.digests["run"],
    }


class _RunWatcher(Watcher):
    """Hands points and grids to the Sacred run."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.points: dict[str, list[tuple[int, float]]] = {}

    def scalar(self, name: str, value: float, step: int) -> None:
        self.points.setdefault(name, []).append((step, value))
        record.record_scalar(self._run, name, value, step)

    def grid(self, path: Path, step: int) -> None:
        record.record_image(self._run, path, f"samples-{step:08d}.png", step)


def _say_where(result: TrainingResult, record_dir: Path) -> None:
    print(f"Step {result.step}, digest {result.digests['run'][:16]}")
    print(f"Sample grid: {result.grid}")
    print(f"Checkpoint:  {result.checkpoint}")
    print(f"Records:     {record_dir}")


def _values(settings: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(settings)}
    return {name: config[name] for name in names if name in config}


def _pick(settings: Any, config: Mapping[str, Any]) -> Any:
    return settings(**_values(settings, config))
