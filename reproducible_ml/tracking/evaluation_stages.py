"""The stages that judge a GAN: training of a classifier, and the figures of a trained GAN.

They record as the stages in ``stages`` do; what the figures rest on stands beside every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.models.classifier_training import ClassifierSettings, train_classifier
from reproducible_ml.models.determinism import Determinism, probe_digest, set_environment
from reproducible_ml.tracking import record
from reproducible_ml.tracking.seal import record_stage, seal_run

_MANIFEST = "dataset.json"
_SOURCE_PATHS = ("npz_file", "image_dir")
_SOURCE_KEYS = (*_SOURCE_PATHS, "image_shape")


def classifier_stage(run: Any, config: Mapping[str, Any], serialize: Any) -> dict[str, Any]:
    """Train a classifier, after serializing its data set when there is none yet.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_classifier``.
        serialize: The Sacred experiment that writes ``record_dir``.

    Returns:
        The run's result: steps, last loss, accuracies and digest.
    """
    determinism = Determinism(**_values(Determinism, config))
    # Before the serialization below, which may load TensorFlow.
    set_environment(determinism)
    settings = ClassifierSettings(determinism=determinism, **_values(ClassifierSettings, config))
    record_dir = Path(config["record_dir"])
    if (record_dir / _MANIFEST).exists():
        record.record_upstream(run, serialize.path, read_manifest(record_dir).fingerprint)
    else:
        print(f"{record_dir} holds no data set yet: serializing {config['source']} first.")
        record.run_stage(
            run,
            serialize,
            source=config["source"],
            **{key: config[key] for key in _SOURCE_KEYS},
            record_dir=str(record_dir),
        )
    record.record_dataset(run, "records", read_manifest(record_dir))

    default = f"models/{run.experiment_info['name']}-{run._id}"
    classifier_dir = Path(config["classifier_dir"] or default)
    record_stage(run, inputs=("record_dir", *_SOURCE_PATHS), outputs=("classifier_dir",))
    points = _Points(run)
    result = train_classifier(
        record_dir, classifier_dir, settings, config["log_every_steps"], points.add
    )
    points.add("accuracy", result.accuracy, result.step)
    points.add("eval_accuracy", result.eval_accuracy, result.step)
    record.record_checkpoint(run, result.checkpoint, result.step)
    record.record_digest(run, result.digests)
    _record_determinism(run, determinism)
    seal_run(run, points.points)
    print(f"Accuracy:   {result.accuracy:.2%} of the test split")
    print(f"Classifier: {classifier_dir}, digest {result.digests['weights'][:16]}")
    return {
        "step": result.step,
        "loss": result.loss,
        "accuracy": result.accuracy,
        "eval_accuracy": result.eval_accuracy,
        "classifier": result.digests["weights"],
        "digest": result.digests["run"],
    }


class _Points:
    """Logs points to the run and keeps them for the seal."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.points: dict[str, list[tuple[int, float]]] = {}

    def add(self, name: str, value: float, step: int) -> None:
        self.points.setdefault(name, []).append((step, value))
        record.record_scalar(self._run, name, value, step)


def _record_determinism(run: Any, determinism: Determinism) -> None:
    # At the end: the probe must not be the first to start TensorFlow's threads.
    probes = [probe_digest(), probe_digest()]
    measured = {"probe": probes[0], "probe_repeats": probes[0] == probes[1]}
    record.record_determinism(run, {**determinism.as_dict(), **measured})


def _values(settings: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(settings)}
    return {name: config[name] for name in names if name in config}
