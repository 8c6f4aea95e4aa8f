"""Training of a GAN whose networks, losses or optimizers are functions of a user's own.

It is a training of ``stages.train`` with the estimator that settings and functions make, so the
``model_dir`` belongs to the whole configuration and to all own code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import Determinism
from reproducible_ml.models.gan import Cadence, GANSettings
from reproducible_ml.stages.estimator import train
from reproducible_ml.stages.parts import values_of
from reproducible_ml.utils.errors import ConfigError


@dataclass(frozen=True)
class OwnGAN:
    """Functions of a user's own for a GAN; None for those that the configuration names.

    A function whose only argument is called ``config`` gets the configuration and returns the
    function to use. Where the configuration names ``networks``, ``gen_optimizer`` or
    ``crit_optimizer``, these take the place of the functions here.

    Attributes:
        generator_fn: Function from (noise, mode) to images [batch, height, width, channels].
        critic_fn: Function from (images, conditioning) to scores [batch].
        generator_loss_fn: Function from a TF-GAN ``GANModel`` to a scalar.
        critic_loss_fn: The critic's, likewise; the GAN type's penalty is added to it.
        generator_optimizer: Function of ``rate`` (``gen_lr``, a tensor if it decays), of
            ``config``, or of both, by these names, to an optimizer; called within the graph.
        critic_optimizer: The critic's, likewise; its rate is ``crit_lr``.
        make_estimator: Function from ``model_dir`` to a whole estimator, in place of all functions.
        hooks: Hooks of the training, for what changes no weights.
    """

    generator_fn: Callable[..., Any] | None = None
    critic_fn: Callable[..., Any] | None = None
    generator_loss_fn: Callable[..., Any] | None = None
    critic_loss_fn: Callable[..., Any] | None = None
    generator_optimizer: Callable[..., Any] | None = None
    critic_optimizer: Callable[..., Any] | None = None
    make_estimator: Callable[[str], Any] | None = None
    hooks: Sequence[Any] = ()

    def __post_init__(self) -> None:
        names = [one.name for one in fields(self) if one.name != "hooks"]
        given = [name for name in names if getattr(self, name) is not None]
        for name in given:
            if not callable(getattr(self, name)):
                raise ConfigError(
                    f"{name} must be a function, found {getattr(self, name)!r}. An optimizer is "
                    "given as a function of its learning rate: lambda rate: ..."
                )
        if self.make_estimator is not None and len(given) > 1:
            given.remove("make_estimator")
            raise ConfigError(
                f"make_estimator makes the whole estimator, so {', '.join(given)} would not be "
                "used. Leave one of them out."
            )


def train_own_gan(
    run: Any, config: Mapping[str, Any], serialize: Any, own: OwnGAN
) -> dict[str, Any]:
    """Train a GAN of a user's own functions, as ``gan_stage`` does; record it.

    Args:
        run: The running Sacred run.
        config: Keys as in ``gan_stage``.
        serialize: The Sacred experiment that writes ``record_dir``.
        own: The functions.

    Returns:
        As ``stages.train`` does.

    Raises:
        ConfigError: A setting is invalid or has no effect, or ``model_dir`` belongs to another
            training.
    """
    determinism = Determinism(**values_of(Determinism, config))
    settings = GANSettings(determinism=determinism, **values_of(GANSettings, config))
    cadence = Cadence(**values_of(Cadence, config))
    for key in ("strategy", "classifier_dir"):
        if config.get(key) is not None:
            raise ConfigError(
                f"{key} is {config[key]!r}, but a GAN of own functions is trained on one device "
                f"and evaluated after its training: leave {key} out, or add the functions to "
                "NETWORKS, OPTIMIZERS and GAN_TYPES (docs/how-to/own-gan.md)."
            )
    optimizers = {
        "generator_optimizer": _optimizer(
            "generator_optimizer", own.generator_optimizer, settings.gen_lr, settings, config
        ),
        "discriminator_optimizer": _optimizer(
            "critic_optimizer", own.critic_optimizer, settings.crit_lr, settings, config
        ),
    }
    named = {
        "generator_fn": settings.networks,
        "discriminator_fn": settings.networks,
        "generator_optimizer": settings.gen_optimizer,
        "discriminator_optimizer": settings.crit_optimizer,
    }
    run.info["settings"] = asdict(settings)
    made: list[Any] = []

    def make(model_dir: str) -> Any:
        from reproducible_ml.input_fn import image_shape
        from reproducible_ml.models.gan import make_gan_estimator, training_classes

        if own.make_estimator is not None:
            made[:] = [own.make_estimator(model_dir)]
            return made[0]
        record_dir = config["record_dir"]
        functions = {
            "generator_fn": _of_config(own.generator_fn, config),
            "discriminator_fn": _of_config(own.critic_fn, config),
            "generator_loss_fn": _of_config(own.generator_loss_fn, config),
            "discriminator_loss_fn": _of_config(own.critic_loss_fn, config),
            **optimizers,
        }
        made[:] = [
            make_gan_estimator(
                model_dir,
                settings,
                image_shape(record_dir),
                training_classes(record_dir, settings),
                checkpoint_every_steps=cadence.checkpoint_every_steps,
                **{
                    name: function
                    for name, function in functions.items()
                    if function is not None and named.get(name) is None
                },
            )
        ]
        return made[0]

    def read() -> Any:
        from reproducible_ml.models.gan import training_input

        # A whole estimator of the user's may take plain batches.
        steps = getattr(made[0], "critic_steps", None)
        return training_input(Path(config["record_dir"]), settings, steps)

    return train(
        run,
        config,
        make,
        read,
        serialize=serialize,
        max_steps=cadence.max_steps,
        hooks=list(own.hooks),
    )


def _of_config(function: Callable[..., Any] | None, config: Mapping[str, Any]) -> Any:
    """Return what a function of the configuration returns; any other function itself."""
    if function is None or _arguments(function) != ["config"]:
        return function
    return function(config)


def _optimizer(
    name: str,
    function: Callable[..., Any] | None,
    rate: float,
    settings: GANSettings,
    config: Mapping[str, Any],
) -> Callable[[], Any] | None:
    """Return what makes an optimizer within the graph; None without a function."""
    if function is None:
        return None
    names = _arguments(function)
    if not names or not set(names) <= {"rate", "config"}:
        raise ConfigError(
            f"{name} takes ({', '.join(names)}), expected rate, config or both by these names."
        )
    if settings.lr_decay is not None and "rate" not in names:
        raise ConfigError(
            f"lr_decay is {settings.lr_decay}, but {name} does not take the rate that decays. Give "
            f"it an argument named rate, or leave lr_decay out."
        )

    def make() -> Any:
        from reproducible_ml.models.gan import decayed_rate

        given = {"config": config} if "config" in names else {}
        if "rate" in names:
            return partial(function, rate=decayed_rate(settings, rate))(**given)
        return function(**given)

    return make


def _arguments(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments that have no default."""
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.default is one.empty]
