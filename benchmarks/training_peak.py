"""How much of the machine a training step uses: its multiplications against those of a product."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from benchmarks.measure import Part
from benchmarks.training_setting import IMAGE_SHAPE, NOISE_DIMS

# Large enough that only the multiplications take time.
SIDE, BATCH_SIZE = 2048, 32


def measure() -> dict[str, float]:
    """Measure the product of two matrices, and count a step's floating point operations.

    Returns:
        ``product_flops_per_second``, and ``generator_update_flops`` and ``critic_update_flops``:
        multiplications and additions of the layers, forward and backward.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    one = tf.random.normal([SIDE, SIDE])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(one, one)))
    product()
    seconds = []
    for _ in range(9):
        began = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - began)
    flops = 2 * SIDE**3 / statistics.median(seconds)
    generator, critic = _layer_flops()
    return {
        "product_flops_per_second": flops,
        # Forward once, backward twice: to the weights and to the layer before.
        # The critic's weights are not updated here.
        "generator_update_flops": BATCH_SIZE * (3 * generator + 2 * critic),
        # The samples forward, and the critic forward and backward on two batches.
        "critic_update_flops": BATCH_SIZE * (generator + 2 * 3 * critic),
    }


def table(peak: Mapping[str, float], parts: Mapping[str, Part]) -> str:
    """Return speeds and the share of the product's speed for each contender, as Markdown."""
    product = peak["product_flops_per_second"]
    parts = {title: part for title, part in parts.items() if title.startswith("training")}
    names = list(dict.fromkeys(name for part in parts.values() for name in part.seconds))
    lines = [
        "| steps a second (share of the peak) | " + " | ".join(parts) + " |",
        "| --- |" + " --- |" * len(parts),
    ]
    for name in names:
        cells = []
        for title, part in parts.items():
            critic_steps = int(title.split()[1].partition(":")[0])
            step = peak["generator_update_flops"] + critic_steps * peak["critic_update_flops"]
            rate = statistics.median(part.rates(name))
            cells.append(f"{rate:.1f} ({100 * rate * step / product:.0f}%)")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append(
        f"\nThe peak is the product of two {SIDE} x {SIDE} float32 matrices: "
        f"{product / 1e9:.0f} GFLOP/s."
    )
    return "\n".join(lines)


def _layer_flops() -> tuple[float, float]:
    """Count the operations of one image through generator and critic, forward."""
    side, channels = IMAGE_SHAPE[0] // 4, 256
    generator = NOISE_DIMS * 1024 + 1024 * side * side * channels
    for width in (64, 32):
        # Each input pixel is multiplied by all 4 x 4 weights of the transposed convolution.
        generator += side * side * 16 * channels * width
        side, channels = side * 2, width
    generator += side * side * 16 * channels * IMAGE_SHAPE[2]
    critic, channels = 0, IMAGE_SHAPE[2]
    for width in (64, 128, 1):
        side = -(-side // 2)
        critic += side * side * 16 * channels * width
        channels = width
    return 2.0 * generator, 2.0 * critic
