"""Contenders of the training benchmark, each a process that trains on demand.

$ python -m benchmarks.trainees fused --data data/mnist --work /tmp/work

A process starts, warms up, reports that it is ready, and then waits: each line that it reads is a
number of steps to train. So contenders take turns without paying for their start, and a waiting
contender uses no CPU time.

- ``stock``      TF-GAN's GANEstimator with its sequential hooks;
- ``example``    ``tfgan.gan_train``, as in TF-GAN's example for MNIST, with the same hooks;
- ``keras``      a loop by hand: Keras layers, one ``@tf.function`` per step;
- ``keras-jit``  the same, each step compiled by XLA;
- ``torch``      a loop by hand in PyTorch, channels last, if it is installed;
- ``fused``      this project's GANEstimator on the same input, without exact resuming;
- ``exact``      the project's training: positions, stateless noise, step log, digests;
- ``tracked``    the same as a recorded run, with grids and checkpoints.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.trainees_by_hand import train_keras, train_torch
from benchmarks.training_setting import (
    CLIP,
    IMAGE_SHAPE,
    LEARNING_RATE,
    NOISE_DIMS,
    batches,
    load_images,
)

# More than any measurement takes.
FOREVER = 10**8


class Turns:
    """Counts steps, and waits for the next order when they are done."""

    def __init__(self, warm_up: int) -> None:
        self.left = warm_up
        # A run prints to what is ``sys.stdout`` by then, which must not mix with the answers.
        self._answers = sys.stdout

    def step_done(self) -> bool:
        """Count a step; return False when there are no more orders."""
        self.left -= 1
        if self.left > 0:
            return True
        print("done", file=self._answers, flush=True)
        order = sys.stdin.readline()
        self.left = int(order or 0)
        return bool(order)

    def hook(self) -> Any:
        """Return a session hook that counts steps."""
        import tensorflow as tf

        turns = self

        class Hook(tf.estimator.SessionRunHook):
            def after_run(self, run_context: Any, run_values: Any) -> None:
                if not turns.step_done():
                    run_context.request_stop()

        return Hook()


def main() -> None:
    """Train one contender."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=TRAINEES)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--critic-steps", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--compute-dtype", default="float32")
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.name != "torch":
        _pin_threads(arguments.threads)
    TRAINEES[arguments.name](arguments, Turns(arguments.warm_up))


def _pin_threads(threads: int) -> None:
    """Set TensorFlow's threads before anything starts them: the first session decides for all."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _stock(given: argparse.Namespace, turns: Turns) -> None:
    from reproducible_ml.models.gan import tfgan

    steps = tfgan.GANTrainSteps(1, given.critic_steps)
    estimator = tfgan.estimator.GANEstimator(
        get_hooks_fn=tfgan.get_sequential_train_hooks(steps), **_estimator_arguments(given)
    )
    images = load_images(given.data)
    estimator.train(lambda: batches(images, given), hooks=[turns.hook()])


def _fused(given: argparse.Namespace, turns: Turns) -> None:
    from reproducible_ml.models import GANEstimator

    estimator = GANEstimator(
        critic_steps=given.critic_steps,
        critic_weight_clip=CLIP,
        **_compute_dtype(given),
        **_estimator_arguments(given),
    )
    images = load_images(given.data)
    estimator.train(lambda: batches(images, given), hooks=[turns.hook()])


def _example(given: argparse.Namespace, turns: Turns) -> None:
    import tensorflow as tf

    from reproducible_ml.models import critic_fn, generator_fn
    from reproducible_ml.models.gan import tfgan

    images = load_images(given.data)
    with tf.Graph().as_default():
        iterator = tf.compat.v1.data.make_initializable_iterator(batches(images, given))
        initializers = tf.compat.v1.GraphKeys.TABLE_INITIALIZERS
        tf.compat.v1.add_to_collection(initializers, iterator.initializer)
        noise, real = iterator.get_next()
        model = tfgan.gan_model(
            generator_fn("wgan", IMAGE_SHAPE, seed=1), critic_fn("wgan", IMAGE_SHAPE, seed=1),
            real, noise,
        )  # fmt: skip
        loss = tfgan.gan_loss(
            model, tfgan.losses.wasserstein_generator_loss,
            tfgan.losses.wasserstein_discriminator_loss,
        )  # fmt: skip
        critic_optimizer = tfgan.features.clip_discriminator_weights(_optimizer(), model, CLIP)
        operations = tfgan.gan_train_ops(model, loss, _optimizer(), critic_optimizer)
        steps = tfgan.GANTrainSteps(1, given.critic_steps)
        tfgan.gan_train(
            operations,
            logdir=None,
            get_hooks_fn=tfgan.get_sequential_train_hooks(steps),
            hooks=[turns.hook()],
            save_checkpoint_secs=None,
            save_summaries_steps=None,
            config=_threads(given),
        )


def _exact(given: argparse.Namespace, turns: Turns) -> None:
    from reproducible_ml.models.gan import Cadence, GANSettings, train_gan

    _hook_into_training(turns)
    # As ``fused``, without grids and checkpoints.
    cadence = Cadence(FOREVER, grid_every_steps=FOREVER, checkpoint_every_steps=FOREVER)
    settings = GANSettings(
        batch_size=given.batch_size,
        noise_dims=NOISE_DIMS,
        critic_steps=given.critic_steps,
        seed=1,
        **_compute_dtype(given),
    )
    train_gan(given.data, given.work / "model", settings, cadence)


def _tracked(given: argparse.Namespace, turns: Turns) -> None:
    from experiments.mnist_wgan import ex

    _hook_into_training(turns)
    updates = {
        "record_dir": given.data,
        "model_dir": str(given.work / "model"),
        "max_steps": FOREVER,
        "batch_size": given.batch_size,
        "noise_dims": NOISE_DIMS,
        "critic_steps": given.critic_steps,
        **_compute_dtype(given),
    }
    sys.stdout = sys.stderr
    ex.run(config_updates=updates, options={"--file_storage": str(given.work / "runs")})


TRAINEES: dict[str, Callable[[argparse.Namespace, Turns], None]] = {
    "stock": _stock,
    "example": _example,
    "keras": train_keras,
    "keras-jit": lambda given, turns: train_keras(given, turns, jit=True),
    "torch": train_torch,
    "fused": _fused,
    "exact": _exact,
    "tracked": _tracked,
}


def _hook_into_training(turns: Turns) -> None:
    """Let every training of the project's estimator count its steps."""
    from reproducible_ml.models.gan import estimator

    train = estimator.GANEstimator.train

    def counted(self: Any, input_fn: Any, hooks: Any = None, **arguments: Any) -> Any:
        return train(self, input_fn, hooks=[*(hooks or []), turns.hook()], **arguments)

    estimator.GANEstimator.train = counted


def _compute_dtype(given: argparse.Namespace) -> dict[str, str]:
    return {} if given.compute_dtype == "float32" else {"compute_dtype": given.compute_dtype}


def _estimator_arguments(given: argparse.Namespace) -> dict[str, Any]:
    import tensorflow as tf

    from reproducible_ml.models import GAN_TYPES, critic_fn, generator_fn

    row = GAN_TYPES["wgan"]
    return {
        "model_dir": str(given.work / "model"),
        "generator_fn": generator_fn("wgan", IMAGE_SHAPE, seed=1),
        "discriminator_fn": critic_fn("wgan", IMAGE_SHAPE, seed=1),
        "generator_loss_fn": row.generator_loss_fn,
        "discriminator_loss_fn": row.critic_loss_fn,
        "generator_optimizer": _optimizer(),
        "discriminator_optimizer": _optimizer(),
        "config": tf.estimator.RunConfig(
            save_checkpoints_steps=FOREVER, session_config=_threads(given)
        ),
    }


def _optimizer() -> Any:
    import tensorflow as tf

    return tf.compat.v1.train.RMSPropOptimizer(LEARNING_RATE)


def _threads(given: argparse.Namespace) -> Any:
    import tensorflow as tf

    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=given.threads, inter_op_parallelism_threads=given.threads
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
