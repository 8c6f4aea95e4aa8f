"""What training is told: settings that the weights depend on, and a cadence that they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from reproducible_ml.models.determinism import Determinism
from reproducible_ml.utils.errors import ConfigError


@dataclass(frozen=True)
class GANSettings:
    """Everything that the weights depend on besides data and code.

    Attributes:
        gan_type: A name of ``models.GAN_TYPES``.
        gen_lr: RMSProp's learning rate of the generator.
        crit_lr: RMSProp's learning rate of the critic.
        batch_size: Images a batch.
        critic_steps: Critic updates a step.
        critic_weight_clip: Bound of the critic's weights; None takes the GAN type's own.
        noise_dims: Length of a latent vector.
        seed: The run's root seed.
        determinism: Threads and kernels.
    """

    gan_type: str = "wgan"
    gen_lr: float = 5e-4
    crit_lr: float = 5e-4
    batch_size: int = 32
    critic_steps: int = 2
    critic_weight_clip: float | None = 0.03
    noise_dims: int = 64
    seed: int = 0
    determinism: Determinism = field(default_factory=Determinism)

    def __post_init__(self) -> None:
        for name in ("gen_lr", "crit_lr", "batch_size", "critic_steps", "noise_dims"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0, found {getattr(self, name)}.")


@dataclass(frozen=True)
class Cadence:
    """How long to train and how often to look; none of it changes the weights.

    Attributes:
        max_steps: The step at which training ends.
        log_every_steps: Steps between two points of the metrics.
        grid_every_steps: Steps between two sample grids.
        checkpoint_every_steps: Steps between two checkpoints.
        digest_every_steps: Steps between two digests of all variables.
    """

    max_steps: int
    log_every_steps: int = 10
    grid_every_steps: int = 100
    checkpoint_every_steps: int = 200
    digest_every_steps: int = 100

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more, found {value}.")


def settings_from(values: Mapping[str, Any]) -> GANSettings:
    """Make settings from what ``training.json`` says of them; names unknown here are left out."""

    def known(kind: Any) -> dict[str, Any]:
        return {
            one.name: values[one.name]
            for one in fields(kind)
            if one.name in values and one.name != "determinism"
        }

    return GANSettings(determinism=Determinism(**known(Determinism)), **known(GANSettings))
