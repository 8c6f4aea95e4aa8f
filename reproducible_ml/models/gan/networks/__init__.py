"""Generator and critic networks: their table, convolutional networks, spectral normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.gan.networks.spectral import power_iterations
    from reproducible_ml.models.gan.networks.table import (
        NETWORKS,
        Networks,
        chosen_networks,
        critic_fn,
        generator_fn,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "NETWORKS",
    "Networks",
    "chosen_networks",
    "critic_fn",
    "generator_fn",
    "power_iterations",
]
