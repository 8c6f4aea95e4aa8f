"""Settings that fix the bits of a training process, made before TensorFlow builds anything.

Thread counts and oneDNN change the order of floating-point sums, so each setting gives different
bits. They are therefore part of a run's configuration and never taken from the machine; a machine
with fewer cores runs the same number of threads, slower, with the same bits.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

from reproducible_ml.utils.errors import ConfigError, need_bool, need_count
from reproducible_ml.utils.tensorflow_version import require_tensorflow

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# What networks may compute in; weights and losses stay in float32.
COMPUTE_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Determinism:
    """Settings that the bits of a result depend on, besides code, data and seed.

    Attributes:
        intra_op_threads: Threads that share one operation.
        inter_op_threads: Operations that run side by side.
        onednn: Whether oneDNN's kernels are used.
        op_determinism: Whether TensorFlow refuses operations whose result may vary.

    Raises:
        ConfigError: A number of threads is below 0.
    """

    intra_op_threads: int = 2
    inter_op_threads: int = 2
    onednn: bool = True
    op_determinism: bool = True

    def __post_init__(self) -> None:
        # 0, a number chosen by the machine, is what a process without these settings runs with.
        for name in ("intra_op_threads", "inter_op_threads"):
            need_count(name, getattr(self, name), least=0)
        for name in ("onednn", "op_determinism"):
            need_bool(name, getattr(self, name))

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return asdict(self)


def set_environment(settings: Determinism) -> None:
    """Set the variables that TensorFlow reads once, when it is loaded.

    Raises:
        ConfigError: TensorFlow is already loaded with another setting.
    """
    wanted = "1" if settings.onednn else "0"
    # Unset means on.
    if "tensorflow" in sys.modules and os.environ.get(_ONEDNN, "1") != wanted:
        raise ConfigError(
            f"onednn={settings.onednn} can't be set any more: this process has loaded TensorFlow "
            f"with {_ONEDNN}={os.environ.get(_ONEDNN, '1')}. Set the variable before the import, "
            "or start a new process."
        )
    os.environ[_ONEDNN] = wanted
    quiet_tensorflow()


def quiet_tensorflow() -> None:
    """Keep TensorFlow from reporting a missing GPU as an error at each start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def determinism_in_use(settings: Determinism) -> Determinism:
    """Return settings with the threads and the kernels that this process really computes with.

    Unless the environment said so before TensorFlow was imported, oneDNN depends on the processor.
    Threads of 0 are a number chosen by the machine.
    """
    from tensorflow.python.util import _pywrap_util_port

    intra, inter = _threads()
    return replace(
        settings,
        intra_op_threads=intra,
        inter_op_threads=inter,
        onednn=bool(_pywrap_util_port.IsMklEnabled()),
    )


def _threads() -> tuple[int, int]:
    import tensorflow as tf

    threading = tf.config.threading
    return (
        threading.get_intra_op_parallelism_threads(),
        threading.get_inter_op_parallelism_threads(),
    )


def apply_determinism(settings: Determinism, seed: int, check_onednn: bool = True) -> None:
    """Apply the settings to this process.

    Call this before anything is built: once TensorFlow has started its threads, it silently ignores
    the counts in a session's configuration.

    Args:
        settings: What to set.
        seed: The run's root seed; TensorFlow's op determinism asks for a global one.
        check_onednn: Refuse a process that has loaded TensorFlow with another ``onednn``.

    Raises:
        ConfigError: TensorFlow already runs in this process with other settings.
    """
    require_tensorflow()
    if check_onednn:
        set_environment(settings)

    import tensorflow as tf

    # Every Estimator class warns that it is deprecated, which this project has decided to accept.
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    threading = tf.config.threading
    found = _threads()
    asked = (settings.intra_op_threads, settings.inter_op_threads)
    if found != asked:
        try:
            threading.set_intra_op_parallelism_threads(asked[0])
            threading.set_inter_op_parallelism_threads(asked[1])
        except RuntimeError as error:
            raise ConfigError(
                f"TensorFlow already runs in this process with {found} (intra, inter) threads, "
                f"where 0 means chosen by the machine; asked for {asked}. Start a new process, "
                "or call apply_determinism() before the first tensor is made."
            ) from error
    if settings.op_determinism:
        tf.keras.utils.set_random_seed(seed & 0x7FFFFFFF)
        tf.config.experimental.enable_op_determinism()


def probe_digest() -> str:
    """Digest a fixed computation, to find out whether two machines compute equal bits.

    Convolutions, normalization, a matrix product and their gradients on fixed numbers, as large as
    a network's and in the process's own settings. Machines with different digests give different
    training bits. It sees instruction sets and kernels but no thread counts, which are part of the
    configuration (measured: docs/determinism.md).

    Returns:
        16 hexadecimal digits.
    """
    import tensorflow as tf

    def fixed(shape: list[int], number: int) -> Any:
        return tf.random.stateless_normal(shape, seed=[number, 0], alg="philox")

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = fixed([32, 28, 28, 1], 1)
        kernels = [fixed([4, 4, 1, 64], 2), fixed([4, 4, 64, 128], 3)]
        matrix = fixed([7 * 7 * 128, 256], 4)
        # Sums over a batch are what threads share in parts; convolutions what oneDNN computes.
        biases = [tf.zeros([64]), tf.zeros([128])]
        layer = images
        for kernel, bias in zip(kernels, biases):
            layer = tf.nn.bias_add(tf.nn.conv2d(layer, kernel, strides=2, padding="SAME"), bias)
            mean, variance = tf.nn.moments(layer, axes=[0, 1, 2])
            layer = tf.nn.leaky_relu((layer - mean) * tf.math.rsqrt(variance + 1e-3))
        result = tf.tanh(tf.linalg.matmul(tf.reshape(layer, [32, -1]), matrix) / 100)
        gradients = tf.gradients(tf.reduce_mean(result), [*kernels, *biases, matrix])
        values = session.run([result, *gradients])
    return hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()[:16]
