"""Parts that the stages share: settings from a configuration, the data set, points, the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import count
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
from reproducible_ml.utils.errors import ConfigError

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
    """Make the folder of a run's model if its configuration names none.

    It is new and this run's alone: ``models/<experiment>-<run id>``. If there is such a folder
    already, from another folder of runs or a run that was deleted, "-2" and so on is appended, so
    that no run continues another's weights unasked.

    Raises:
        ConfigError: The folder can't be made.
    """
    number = "unrecorded" if run._id is None else run._id
    first = Path("models", f"{run.experiment_info['name']}-{number}")
    for attempt in count(1):
        folder = first if attempt == 1 else first.with_name(f"{first.name}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            # A "models" that is a file raises this, too.
            if folder.parent.is_dir():
                continue
            raise ConfigError(_no_place(folder, f"{folder.parent} is no folder")) from None
        except OSError as error:
            raise ConfigError(_no_place(folder, str(error.strerror))) from error
        if folder != first:
            print(f"{first} is left from another run, so this one writes {folder}.")
        return folder
    raise AssertionError("unreachable")


def _no_place(folder: Path, reason: str) -> str:
    return (
        f"The run's own folder {folder} can't be made: {reason}. Start it in a folder that can be "
        "written, or name a place in its configuration."
    )


def record_probe(run: Any, determinism: Determinism) -> None:
    """Record the determinism settings, and a probe of how this machine computes.

    Call it at the end, since the probe must not be the first to start TensorFlow's threads.
    """
    probes = [probe_digest(), probe_digest()]
    measured = {"probe": probes[0], "probe_repeats": probes[0] == probes[1]}
    record_determinism(run, {**determinism.as_dict(), **measured})
