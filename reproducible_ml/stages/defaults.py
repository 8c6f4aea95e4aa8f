"""Values for what a configuration leaves at None, as its stage will use them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reproducible_ml.models.gan import LOSS_NAMES, type_values


def fill_in_defaults(config: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return values for what a GAN's configuration leaves at None; for ``experiment(fill_in=...)``.

    Args:
        config: Keys as in ``experiments.mnist_wgan``; any may be missing.

    Returns:
        Key -> its value and origin, such as "wgan, practical".

    Raises:
        ConfigError: ``gan_type`` or ``defaults`` is unknown.
    """
    origin = ", ".join(str(config[key]) for key in ("gan_type", "defaults") if key in config)
    return {name: (value, origin) for name, value in type_values(config).items()}


def gan_metrics(config: Mapping[str, Any]) -> Collection[str]:
    """Return the names of a GAN training's metrics and numbers; for ``experiment(metrics=...)``.

    Args:
        config: Keys as in ``experiments.mnist_wgan``.
    """
    names = {"step", *LOSS_NAMES, "steps_per_second"}
    if config.get("classifier_dir") is not None:
        from reproducible_ml.models.evaluation import PREFIX, figure_names

        names.update(f"{PREFIX}{name}" for name in figure_names(labelled=True, small=True))
    return names
