"""What a training loads before its first step."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import tensorflow
from reproducible_ml.models.gan.tf_gan import tfgan
loaded = [name for name in sys.modules if name.startswith("tensorflow_probability.python.")]
parts = {name.split(".")[2] for name in loaded}
assert not parts & {"experimental", "layers", "mcmc"}, parts
assert sys.modules["tensorflow"] is tensorflow
import tensorflow_probability as tfp
found = tfp.stats.covariance(tensorflow.constant([[0.0], [2.0]]))
assert found.numpy().tolist() == [[1.0]], found
assert len(tfp.layers.DenseFlipout.__mro__) > 2
"""


def test_tf_gan_loads_only_what_it_uses_of_tensorflow_probability():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


LAZY = """
import sys
import experiments.mnist_evaluate
import experiments.mnist_wgan
import reproducible_ml.stages as stages
assert all(callable(getattr(stages, name)) for name in stages.__all__)
assert "tensorflow" not in sys.modules
"""


def test_an_experiment_loads_tensorflow_after_its_environment_is_set():
    # Its kernels are chosen by variables that the determinism settings write before the import.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAZY],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
