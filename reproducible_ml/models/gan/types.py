"""Table of the GAN types, with the losses, constraints, source and default values of each.

The rows are plain values, so reading them does not load TensorFlow; ``losses`` and ``penalties``
hold the functions that they name. ``make pages`` writes the table to ``docs/gan-types.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reproducible_ml.utils.errors import ConfigError, chosen

# Names of the losses of a step, in the order in which they are logged.
LOSS_NAMES = ("generator_loss", "critic_loss")


@dataclass(frozen=True)
class Defaults:
    """Values that a training uses where its configuration leaves None.

    Attributes:
        gen_lr: Learning rate of the generator.
        crit_lr: Learning rate of the critic.
        critic_steps: Critic updates per step.
        batch_size: Images per batch.
        critic_weight_clip: After each critic update every critic weight is clipped to
            [-critic_weight_clip, critic_weight_clip]; None for no clipping.
        penalty_weight: Factor of the critic's penalty; None for types without a penalty.
        beta1: Adam's decay of the mean.
        beta2: Adam's decay of the square.
    """

    gen_lr: float
    crit_lr: float
    critic_steps: int = 1
    batch_size: int = 32
    critic_weight_clip: float | None = None
    penalty_weight: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999


@dataclass(frozen=True)
class GanType:
    """One GAN type.

    Attributes:
        source: The paper that describes the type.
        generator_loss: Name of its loss in ``losses.GENERATOR_LOSSES``.
        critic_loss: Name of its loss in ``losses.CRITIC_LOSSES``.
        paper: The paper's values.
        practical: Values for the networks and short runs of this project; the default.
        optimizer: Name of both networks' optimizer in ``optimizers.OPTIMIZERS``.
        networks: Name of both networks in ``networks.NETWORKS``.
        penalty: Name of the critic's penalty in ``penalties.PENALTIES``, or None.
        critic_batch_norm: Whether the critic's inner layers have batch norm.
        critic_head: How the critic's last layer becomes a score: "mean" averages a convolution over
            the image, "dense" has ``HEAD_UNITS`` units with batch norm. This and the constraints
            around it apply to the convolutional networks.
        spectral_norm: Whether the critic's weights are divided by their spectral norm.
        conditional: Whether both networks get the label.
        classifies: Whether the critic also predicts the label.
        generator_sees_real: Whether the generator's loss uses a real batch.
        remark: How the row differs from the paper.
    """

    source: str
    generator_loss: str
    critic_loss: str
    paper: Defaults
    practical: Defaults
    optimizer: str = "adam"
    networks: str = "convolutional"
    penalty: str | None = None
    critic_batch_norm: bool = False
    critic_head: str = "mean"
    spectral_norm: bool = False
    conditional: bool = False
    classifies: bool = False
    generator_sees_real: bool = False
    remark: str = ""

    @property
    def generator_loss_fn(self) -> Callable[..., Any]:
        """The generator's loss, a function from a TF-GAN ``GANModel`` to a scalar."""
        from reproducible_ml.models.gan.losses import GENERATOR_LOSSES

        return chosen(GENERATOR_LOSSES, self.generator_loss, "generator loss")

    @property
    def critic_loss_fn(self) -> Callable[..., Any]:
        """The critic's loss without its penalty, a function from a ``GANModel`` to a scalar."""
        from reproducible_ml.models.gan.losses import CRITIC_LOSSES

        return chosen(CRITIC_LOSSES, self.critic_loss, "critic loss")

    def defaults(self, which: str) -> Defaults:
        """Return the "practical" values or those of the "paper".

        Raises:
            ConfigError: ``which`` is neither.
        """
        if which not in ("practical", "paper"):
            raise ConfigError(f"defaults is {which!r}, expected practical or paper.")
        return self.practical if which == "practical" else self.paper


# Radford, Metz, Chintala: DCGAN, 2015, arXiv:1511.06434, section 4.
_DCGAN = Defaults(gen_lr=2e-4, crit_lr=2e-4, batch_size=128)
# Chosen from sample grids of nsgan, lsgan, relativistic and acgan after 300 to 400 steps on the
# bundled digits. With batch norm and these rates of the critic, digits are sharp and varied;
# otherwise they are blurred, or all alike in a class. mmgan uses the same values.
_PRACTICAL = Defaults(gen_lr=1e-3, crit_lr=5e-4)
_DCGAN_REMARK = "The paper gives no rates for convolutions; these are DCGAN's (arXiv:1511.06434)."

GAN_TYPES = {
    "wgan": GanType(
        source="Arjovsky, Chintala, Bottou: Wasserstein GAN, 2017, arXiv:1701.07875, algorithm 1",
        generator_loss="wasserstein",
        critic_loss="wasserstein",
        optimizer="rmsprop",
        paper=Defaults(5e-5, 5e-5, critic_steps=5, batch_size=64, critic_weight_clip=0.01),
        practical=Defaults(5e-4, 5e-4, critic_steps=2, critic_weight_clip=0.03),
        remark="The paper's rates need ten times the steps.",
    ),
    "wgan_gp": GanType(
        source="Gulrajani and others: Improved Training of Wasserstein GANs, 2017, "
        "arXiv:1704.00028, algorithm 1",
        generator_loss="wasserstein",
        critic_loss="wasserstein",
        penalty="interpolated",
        paper=Defaults(1e-4, 1e-4, 5, 64, penalty_weight=10.0, beta1=0.0, beta2=0.9),
        practical=Defaults(5e-4, 5e-4, 2, penalty_weight=10.0, beta1=0.0, beta2=0.9),
    ),
    "nsgan": GanType(
        source="Goodfellow and others: Generative Adversarial Nets, 2014, arXiv:1406.2661, "
        "section 3 (non-saturating)",
        generator_loss="non_saturating",
        critic_loss="minimax",
        critic_batch_norm=True,
        paper=_DCGAN,
        practical=_PRACTICAL,
        remark=_DCGAN_REMARK,
    ),
    "mmgan": GanType(
        source="Goodfellow and others: Generative Adversarial Nets, 2014, arXiv:1406.2661, "
        "equation 1 (minimax)",
        generator_loss="minimax",
        critic_loss="minimax",
        critic_batch_norm=True,
        paper=_DCGAN,
        practical=_PRACTICAL,
        remark=_DCGAN_REMARK + " The generator learns little while the critic is sure.",
    ),
    "lsgan": GanType(
        source="Mao and others: Least Squares Generative Adversarial Networks, 2016, "
        "arXiv:1611.04076, equation 9",
        generator_loss="least_squares",
        critic_loss="least_squares",
        critic_batch_norm=True,
        paper=Defaults(1e-3, 1e-3, batch_size=64),
        practical=_PRACTICAL,
        remark="The paper's rate is that of its scenes.",
    ),
    "hinge": GanType(
        source="Miyato and others: Spectral Normalization for GANs, 2018, arXiv:1802.05957 "
        "(hinge loss: Lim and Ye, Geometric GAN, 2017, arXiv:1705.02894)",
        generator_loss="wasserstein",
        critic_loss="hinge",
        spectral_norm=True,
        critic_head="dense",
        paper=Defaults(2e-4, 2e-4, critic_steps=5, batch_size=64, beta1=0.0, beta2=0.9),
        # Adam as in the paper's setting C, with the rates of TF-GAN's example for MNIST, but twice
        # the critic's. After 2,500 critic updates the Frechet distance is 16; a critic with the
        # mean head and (5e-4, 5e-4, 2) only reached 80.
        practical=Defaults(1e-3, 2e-4),
        remark="With the dense head of TF-GAN's example for MNIST.",
    ),
    "dragan": GanType(
        source="Kodali and others: On Convergence and Stability of GANs, 2017, arXiv:1705.07215",
        generator_loss="non_saturating",
        critic_loss="minimax",
        penalty="perturbed",
        critic_batch_norm=True,
        paper=Defaults(2e-4, 2e-4, batch_size=64, penalty_weight=10.0),
        practical=Defaults(1e-3, 5e-4, penalty_weight=10.0),
        remark="The noise is that of the authors' code; the gradient is that of the score before "
        "the sigmoid. With DCGAN's batch norm in the critic; without it the samples fell to a few "
        "digits.",
    ),
    "relativistic": GanType(
        source="Jolicoeur-Martineau: The relativistic discriminator, 2018, arXiv:1807.00734, "
        "algorithm 2 (relativistic average)",
        generator_loss="relativistic",
        critic_loss="relativistic",
        critic_batch_norm=True,
        generator_sees_real=True,
        paper=Defaults(2e-4, 2e-4, batch_size=32),
        practical=_PRACTICAL,
        remark="The generator's update looks at the real batch of the first critic update.",
    ),
    "cgan": GanType(
        source="Mirza, Osindero: Conditional Generative Adversarial Nets, 2014, arXiv:1411.1784",
        generator_loss="non_saturating",
        critic_loss="minimax",
        conditional=True,
        critic_batch_norm=True,
        paper=_DCGAN,
        practical=Defaults(1e-3, 2e-4),
        remark=_DCGAN_REMARK,
    ),
    "acgan": GanType(
        source="Odena, Olah, Shlens: Conditional Image Synthesis With Auxiliary Classifier GANs, "
        "2016, arXiv:1610.09585",
        generator_loss="auxiliary",
        critic_loss="auxiliary",
        conditional=True,
        classifies=True,
        critic_batch_norm=True,
        paper=Defaults(2e-4, 2e-4, batch_size=100),
        practical=_PRACTICAL,
    ),
}


def gan_type_row(gan_type: str) -> GanType:
    """Return the row of a GAN type.

    Raises:
        ConfigError: There is no such type; the message lists all types.
    """
    return chosen(GAN_TYPES, gan_type, "gan_type")
