"""Networks that a GAN type may name.

Reading the table does not load TensorFlow, which chooses its kernels when it is imported. So you
can add your own entry where an experiment is defined, if its functions import TensorFlow
themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproducible_ml.models.gan.types import GanType, gan_type_row
from reproducible_ml.utils.errors import ConfigError, chosen
from reproducible_ml.utils.running import root_seed

if TYPE_CHECKING:
    import tensorflow as tf

# Of (GAN type, image shape, root seed, number of classes).
Maker = Callable[[GanType, Sequence[int], int, int], Callable[..., "tf.Tensor"]]


@dataclass(frozen=True)
class Networks:
    """A generator and a critic that fit each other.

    Attributes:
        generator: Function that returns ``generator(noise, mode)``, see ``generator_fn``.
        critic: Function that returns ``critic(images, conditioning)``, see ``critic_fn``.
    """

    generator: Maker
    critic: Maker


def _convolutional_generator(*arguments: Any) -> Callable[..., tf.Tensor]:
    from reproducible_ml.models.gan.networks.convolutional import convolutional_generator

    return convolutional_generator(*arguments)


def _convolutional_critic(*arguments: Any) -> Callable[..., tf.Tensor]:
    from reproducible_ml.models.gan.networks.convolutional import convolutional_critic

    return convolutional_critic(*arguments)


NETWORKS: dict[str, Networks] = {
    "convolutional": Networks(_convolutional_generator, _convolutional_critic),
}


def chosen_networks(name: str) -> Networks:
    """Return a pair of networks.

    Args:
        name: A name of ``NETWORKS``; or a module, whose import adds the pair of the module's name
            or, as ``module:name``, one of that name.

    Raises:
        ConfigError: There is no such pair or no such module.
    """
    module, _, within = name.partition(":")
    if name not in NETWORKS and "." in module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"networks is {name!r}, which can't be imported: {error}.") from error
        name = within or module
    return chosen(NETWORKS, name, "pair of networks")


def generator_fn(
    gan_type: str,
    image_shape: Sequence[int] = (28, 28, 1),
    seed: int | None = None,
    classes: int = 0,
    networks: str | None = None,
) -> Callable[..., tf.Tensor]:
    """Make the generator network of a GAN type.

    Args:
        gan_type: A name of ``models.GAN_TYPES``.
        image_shape: (height, width, channels) of the images to make.
        seed: Root seed; the weights start from it. None takes the seed of the running experiment,
            and 0 outside of one.
        classes: Number of classes; only conditional types look at it.
        networks: As in ``GANSettings``; None for those of the GAN type.

    Returns:
        A function ``generator(noise, mode)`` from latents [batch, dims] to images
        [batch, height, width, channels] in [-1, 1]. For conditional types ``noise`` is a
        dictionary of ``latents`` and ``labels`` (integers, [batch]).

    Raises:
        ConfigError: The GAN type is unknown or the networks can't make such images.
    """
    return _networks(gan_type, classes, networks).generator(
        gan_type_row(gan_type), image_shape, root_seed(seed), classes
    )


def critic_fn(
    gan_type: str,
    image_shape: Sequence[int] = (28, 28, 1),
    seed: int | None = None,
    classes: int = 0,
    networks: str | None = None,
) -> Callable[..., tf.Tensor]:
    """Make the critic network of a GAN type.

    Args:
        gan_type: A name of ``models.GAN_TYPES``.
        image_shape: (height, width, channels) of the images to judge.
        seed: Root seed; the weights start from it. None takes the seed of the running experiment,
            and 0 outside of one.
        classes: Number of classes; only conditional types look at it.
        networks: As in ``GANSettings``; None for those of the GAN type.

    Returns:
        A function ``critic(images, conditioning)`` from images [batch, height, width, channels] to
        one score each, [batch]. A critic that classifies returns [batch, 1 + classes], the score
        and the logits of the classes. TF-GAN passes the generator's inputs as ``conditioning``;
        only their labels are used.

    Raises:
        ConfigError: The GAN type is unknown or the networks can't judge such images.
    """
    return _networks(gan_type, classes, networks).critic(
        gan_type_row(gan_type), image_shape, root_seed(seed), classes
    )


def _networks(gan_type: str, classes: int, networks: str | None) -> Networks:
    row = gan_type_row(gan_type)
    if row.conditional and classes < 2:
        raise ConfigError(
            f"gan_type {gan_type!r} learns from labels: classes must be 2 or more, found {classes}."
        )
    return chosen_networks(networks or row.networks)
