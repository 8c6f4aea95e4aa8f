"""Train a GAN on serialized digits: a Wasserstein GAN, or any other type of docs/gan-types.md.

$ python -m experiments.mnist_wgan with digits
$ python -m experiments.mnist_wgan with digits gan_type=lsgan
$ python -m experiments.mnist_wgan with npz_file=mnist.npz gen_lr=1e-4
$ python -m experiments.mnist_wgan with model_dir=models/mine max_steps=5000
"""

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:
    # Started as a file, as an IDE does: import as `python -m experiments.mnist_wgan` does.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import mnist_serialize
from reproducible_ml.stages import check_gan, fill_in_defaults, gan_metrics, gan_stage
from reproducible_ml.tracking import experiment

ex = experiment(
    "mnist_wgan",
    writes=["model_dir"],
    types={
        "npz_file": (str, None),
        "image_dir": (str, None),
        "image_dtype": (str, None),
        "value_range": (list, None),
        "model_dir": (str, None),
        "classifier_dir": (str, None),
        "gen_lr": (float, None),
        "crit_lr": (float, None),
        "critic_weight_clip": (float, None),
        "penalty_weight": (float, None),
        "critic_steps": (int, None),
        "strategy": (str, None),
        "batch_size": (int, None),
        "networks": (str, None),
        "gen_optimizer": (str, None),
        "crit_optimizer": (str, None),
        "beta1": (float, None),
        "beta2": (float, None),
        "lr_decay": (float, None),
        "lr_decay_steps": (int, None),
    },
    fill_in=fill_in_defaults,
    check=check_gan,
    metrics=gan_metrics,
)


@ex.config
def config() -> None:
    """MNIST; the GAN type fills in values that are None, for wgan those in the comments."""
    seed = 1  # root of every random stream
    source = "mnist"  # what to serialize if record_dir holds no data set yet
    npz_file = None  # path of mnist.npz; None: Keras' cache, else a download
    image_dir = None  # for source=folder
    image_shape = [64, 64, 3]  # for source=folder
    image_dtype = None  # for source=folder
    value_range = None  # for npz and folder: [0, 4095] become -1 and 1; None: from the values
    record_dir = "data/mnist"  # a serialized data set
    model_dir = None  # checkpoints, resumed if any; None: a new models/mnist_wgan-<run id>
    gan_type = "wgan"  # wgan_gp, nsgan, mmgan, lsgan, hinge, dragan, relativistic, cgan, acgan
    defaults = "practical"  # values that fill in what is None: practical or paper
    gen_lr = None  # wgan: 5e-4, RMSProp
    crit_lr = None  # wgan: 5e-4, RMSProp
    critic_weight_clip = None  # wgan: 0.03
    penalty_weight = None  # wgan_gp and dragan: 10
    critic_steps = None  # critic updates per step; wgan: 2
    batch_size = None  # 32
    networks = None  # a name of NETWORKS, or your module that adds one; None: the type's
    gen_optimizer = None  # adam, rmsprop or one that you add to OPTIMIZERS; None: the type's
    crit_optimizer = None
    beta1 = None  # Adam's decays; None: the type's
    beta2 = None
    lr_decay = None  # factor of both rates every lr_decay_steps steps
    lr_decay_steps = None
    label_key = "label"  # feature with the labels, for cgan and acgan
    compute_dtype = "float32"  # or bfloat16, with weights and losses in float32
    strategy = None  # mirrored: devices of this machine; multi_worker: those in TF_CONFIG
    replicas = 1  # of a strategy, each with its own batch_size images per update
    noise_dims = 64
    max_steps = 3000
    log_every_steps = 10
    grid_every_steps = 200
    checkpoint_every_steps = 200
    digest_every_steps = 200
    classifier_dir = None  # of mnist_classifier, to evaluate 250 samples during training
    evaluate_every_steps = 500
    allow_changed = False  # resume model_dir although settings, data or code differ
    # The bits depend on each of these, so they are set here, not taken from the machine.
    intra_op_threads = 2
    inter_op_threads = 2
    onednn = True
    op_determinism = True


@ex.named_config
def digits() -> None:
    """scikit-learn's bundled digits: nothing to download, readable after 500 steps."""
    source = "digits"
    record_dir = "data/digits"
    max_steps = 500
    grid_every_steps = 100
    checkpoint_every_steps = 100
    digest_every_steps = 50


@ex.named_config
def smoke() -> None:
    """A few steps on the bundled digits, done in seconds."""
    source = "digits"
    record_dir = "data/smoke"
    batch_size = 8
    max_steps = 4
    log_every_steps = 1
    grid_every_steps = 2
    checkpoint_every_steps = 2
    digest_every_steps = 2


@ex.named_config
def paper() -> None:
    """The values of the GAN type's paper; for wgan, algorithm 1 of arXiv:1701.07875."""
    defaults = "paper"
    max_steps = 30000


@ex.automain
def main(_run: Any, _config: Any) -> Any:
    """Serialize the data if necessary; train the GAN and record its result."""
    return gan_stage(_run, _config, serialize=mnist_serialize.ex)
