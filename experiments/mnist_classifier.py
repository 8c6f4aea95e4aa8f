"""Train the classifier that judges the samples of a GAN.

$ python -m experiments.mnist_classifier with digits
$ python -m experiments.mnist_classifier with npz_file=mnist.npz
$ python -m experiments.mnist_classifier with classifier_dir=models/judge seed=2
"""

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:
    # Started as a file, as an IDE does: import as `python -m experiments.mnist_classifier` does.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import mnist_serialize
from reproducible_ml.stages import check_classifier, classifier_stage
from reproducible_ml.tracking import experiment

ex = experiment(
    "mnist_classifier",
    writes=["classifier_dir"],
    types={
        "npz_file": (str, None),
        "image_dir": (str, None),
        "image_dtype": (str, None),
        "value_range": (list, None),
        "classifier_dir": (str, None),
    },
    check=check_classifier,
    # Runs in one process even if TF_CONFIG names a cluster, so every start is recorded.
    autolog=False,
)


@ex.config
def config() -> None:
    """MNIST: 99.4% of the test split after 3.5 minutes on 2 cores."""
    seed = 1  # root of every random stream
    source = "mnist"  # what to serialize if record_dir holds no data set yet
    npz_file = None  # path of mnist.npz; None: Keras' cache, else a download
    image_dir = None  # for source=folder
    image_shape = [64, 64, 3]  # for source=folder
    image_dtype = None  # for source=folder
    value_range = None  # for npz and folder: [0, 4095] become -1 and 1; None: from the values
    record_dir = "data/mnist"  # a serialized data set with labels
    classifier_dir = None  # new folder; None: models/mnist_classifier-<run id>
    learning_rate = 2e-3  # Adam's highest: warmed up, then lowered to 0 along a half cosine
    batch_size = 128
    max_steps = 2500
    shift_pixels = 2  # largest random shift of a training image; 0 for none
    log_every_steps = 50
    # The bits depend on each of these, so they are set here, not taken from the machine.
    intra_op_threads = 2
    inter_op_threads = 2
    onednn = True
    op_determinism = True


@ex.named_config
def digits() -> None:
    """scikit-learn's bundled digits: nothing to download, done in seconds."""
    source = "digits"
    record_dir = "data/digits"
    batch_size = 64
    max_steps = 200
    log_every_steps = 10


@ex.named_config
def smoke() -> None:
    """A few steps on the bundled digits, which test the code and not the accuracy."""
    source = "digits"
    record_dir = "data/smoke"
    batch_size = 32
    max_steps = 30
    log_every_steps = 10


@ex.automain
def main(_run: Any, _config: Any) -> Any:
    """Serialize the data if necessary; train, measure and record the classifier."""
    return classifier_stage(_run, _config, serialize=mnist_serialize.ex)
