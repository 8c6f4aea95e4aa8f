"""Evaluate a trained GAN against the test split.

$ python -m experiments.mnist_evaluate with model_dir=models/mine classifier_dir=models/judge
$ python -m experiments.mnist_evaluate with smoke model_dir=models/a classifier_dir=models/b
"""

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:
    # Started as a file, as an IDE does: import as `python -m experiments.mnist_evaluate` does.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import mnist_serialize
from reproducible_ml.stages import check_evaluation, evaluation_stage
from reproducible_ml.tracking import experiment

ex = experiment(
    "mnist_evaluate",
    types={"model_dir": (str, None), "classifier_dir": (str, None), "evaluation_dir": (str, None)},
    check=check_evaluation,
    # Runs in one process even if TF_CONFIG names a cluster, so every start is recorded.
    autolog=False,
)


@ex.config
def config() -> None:
    """Figures for N = 10,000 samples, each with its floor."""
    seed = 1  # root of two random streams: the latents, and which training images are the floor
    record_dir = "data/mnist"  # the data set that the GAN was trained on
    model_dir = None  # a GAN trained by experiments.mnist_wgan; required
    classifier_dir = None  # written by experiments.mnist_classifier; required
    evaluation_dir = None  # figures and grid; None: models/mnist_evaluate-<run id>
    samples = 10000  # N; figures of different N can't be compared
    # The bits depend on each of these, so they are set here, not taken from the machine.
    intra_op_threads = 2
    inter_op_threads = 2
    onednn = True
    op_determinism = True


@ex.named_config
def digits() -> None:
    """scikit-learn's bundled digits; the floor draws half of the 1,500 training images."""
    record_dir = "data/digits"
    samples = 750


@ex.named_config
def smoke() -> None:
    """For the results of ``mnist_wgan with smoke`` and ``mnist_classifier with smoke``."""
    record_dir = "data/smoke"
    samples = 150


@ex.automain
def main(_run: Any, _config: Any) -> Any:
    """Draw samples, evaluate them and record the figures."""
    return evaluation_stage(_run, _config, serialize=mnist_serialize.ex)
