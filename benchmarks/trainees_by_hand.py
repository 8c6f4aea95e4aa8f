"""Contenders in Keras and PyTorch, as an expert writes them by hand without an Estimator.

Both have the same networks, optimizer and order of updates as the others.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.training_setting import (
    CLIP,
    IMAGE_SHAPE,
    LEARNING_RATE,
    MOMENTUM,
    NOISE_DIMS,
    batches,
    load_images,
)


def train_keras(given: argparse.Namespace, turns: Any, jit: bool = False) -> None:
    """Train with Keras layers and one ``@tf.function`` per step, compiled by XLA on request."""
    import tensorflow as tf

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
    # The legacy optimizers are faster on a CPU.
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

    iterator = iter(batches(load_images(given.data), given, noise=False))
    while True:
        # The loss is read at each step, as the estimators do.
        float(step(iterator)[0])
        if not turns.step_done():
            return


def train_torch(given: argparse.Namespace, turns: Any) -> None:
    """Train with PyTorch in channels last, its fastest memory format on a CPU."""
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(given.threads)
    torch.manual_seed(1)
    # PyTorch's momentum is the share of the new batch.
    forget = 1 - MOMENTUM

    class Same(nn.Conv2d):
        """A convolution of stride 1 that keeps the size, padded like TensorFlow's for 4 x 4."""

        def forward(self, images: Any) -> Any:
            return super().forward(functional.pad(images, (1, 2, 1, 2)))

    def up(inputs: int, width: int) -> list[Any]:
        return [
            nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width, momentum=forget),
            nn.ReLU(),
        ]

    def dense(inputs: int, width: int) -> list[Any]:
        return [
            nn.Linear(inputs, width, bias=False),
            nn.BatchNorm1d(width, momentum=forget),
            nn.ReLU(),
        ]

    generator = nn.Sequential(
        *dense(NOISE_DIMS, 1024),
        *dense(1024, 7 * 7 * 256),
        nn.Unflatten(1, (256, 7, 7)),
        *up(256, 64),
        *up(64, 32),
        Same(32, 1, 4),
        nn.Tanh(),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    critic = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.ZeroPad2d((1, 2, 1, 2)),
        nn.Conv2d(128, 1, 4, 2),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = [
        torch.optim.RMSprop(network.parameters(), lr=LEARNING_RATE, alpha=0.9)
        for network in (generator, critic)
    ]

    def real_batches() -> Any:
        images = torch.from_numpy(np.moveaxis(load_images(given.data), 3, 1).copy())
        while True:
            order = torch.randperm(len(images))
            for first in range(0, len(order) - given.batch_size + 1, given.batch_size):
                batch = images[order[first : first + given.batch_size]]
                yield batch.contiguous(memory_format=torch.channels_last)

    def samples() -> Any:
        return generator(torch.randn(given.batch_size, NOISE_DIMS))

    real = real_batches()
    while True:
        optimizers[0].zero_grad(set_to_none=True)
        critic.requires_grad_(False)
        loss = -critic(samples()).mean()
        loss.backward()
        optimizers[0].step()
        critic.requires_grad_(True)
        for _ in range(given.critic_steps):
            with torch.no_grad():
                fake = samples()
            optimizers[1].zero_grad(set_to_none=True)
            (critic(fake).mean() - critic(next(real)).mean()).backward()
            optimizers[1].step()
            with torch.no_grad():
                for weights in critic.parameters():
                    weights.clamp_(-CLIP, CLIP)
        float(loss.detach())
        if not turns.step_done():
            return
