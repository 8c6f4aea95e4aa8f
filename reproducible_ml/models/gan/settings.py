"""What training is told: settings that the weights depend on, and a cadence that they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from reproducible_ml.models.exact import COMPUTE_DTYPES, Determinism, check_strategy
from reproducible_ml.models.gan.types import gan_type_row
from reproducible_ml.utils.errors import ConfigError

# Filled in from the GAN type's row; never None once the settings are made.
_OF_ITS_ROW: Any = None


@dataclass(frozen=True)
class GANSettings:
    """Everything that the weights depend on besides data and code.

    Values that are None when the settings are made become those of the GAN type's row.

    Attributes:
        gan_type: A name of ``models.GAN_TYPES``.
        gen_lr: Learning rate of the generator.
        crit_lr: Learning rate of the critic.
        batch_size: Images a batch.
        critic_steps: Critic updates a step.
        critic_weight_clip: Bound of the critic's weights; None for a type that has none.
        penalty_weight: Factor of the critic's penalty; None for a type that has none.
        noise_dims: Length of a latent vector.
        seed: The run's root seed.
        compute_dtype: What the networks compute in, "float32" or "bfloat16".
        label_key: Feature that holds the label; only conditional types look at it.
        strategy: None, "mirrored" or "multi_worker", see ``distribution``.
        replicas: Devices or workers among which an update is shared, each with ``batch_size``
            images of its own.
        defaults: Which values of the row to take, "practical" or "paper".
        determinism: Threads and kernels.

    Raises:
        ConfigError: The GAN type is unknown, or a value can't work.
    """

    gan_type: str = "wgan"
    gen_lr: float = _OF_ITS_ROW
    crit_lr: float = _OF_ITS_ROW
    batch_size: int = _OF_ITS_ROW
    critic_steps: int = _OF_ITS_ROW
    critic_weight_clip: float | None = None
    penalty_weight: float | None = None
    noise_dims: int = 64
    seed: int = 0
    compute_dtype: str = "float32"
    label_key: str = "label"
    strategy: str | None = None
    replicas: int = 1
    defaults: str = "practical"
    determinism: Determinism = field(default_factory=Determinism)

    def __post_init__(self) -> None:
        row = gan_type_row(self.gan_type)
        for name, value in type_values(vars(self)).items():
            object.__setattr__(self, name, value)
        for name in ("gen_lr", "crit_lr", "batch_size", "critic_steps", "noise_dims"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0, found {getattr(self, name)}.")
        for name in ("critic_weight_clip", "penalty_weight"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be above 0, or None; found {value}.")
        if self.penalty_weight is not None and row.penalty is None:
            raise ConfigError(
                f"gan_type {self.gan_type!r} has no penalty, found penalty_weight="
                f"{self.penalty_weight}. Leave it out, or take gan_type wgan_gp or dragan."
            )
        check_strategy(self.strategy, self.replicas)
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise ConfigError(
                f"compute_dtype is {self.compute_dtype!r}, expected {' or '.join(COMPUTE_DTYPES)}."
            )


@dataclass(frozen=True)
class Cadence:
    """How long to train and how often to look; none of it changes the weights.

    Attributes:
        max_steps: The step at which training ends.
        log_every_steps: Steps between two points of the metrics.
        grid_every_steps: Steps between two sample grids.
        checkpoint_every_steps: Steps between two checkpoints.
        digest_every_steps: Steps between two digests of all variables.
        evaluate_every_steps: Steps between two judgements by a classifier, where there is one.
    """

    max_steps: int
    log_every_steps: int = 10
    grid_every_steps: int = 200
    checkpoint_every_steps: int = 200
    digest_every_steps: int = 200
    evaluate_every_steps: int = 500

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more, found {value}.")


def type_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the GAN type gives to those settings that are None.

    Args:
        values: Settings by name, or a configuration that holds some of them.

    Raises:
        ConfigError: The GAN type, or what ``defaults`` names, is unknown.
    """
    gan_type = values.get("gan_type", GANSettings.gan_type)
    defaults = gan_type_row(gan_type).defaults(values.get("defaults", GANSettings.defaults))
    settings = {one.name for one in fields(GANSettings)}
    return {
        name: value
        for name, value in asdict(defaults).items()
        # Adam's decays are not settings: only the type says what they are.
        if name in settings and name in values and values[name] is None and value is not None
    }


def settings_from(values: Mapping[str, Any]) -> GANSettings:
    """Make settings from what ``training.json`` says of them; names unknown here are left out."""

    def known(kind: Any) -> dict[str, Any]:
        return {
            one.name: values[one.name]
            for one in fields(kind)
            if one.name in values and one.name != "determinism"
        }

    return GANSettings(determinism=Determinism(**known(Determinism)), **known(GANSettings))
