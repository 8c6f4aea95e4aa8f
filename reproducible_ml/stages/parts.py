"""Parts that the stages share: settings from a configuration, the data set, points, the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import Manifest, read_manifest
from reproducible_ml.models.exact import Determinism, probe_digest
from reproducible_ml.stages.data_choice import check_place, check_source, source_config
from reproducible_ml.stages.data_choice import source_inputs as source_inputs
from reproducible_ml.tracking.recording import (
    record_dataset,
    record_determinism,
    record_scalar,
    record_upstream,
    run_stage,
)

_MANIFEST = "dataset.json"


class Points:
    """Records points in the run and keeps them for its seal.

    Attributes:
        points: Metric -> its steps and values.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self.points: dict[str, list[tuple[int, float]]] = {}

    def scalar(self, name: str, value: float, step: int) -> None:
        """Add a point."""
        self.points.setdefault(name, []).append((step, value))
        record_scalar(self._run, name, value, step)


def values_of(settings: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values of a configuration for which a settings class has fields."""
    names = {field.name for field in fields(settings)}
    return {name: config[name] for name in names if name in config}


def has_data(config: Mapping[str, Any]) -> bool:
    """Tell whether the data set of a configuration exists."""
    return (Path(config["record_dir"]) / _MANIFEST).exists()


def need_data(run: Any, config: Mapping[str, Any], serialize: Any) -> Manifest:
    """Serialize the data set if there is none yet; record it and the stage that wrote it.

    Args:
        run: The running Sacred run.
        config: ``record_dir``, and the source with its arguments as ``serialize`` takes them.
        serialize: The Sacred experiment that writes ``record_dir``.

    Raises:
        ConfigError: A source was asked for that is not that of ``record_dir``.
    """
    record_dir = Path(config["record_dir"])
    if has_data(config):
        manifest = read_manifest(record_dir)
        check_source(run, config, manifest)
        record_upstream(run, serialize.path, manifest.fingerprint)
    else:
        check_place(run, config)
        source = source_config(config, serialize)
        print(f"{record_dir} holds no data set yet: {serialize.path} writes it first.")
        run_stage(run, serialize, **source, record_dir=str(record_dir))
    manifest = read_manifest(record_dir)
    record_dataset(run, "records", manifest)
    return manifest


def default_dir(run: Any) -> Path:
    """Return the folder of a run's model if its configuration names none."""
    return Path(f"models/{run.experiment_info['name']}-{run._id}")


def record_probe(run: Any, determinism: Determinism) -> None:
    """Record the determinism settings, and a probe of how this machine computes.

    Call it at the end, since the probe must not be the first to start TensorFlow's threads.
    """
    probes = [probe_digest(), probe_digest()]
    measured = {"probe": probes[0], "probe_repeats": probes[0] == probes[1]}
    record_determinism(run, {**determinism.as_dict(), **measured})
