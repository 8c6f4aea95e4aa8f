"""Settings of a training that the weights depend on, and a cadence that they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from reproducible_ml.models.exact import COMPUTE_DTYPES, Determinism, check_strategy
from reproducible_ml.models.gan.networks import chosen_networks
from reproducible_ml.models.gan.optimizers import OPTIMIZERS
from reproducible_ml.models.gan.types import gan_type_row
from reproducible_ml.utils.errors import ConfigError, chosen, need_count, need_number
from reproducible_ml.utils.running import root_seed

# Default of the fields that __post_init__ fills in from the GAN type's row.
_OF_ITS_ROW: Any = None


@dataclass(frozen=True)
class GANSettings:
    """Everything that the weights depend on besides data and code.

    Values that are None become those of the GAN type's row.

    Attributes:
        gan_type: A name of ``models.GAN_TYPES``.
        gen_lr: Learning rate of the generator.
        crit_lr: Learning rate of the critic.
        batch_size: Images per batch.
        critic_steps: Critic updates per step.
        critic_weight_clip: Bound of the critic's weights; None for types without clipping.
        penalty_weight: Factor of the critic's penalty; None for types without a penalty.
        noise_dims: Length of a latent vector.
        seed: Root seed; that of the running experiment by default, and 0 outside of one.
        compute_dtype: Type in which the networks compute, "float32" or "bfloat16".
        label_key: Feature that holds the label; only conditional types use it.
        strategy: None, "mirrored" or "multi_worker", see ``distribution``.
        replicas: Number of devices or workers that share an update, each with ``batch_size`` images
            of its own.
        defaults: Values of the row to use, "practical" or "paper".
        gen_optimizer: The generator's optimizer, a name of ``models.OPTIMIZERS``; None for that of
            the row.
        crit_optimizer: The critic's, likewise.
        beta1: Adam's decay of the mean, in [0, 1); None for that of the row.
        beta2: Adam's decay of the square, in [0, 1); None for that of the row.
        lr_decay: Factor of both learning rates every ``lr_decay_steps`` steps, in (0, 1]: a rate is
            lr * lr_decay^(step / lr_decay_steps); None for constant rates.
        lr_decay_steps: Steps of one factor.
        networks: Both networks, a name of ``models.NETWORKS`` or a module that adds it there,
            ``package.module`` or ``package.module:name``; None for those of the row.
        determinism: Threads and kernels.

    Raises:
        ConfigError: The GAN type is unknown, or a value is invalid.
    """

    gan_type: str = "wgan"
    gen_lr: float = _OF_ITS_ROW
    crit_lr: float = _OF_ITS_ROW
    batch_size: int = _OF_ITS_ROW
    critic_steps: int = _OF_ITS_ROW
    critic_weight_clip: float | None = None
    penalty_weight: float | None = None
    noise_dims: int = 64
    seed: int = field(default_factory=root_seed)
    compute_dtype: str = "float32"
    label_key: str = "label"
    strategy: str | None = None
    replicas: int = 1
    defaults: str = "practical"
    gen_optimizer: str | None = None
    crit_optimizer: str | None = None
    beta1: float | None = None
    beta2: float | None = None
    lr_decay: float | None = None
    lr_decay_steps: int | None = None
    networks: str | None = None
    determinism: Determinism = field(default_factory=Determinism)

    def __post_init__(self) -> None:
        row = gan_type_row(self.gan_type)
        for name, value in type_values(vars(self)).items():
            object.__setattr__(self, name, value)
        for name in ("gen_lr", "crit_lr"):
            need_number(name, getattr(self, name), above=0)
        for name in ("batch_size", "critic_steps", "noise_dims"):
            need_count(name, getattr(self, name))
        for name in ("critic_weight_clip", "penalty_weight"):
            if getattr(self, name) is not None:
                need_number(name, getattr(self, name), above=0, also="or None")
        if self.penalty_weight is not None and row.penalty is None:
            raise ConfigError(
                f"gan_type {self.gan_type!r} has no penalty, found penalty_weight="
                f"{self.penalty_weight}. Leave it out, or use gan_type wgan_gp or dragan."
            )
        self._check_optimizers()
        if self.networks is not None:
            chosen_networks(self.networks)
        check_strategy(self.strategy, self.replicas)
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise ConfigError(
                f"compute_dtype is {self.compute_dtype!r}, expected {' or '.join(COMPUTE_DTYPES)}."
            )

    def _check_optimizers(self) -> None:
        for name in ("gen_optimizer", "crit_optimizer"):
            if getattr(self, name) is not None:
                chosen(OPTIMIZERS, getattr(self, name), "optimizer")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"{name} must be 0 or more and below 1, or None; found {value}.")
        if self.lr_decay is not None and not 0 < self.lr_decay <= 1:
            raise ConfigError(f"lr_decay must be above 0 and at most 1; found {self.lr_decay}.")
        if (self.lr_decay is None) != (self.lr_decay_steps is None):
            raise ConfigError(
                "lr_decay is the factor of the learning rates every lr_decay_steps steps: give "
                f"both or neither; found lr_decay={self.lr_decay}, "
                f"lr_decay_steps={self.lr_decay_steps}."
            )
        if self.lr_decay_steps is not None:
            need_count("lr_decay_steps", self.lr_decay_steps)


@dataclass(frozen=True)
class Cadence:
    """Length of a training and intervals of its outputs, which do not change the weights.

    Attributes:
        max_steps: The step at which training ends.
        log_every_steps: Steps between two points of the metrics.
        grid_every_steps: Steps between two sample grids.
        checkpoint_every_steps: Steps between two checkpoints.
        digest_every_steps: Steps between two digests of all variables.
        evaluate_every_steps: Steps between two evaluations by a classifier, if there is one.
    """

    max_steps: int
    log_every_steps: int = 10
    grid_every_steps: int = 200
    checkpoint_every_steps: int = 200
    digest_every_steps: int = 200
    evaluate_every_steps: int = 500

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            need_count(name, value)


def type_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the GAN type's values of those settings that are None.

    Args:
        values: Settings by name, or a configuration that holds some of them.

    Raises:
        ConfigError: ``gan_type`` or ``defaults`` is unknown.
    """
    gan_type = values.get("gan_type", GANSettings.gan_type)
    defaults = gan_type_row(gan_type).defaults(values.get("defaults", GANSettings.defaults))
    # What the row decides by name, not by a value.
    settings = {one.name for one in fields(GANSettings)} - {"beta1", "beta2"}
    return {
        name: value
        for name, value in asdict(defaults).items()
        if name in settings and name in values and values[name] is None and value is not None
    }


def settings_from(values: Mapping[str, Any]) -> GANSettings:
    """Make settings from those in ``training.json``, without names that are unknown here."""

    def known(kind: Any) -> dict[str, Any]:
        return {
            one.name: values[one.name]
            for one in fields(kind)
            if one.name in values and one.name != "determinism"
        }

    return GANSettings(determinism=Determinism(**known(Determinism)), **known(GANSettings))
