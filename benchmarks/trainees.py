"""Contenders of the training benchmark, each a process that trains when it is told to.

$ python -m benchmarks.trainees fused --data data/mnist --work /tmp/work

A process starts, warms up, says that it is ready, and then waits: each line that it reads is a
number of steps to train. So contenders take turns without paying for their start, and a waiting
one takes no time of the machine.

- ``stock``      TF-GAN's GANEstimator with its sequential hooks;
- ``example``    ``tfgan.gan_train``, as in TF-GAN's example for MNIST, with the same hooks;
- ``keras``      a loop by hand: Keras layers, one ``@tf.function`` a step;
- ``keras-jit``  the same, each step compiled by XLA;
- ``fused``      this project's GANEstimator on the same input, with nothing of exactness;
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

NOISE_DIMS, IMAGE_SHAPE = 64, (28, 28, 1)
LEARNING_RATE, CLIP = 5e-4, 0.03
# slim's and Keras' batch norm forget at this rate here, as the project's networks do.
MOMENTUM = 0.9
# The graph of an Estimator holds them all, so few start sooner.
IMAGES = 10_000
# Beyond what any measurement takes.
FOREVER = 10**8


class Turns:
    """Counts steps, and waits for the next order when they are done."""

    def __init__(self, warm_up: int) -> None:
        self.left = warm_up
        # A run prints its own words to what is ``sys.stdout`` by then.
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
        """Give a session hook that counts steps."""
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
    TRAINEES[arguments.name](arguments, Turns(arguments.warm_up))


def _stock(given: argparse.Namespace, turns: Turns) -> None:
    from reproducible_ml.models.tf_gan import tfgan

    steps = tfgan.GANTrainSteps(1, given.critic_steps)
    estimator = tfgan.estimator.GANEstimator(
        get_hooks_fn=tfgan.get_sequential_train_hooks(steps), **_estimator_arguments(given)
    )
    images = _images(given.data)
    estimator.train(lambda: _batches(images, given), hooks=[turns.hook()])


def _fused(given: argparse.Namespace, turns: Turns) -> None:
    from reproducible_ml.models import GANEstimator

    estimator = GANEstimator(
        critic_steps=given.critic_steps,
        critic_weight_clip=CLIP,
        **_compute_dtype(given),
        **_estimator_arguments(given),
    )
    images = _images(given.data)
    estimator.train(lambda: _batches(images, given), hooks=[turns.hook()])


def _example(given: argparse.Namespace, turns: Turns) -> None:
    import tensorflow as tf

    from reproducible_ml.models import critic_fn, generator_fn
    from reproducible_ml.models.tf_gan import tfgan

    images = _images(given.data)
    with tf.Graph().as_default():
        iterator = tf.compat.v1.data.make_initializable_iterator(_batches(images, given))
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


def _keras(given: argparse.Namespace, turns: Turns, jit: bool = False) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    tf.config.threading.set_inter_op_parallelism_threads(given.threads)
    layers = tf.keras.layers

    def normalized(layer: Any) -> list[Any]:
        return [layer, layers.BatchNormalization(momentum=MOMENTUM), layers.ReLU()]

    def leaky(width: int) -> Any:
        return layers.Conv2D(width, 4, 2, "same", activation=lambda x: tf.nn.leaky_relu(x, 0.2))

    generator = tf.keras.Sequential(
        [
            layers.Input([NOISE_DIMS]),
            *normalized(layers.Dense(1024, use_bias=False)),
            *normalized(layers.Dense(7 * 7 * 256, use_bias=False)),
            layers.Reshape((7, 7, 256)),
            *normalized(layers.Conv2DTranspose(64, 4, 2, "same", use_bias=False)),
            *normalized(layers.Conv2DTranspose(32, 4, 2, "same", use_bias=False)),
            layers.Conv2D(1, 4, 1, "same", activation="tanh"),
        ]
    )
    critic = tf.keras.Sequential(
        [layers.Input(IMAGE_SHAPE), leaky(64), leaky(128), layers.Conv2D(1, 4, 2, "same")]
    )
    # The legacy optimizers are the faster ones on a CPU.
    optimizers = [tf.keras.optimizers.legacy.RMSprop(LEARNING_RATE) for _ in range(2)]

    def noise() -> Any:
        return tf.random.normal([given.batch_size, NOISE_DIMS])

    def score(images: Any) -> Any:
        return tf.reduce_mean(critic(images, training=True))

    def update(batches: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = -score(generator(noise(), training=True))
        variables = generator.trainable_variables
        optimizers[0].apply_gradients(zip(tape.gradient(loss, variables), variables))
        for real in batches:
            fake = generator(noise(), training=True)
            with tf.GradientTape() as tape:
                critic_loss = score(fake) - score(real)
            variables = critic.trainable_variables
            optimizers[1].apply_gradients(zip(tape.gradient(critic_loss, variables), variables))
            for variable in variables:
                variable.assign(tf.clip_by_value(variable, -CLIP, CLIP))
        return loss, critic_loss

    compiled = tf.function(update, jit_compile=True) if jit else update

    @tf.function
    def step(iterator: Any) -> Any:
        return compiled([next(iterator)[1] for _ in range(given.critic_steps)])

    iterator = iter(_batches(_images(given.data), given, noise=False))
    while True:
        # A loss is looked at each step, as the estimators do.
        float(step(iterator)[0])
        if not turns.step_done():
            return


def _exact(given: argparse.Namespace, turns: Turns) -> None:
    from reproducible_ml.models.settings import Cadence, GANSettings
    from reproducible_ml.models.training import train_gan

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
    "keras": _keras,
    "keras-jit": lambda given, turns: _keras(given, turns, jit=True),
    "fused": _fused,
    "exact": _exact,
    "tracked": _tracked,
}


def _hook_into_training(turns: Turns) -> None:
    """Let every training of the project's estimator count its steps."""
    from reproducible_ml.models import estimator

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


def _images(record_dir: str) -> Any:
    """Return training images, scaled, without starting TensorFlow's own threads."""
    import numpy as np
    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        data = input_fn(record_dir, repeat=False, batch_size=500)().take(IMAGES // 500)
        iterator = tf.compat.v1.data.make_initializable_iterator(data)
        batch = iterator.get_next()[1]
        session.run(iterator.initializer)
        found = []
        while True:
            try:
                found.append(session.run(batch))
            except tf.errors.OutOfRangeError:
                return np.concatenate(found)


def _batches(images: Any, given: argparse.Namespace, noise: bool = True) -> Any:
    """Shuffle and batch images in memory, with stateful noise beside them."""
    import tensorflow as tf

    dims = NOISE_DIMS if noise else 1

    def with_noise(batch: Any) -> Any:
        return tf.random.normal([given.batch_size, dims]), batch

    data = tf.data.Dataset.from_tensor_slices(images).shuffle(2000).repeat()
    return data.batch(given.batch_size, drop_remainder=True).map(with_noise).prefetch(2)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
