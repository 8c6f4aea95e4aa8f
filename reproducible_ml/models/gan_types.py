"""The GAN types: one row each, with losses, constraint, source and the paper's own settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reproducible_ml.models.tf_gan import tfgan
from reproducible_ml.utils.errors import ConfigError


@dataclass(frozen=True)
class GanType:
    """What makes one GAN type.

    Attributes:
        source: The paper that the type and its default values come from.
        generator_loss_fn: From a TF-GAN ``GANModel`` to the generator's scalar loss.
        critic_loss_fn: From a TF-GAN ``GANModel`` to the critic's scalar loss.
        critic_weight_clip: After each critic update every critic weight is cut to
            [-critic_weight_clip, critic_weight_clip]; None leaves the weights alone.
        learning_rate: The paper's learning rate of both networks (RMSProp).
        critic_steps: The paper's number of critic updates a generator update.
    """

    source: str
    generator_loss_fn: Callable[..., Any]
    critic_loss_fn: Callable[..., Any]
    critic_weight_clip: float | None
    learning_rate: float
    critic_steps: int


GAN_TYPES = {
    "wgan": GanType(
        source="Arjovsky, Chintala, Bottou: Wasserstein GAN, 2017, arXiv:1701.07875, algorithm 1",
        generator_loss_fn=tfgan.losses.wasserstein_generator_loss,
        critic_loss_fn=tfgan.losses.wasserstein_discriminator_loss,
        critic_weight_clip=0.01,
        learning_rate=5e-5,
        critic_steps=5,
    ),
}


def gan_type_row(gan_type: str) -> GanType:
    """Return the row of a GAN type.

    Raises:
        ConfigError: There is no such type; the message lists those that there are.
    """
    if gan_type not in GAN_TYPES:
        raise ConfigError(
            f"There is no gan_type {gan_type!r}. Choose one of: {', '.join(sorted(GAN_TYPES))}."
        )
    return GAN_TYPES[gan_type]
