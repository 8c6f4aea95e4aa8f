"""Training speed: what exactness and tracking cost, and how the fused step compares with TF-GAN's.

$ python -m benchmarks.training

Every measurement is a process of its own; the variants take turns, and medians are compared.

- ``stock``    TF-GAN's GANEstimator with its sequential hooks, shuffled batches, random noise;
- ``bare``     this project's GANEstimator on the same input, with nothing of exactness;
- ``undigested`` as ``exact``, without the rolling digests of all variables;
- ``exact``    the project's training: positions, stateless noise, step log, digests;
- ``tracked``  the same as a recorded run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VARIANTS = ("stock", "bare", "undigested", "exact", "tracked")
BATCH_SIZE, NOISE_DIMS, CRITIC_STEPS, IMAGE_SHAPE = 32, 64, 2, (28, 28, 1)
# Steps before the clock starts: TensorFlow's first ones allocate and tune.
WARM_UP = 20


def main() -> None:
    """Print medians and the ratios that the documentation claims."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=120, help="steps of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        variant, data = arguments.child
        print(json.dumps(measure(variant, data, arguments.steps)))
        return
    speeds: dict[str, list[float]] = {name: [] for name in arguments.only}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        serialize(data)
        for number in range(arguments.rounds):
            # Turned round each time, so that no variant always follows the same other.
            for name in arguments.only if number % 2 == 0 else reversed(arguments.only):
                speeds[name].append(child(name, data, arguments.steps, folder))
    print(f"{'variant':10} steps/s (median of {arguments.rounds}; lowest and highest)")
    for name, found in speeds.items():
        print(f"{name:10} {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})")
    for name, base in (
        ("bare", "stock"),
        ("exact", "bare"),
        ("exact", "undigested"),
        ("tracked", "exact"),
    ):
        if name in speeds and base in speeds:
            # Neighbours in time are compared: the machine's own speed wanders.
            ratios = [a / b for a, b in zip(speeds[name], speeds[base])]
            print(f"{name} / {base}: {statistics.median(ratios):.3f}")


def serialize(record_dir: str) -> None:
    """Write the bundled digits."""
    from reproducible_ml.datasets.serialize import serialize_source
    from reproducible_ml.datasets.sources import make_source

    serialize_source(make_source("digits"), record_dir)


def child(variant: str, data: str, steps: int, folder: str) -> float:
    """Measure in a process of its own; return steps per second."""
    command = [sys.executable, "-m", "benchmarks.training", "--steps", str(steps)]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        done = subprocess.run(
            [*command, "--child", variant, data],
            cwd=os.getcwd(),
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "BENCHMARK_WORK": work},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(variant: str, data: str, steps: int) -> float:
    """Train one variant; return steps per second after the warm-up."""
    work = Path(os.environ["BENCHMARK_WORK"])
    if variant == "tracked":
        return tracked(data, work, steps)
    if variant in ("exact", "undigested"):
        return exact(data, work, steps, digests=variant == "exact")
    return plain(variant, data, work, steps)


def clock_hook() -> Any:
    """Return a hook that notes the time of each step after the warm-up."""
    import tensorflow as tf

    class Clock(tf.estimator.SessionRunHook):
        def __init__(self) -> None:
            self.times: list[float] = []

        def after_run(self, run_context: Any, run_values: Any) -> None:
            self.times.append(time.perf_counter())

        def speed(self) -> float:
            times = self.times[WARM_UP:]
            return (len(times) - 1) / (times[-1] - times[0])

    return Clock()


def timed_estimator() -> Any:
    """Put a clock into every training of the project's estimator; return the clock."""
    from reproducible_ml.models import estimator

    clock, train = clock_hook(), estimator.GANEstimator.train

    def timed(self: Any, input_fn: Any, hooks: Any = None, **arguments: Any) -> Any:
        return train(self, input_fn, hooks=[*(hooks or []), clock], **arguments)

    estimator.GANEstimator.train = timed
    return clock


def exact(data: str, work: Path, steps: int, digests: bool) -> float:
    """The project's training, unrecorded."""
    from reproducible_ml.models.determinism import Determinism, apply_determinism
    from reproducible_ml.models.settings import Cadence, GANSettings
    from reproducible_ml.models.training import train_gan

    apply_determinism(Determinism(), 1)
    clock = timed_estimator()
    settings = GANSettings(
        batch_size=BATCH_SIZE, noise_dims=NOISE_DIMS, critic_steps=CRITIC_STEPS, seed=1
    )
    every = {} if digests else {"digest_every_steps": 10**9}
    train_gan(data, work / "model", settings, cadence(Cadence, steps, **every))
    return float(clock.speed())


def cadence(make: Any, steps: int, **changes: int) -> Any:
    """Return the default cadence without grids and checkpoints, which ``bare`` has not either."""
    return make(steps, grid_every_steps=10**9, checkpoint_every_steps=10**9, **changes)


def tracked(data: str, work: Path, steps: int) -> float:
    """The project's training as a recorded run."""
    from experiments.mnist_wgan import ex
    from reproducible_ml.models.determinism import Determinism, apply_determinism

    apply_determinism(Determinism(), 1)
    clock = timed_estimator()
    updates = {
        "record_dir": data,
        "model_dir": str(work / "model"),
        "max_steps": steps,
        "batch_size": BATCH_SIZE,
        "noise_dims": NOISE_DIMS,
        "critic_steps": CRITIC_STEPS,
        "grid_every_steps": 10**9,
        "checkpoint_every_steps": 10**9,
    }
    ex.run(config_updates=updates, options={"--file_storage": str(work / "runs")})
    return float(clock.speed())


def plain(variant: str, data: str, work: Path, steps: int) -> float:
    """TF-GAN's estimator, or the project's own, on an ordinary shuffled input."""
    import tensorflow as tf

    from reproducible_ml.models import GAN_TYPES, GANEstimator, critic_fn, generator_fn, tfgan

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    row = GAN_TYPES["wgan"]
    arguments = {
        "model_dir": str(work / "model"),
        "generator_fn": generator_fn("wgan", IMAGE_SHAPE, seed=1),
        "discriminator_fn": critic_fn("wgan", IMAGE_SHAPE, seed=1),
        "generator_loss_fn": row.generator_loss_fn,
        "discriminator_loss_fn": row.critic_loss_fn,
        "generator_optimizer": tf.compat.v1.train.RMSPropOptimizer(5e-4),
        "discriminator_optimizer": tf.compat.v1.train.RMSPropOptimizer(5e-4),
        "config": tf.estimator.RunConfig(save_checkpoints_steps=10**9),
    }
    if variant == "bare":
        estimator = GANEstimator(critic_steps=CRITIC_STEPS, critic_weight_clip=0.03, **arguments)
    else:
        turns = tfgan.GANTrainSteps(1, CRITIC_STEPS)
        hooks = tfgan.get_sequential_train_hooks(turns)
        estimator = tfgan.estimator.GANEstimator(get_hooks_fn=hooks, **arguments)
    clock = clock_hook()
    images = read_images(data)
    estimator.train(lambda: ordinary_input(images), max_steps=steps, hooks=[clock])
    return float(clock.speed())


def read_images(data: str) -> Any:
    """Return all training images, scaled."""
    import numpy as np

    from reproducible_ml.input_fn import input_fn

    batches = input_fn(data, repeat=False, batch_size=100)()
    return np.concatenate([batch.numpy() for _, batch in batches])


def ordinary_input(images: Any) -> Any:
    """Shuffle and batch images in memory, with stateful noise beside them."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(images)
    dataset = dataset.shuffle(2000).repeat().batch(BATCH_SIZE, drop_remainder=True)
    return dataset.map(lambda batch: (tf.random.normal([BATCH_SIZE, NOISE_DIMS]), batch)).prefetch(
        2
    )


if __name__ == "__main__":
    main()
