"""Judge a trained GAN by numbers, against the test split.

$ python -m experiments.mnist_evaluate with model_dir=models/mine classifier_dir=models/judge
$ python -m experiments.mnist_evaluate with smoke model_dir=models/a classifier_dir=models/b
"""

from typing import Any

from experiments import mnist_serialize
from reproducible_ml.stages import evaluation_stage
from reproducible_ml.tracking import experiment

ex = experiment(
    "mnist_evaluate",
    types={"model_dir": (str, None), "classifier_dir": (str, None), "evaluation_dir": (str, None)},
)


@ex.config
def config() -> None:
    """The figures of N = 10,000 samples, and the floor beside them."""
    seed = 1  # root of the latents, which have a stream of their own
    record_dir = "data/mnist"  # the data set that the GAN was trained on
    model_dir = None  # a trained GAN, as experiments.mnist_wgan leaves it; must be given
    classifier_dir = None  # as experiments.mnist_classifier leaves it; must be given
    evaluation_dir = None  # figures and grid; None: models/mnist_evaluate-<run id>
    samples = 10000  # N; figures of different N can't be compared
    # Each of these has its own bits, so they are set here and not taken from the machine.
    intra_op_threads = 2
    inter_op_threads = 2
    onednn = True
    op_determinism = True


@ex.named_config
def digits() -> None:
    """scikit-learn's bundled digits, of which half the train split are 750."""
    record_dir = "data/digits"
    samples = 750


@ex.named_config
def smoke() -> None:
    """What ``mnist_wgan with smoke`` and ``mnist_classifier with smoke`` leave, in seconds."""
    record_dir = "data/smoke"
    samples = 150


@ex.automain
def main(_run: Any, _config: Any) -> Any:
    """Draw, judge and record."""
    return evaluation_stage(_run, _config, serialize=mnist_serialize.ex)
