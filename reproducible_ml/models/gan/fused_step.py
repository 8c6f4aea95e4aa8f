"""One training step as one graph: the generator's update, then each critic update.

The order is that of TF-GAN's sequential hooks with one generator step. First the generator is
updated against the critic of the previous step. Then the critic is updated ``critic_steps`` times,
each time on a new real batch and new latents, with the weights that the previous update wrote. Last
the step counter is incremented. TF-GAN needs one ``session.run`` for each of these and another one
to log a loss. Here a step is a single ``session.run``, and it returns the losses that were
differentiated.

Moving averages of batch norm follow TF-GAN too: the generator's are updated with the generator, the
critic's with each critic update. The vectors of spectral normalization are updated once before each
critic update, and not for the generator's update.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from reproducible_ml.models.exact import StepOutcome, mean_of_replicas
from reproducible_ml.models.gan.networks import power_iterations
from reproducible_ml.models.gan.stock import note_gan_model
from reproducible_ml.models.gan.tf_gan import contrib_utils, tfgan

# Prefix of the operations that a distribution strategy builds for all replicas but the first.
_REPLICA = re.compile(r"^replica_\d+/")


class Updates(NamedTuple):
    """Losses and optimizers of the two networks.

    Attributes:
        critic_steps: Critic updates per step.
        make_gan_model: Function from (latents, real batch) to a TF-GAN ``GANModel``; called once,
            since the critic updates reuse its networks.
        make_gan_loss: Function from a ``GANModel`` to a TF-GAN ``GANLoss``.
        generator_optimizer: Optimizer of the generator.
        critic_optimizer: Optimizer of the critic.
        critic_weight_clip: Bound of the critic's weights after each of its updates, or None.
        critic_penalty: Function from (``GANModel``, completed steps, number of the critic update)
            to a scalar that is added to the critic's loss, or None.
    """

    critic_steps: int
    make_gan_model: Callable[[Any, tf.Tensor], Any]
    make_gan_loss: Callable[[Any], Any]
    generator_optimizer: tf.compat.v1.train.Optimizer
    critic_optimizer: tf.compat.v1.train.Optimizer
    critic_weight_clip: float | None
    critic_penalty: Callable[[Any, tf.Tensor, int], tf.Tensor] | None = None


def build_step(updates: Updates, inputs: Any, real: tf.Tensor) -> StepOutcome:
    """Build the operations of one step.

    Args:
        updates: The networks' losses and optimizers.
        inputs: The generator's inputs, each a tensor [1 + critic_steps, batch, ...] that starts
            with the generator's update. ``labels`` in a dictionary are those of the real images:
            generated images get the labels of the real batch of the same update.
        real: [critic_steps, batch, ...], or [1 + critic_steps, batch, ...] if the generator's
            update has a real batch of its own, which only relativistic losses use. Otherwise it
            shares that of the first critic update.

    Returns:
        The step's outcome; fetching any part of it executes the whole step.
    """
    critic_steps = updates.critic_steps
    shared_batch = int(real.shape[0]) == critic_steps
    global_step = tf.compat.v1.train.get_global_step()
    # Read before the updates, which the increment of the counter waits for.
    completed = tf.identity(global_step) if updates.critic_penalty is not None else None
    seen = _UpdateOps()

    first = updates.make_gan_model(_of_update(inputs, 0, 0), real[0])
    note_gan_model(first)
    generator_loss = contrib_utils.create_train_op(
        updates.make_gan_loss(first).generator_loss,
        updates.generator_optimizer,
        global_step=None,
        update_ops=seen.new_ones_in(first.generator_scope.name),
        variables_to_train=first.generator_variables,
        check_numerics=False,
    )
    critic_optimizer = updates.critic_optimizer
    if updates.critic_weight_clip is not None:
        critic_optimizer = tfgan.features.clip_discriminator_weights(
            critic_optimizer, first, updates.critic_weight_clip
        )

    done = generator_loss
    for update in range(critic_steps):
        with tf.control_dependencies([done]):
            moved = power_iterations()
        # Operations wait only for the update that wrote what they read: samples for that of the
        # generator, scores for the previous one of the critic. Everything else runs in parallel
        # with the updates, such as the scores of the first real batch.
        critic_ready = moved if update == 0 else [done, *moved]
        batch = update if shared_batch else 1 + update
        gan_model = _built_again(
            first,
            _of_update(inputs, 1 + update, batch),
            real[batch],
            [generator_loss],
            critic_ready,
        )
        with tf.control_dependencies(critic_ready):
            critic_loss = updates.make_gan_loss(gan_model).discriminator_loss
            if updates.critic_penalty is not None:
                critic_loss += updates.critic_penalty(gan_model, completed, update)
            done = contrib_utils.create_train_op(
                critic_loss,
                critic_optimizer,
                global_step=None,
                update_ops=seen.new_ones_in(gan_model.discriminator_scope.name),
                variables_to_train=gan_model.discriminator_variables,
                check_numerics=False,
            )
    with tf.control_dependencies([done]):
        losses = mean_of_replicas([generator_loss, done])
    with tf.control_dependencies(losses):
        step = tf.compat.v1.assign_add(global_step, 1)
        step = tf.identity(step, name="step")
    with tf.control_dependencies([step]):
        named = zip(("generator_loss", "critic_loss"), losses)
        return StepOutcome(step, {name: tf.identity(loss) for name, loss in named})


def _built_again(
    gan_model: Any, inputs: Any, real: tf.Tensor, generator_ready: Any, critic_ready: Any
) -> Any:
    """Build the two networks again, on other inputs.

    Args:
        gan_model: A TF-GAN ``GANModel``, whose scopes, variables and functions are reused.
        inputs: The generator's inputs.
        real: The real batch.
        generator_ready: Operations that the generator awaits before it reads its weights.
        critic_ready: Operations that the critic awaits before it reads its weights.

    Returns:
        A ``GANModel`` for these inputs.
    """
    generator, critic = gan_model.generator_scope, gan_model.discriminator_scope
    scope = tf.compat.v1.variable_scope
    with tf.control_dependencies(generator_ready), scope(generator, reuse=True):
        generated = gan_model.generator_fn(inputs)
    with tf.control_dependencies(critic_ready), scope(critic, reuse=True):
        of_generated = gan_model.discriminator_fn(generated, inputs)
    with tf.control_dependencies(critic_ready), scope(critic, reuse=True):
        of_real = gan_model.discriminator_fn(real, inputs)
    return gan_model._replace(
        generator_inputs=inputs,
        generated_data=generated,
        real_data=real,
        discriminator_gen_outputs=of_generated,
        discriminator_real_outputs=of_real,
    )


def _of_update(inputs: Any, update: int, batch: int) -> Any:
    """Return the inputs of one update, with the labels of its real batch if there are labels."""
    if not isinstance(inputs, dict) or "labels" not in inputs:
        return tf.nest.map_structure(lambda tensor: tensor[update], inputs)
    others = {name: value for name, value in inputs.items() if name != "labels"}
    return {**_of_update(others, update, batch), "labels": inputs["labels"][batch]}


class _UpdateOps:
    """Tracks the update operations of batch norm, to give each update only its own."""

    def __init__(self) -> None:
        self._known: set[Any] = set()

    def new_ones_in(self, scope: str) -> list[tf.Operation]:
        """Return those added to one network since the last call.

        The first build is in the name scope ``<scope>``, the next in ``<scope>_1``, and so on.
        """
        operations = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
        new = [operation for operation in operations if operation not in self._known]
        self._known.update(new)
        return [one for one in new if _REPLICA.sub("", one.name).split("/")[0].startswith(scope)]
