"""Checks of a stage's settings, made before its run begins; for ``experiment(..., check=...)``.

A wrong setting then leaves no failed run behind. What depends on the data is checked in the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reproducible_ml.datasets.serialize.shard import RECORD_PATTERN, check_compression, plan_split
from reproducible_ml.datasets.sources import check_source_name
from reproducible_ml.models.exact import Determinism, refuse_cluster, set_environment
from reproducible_ml.stages.origins import WRITTEN_BY
from reproducible_ml.stages.parts import values_of
from reproducible_ml.utils.errors import ConfigError, need_count

_INTERVALS = (
    "max_steps",
    "log_every_steps",
    "grid_every_steps",
    "checkpoint_every_steps",
    "digest_every_steps",
    "evaluate_every_steps",
)


def check_data(config: Mapping[str, Any]) -> None:
    """Check the settings of ``serialize_stage``.

    Args:
        config: Keys as in ``experiments.mnist_serialize``; any may be missing.

    Raises:
        ConfigError: A setting is invalid.
    """
    _check_source(config)
    check_compression(config.get("compression", ""))
    pattern = config.get("record_pattern", RECORD_PATTERN)
    plan_split("train", 1, config.get("samples_per_record", 1), pattern)
    need_count("workers", config.get("workers", 1))


def check_gan(config: Mapping[str, Any]) -> None:
    """Check the settings of ``gan_stage``.

    Args:
        config: Keys as in ``experiments.mnist_wgan``.

    Raises:
        ConfigError: A setting is invalid, or the environment names a cluster that it excludes.
    """
    from reproducible_ml.models.gan import Cadence, GANSettings

    _check_source(config)
    determinism = _determinism(config)
    # The module that a user names for the networks may import TensorFlow, which reads it then.
    set_environment(determinism)
    settings = GANSettings(determinism=determinism, **values_of(GANSettings, config))
    Cadence(**values_of(Cadence, config))
    refuse_cluster(settings.strategy)


def check_classifier(config: Mapping[str, Any]) -> None:
    """Check the settings of ``classifier_stage``.

    Args:
        config: Keys as in ``experiments.mnist_classifier``.

    Raises:
        ConfigError: A setting is invalid.
    """
    from reproducible_ml.models.evaluation import ClassifierSettings

    _check_source(config)
    ClassifierSettings(**values_of(ClassifierSettings, config), determinism=_determinism(config))
    _check_intervals(config)


def check_evaluation(config: Mapping[str, Any]) -> None:
    """Check the settings of ``evaluation_stage``.

    Args:
        config: Keys as in ``experiments.mnist_evaluate``.

    Raises:
        ConfigError: A folder is not given, or there are too few samples.
    """
    from reproducible_ml.models.evaluation import need_samples

    _determinism(config)
    for name, trained_by in WRITTEN_BY.items():
        if config[name] is None:
            raise ConfigError(
                f"An evaluation needs a trained GAN and a classifier: {name} is not given. It is "
                f"written by: python -m experiments.{trained_by}"
            )
    need_samples(config["samples"])


def check_training(config: Mapping[str, Any]) -> None:
    """Check what ``stages.train`` reads of a configuration.

    Args:
        config: The keys that ``train`` names; any may be missing.

    Raises:
        ConfigError: A setting is invalid.
    """
    _determinism(config)
    _check_intervals(config)
    for name in ("batch_size", "noise_dims"):
        if name in config:
            need_count(name, config[name])


def _check_source(config: Mapping[str, Any]) -> None:
    if "source" in config:
        check_source_name(str(config["source"]))


def _determinism(config: Mapping[str, Any]) -> Determinism:
    return Determinism(**values_of(Determinism, config))


def _check_intervals(config: Mapping[str, Any]) -> None:
    for name in _INTERVALS:
        if config.get(name) is not None:
            need_count(name, config[name])
