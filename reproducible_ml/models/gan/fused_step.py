"""One training step as one graph: the generator's update, then each critic update.

The order is that of TF-GAN's sequential hooks with one generator step: the generator is updated
first, against the critic of the step before; then the critic ``critic_steps`` times, each time on a
fresh real batch and fresh latents, and with the weights that the update before it has written; last
the step counter moves. TF-GAN needs a ``session.run`` for each of these and one more to log a loss;
here a step is one ``session.run`` and the losses are those that were differentiated.

Moving averages of batch norm follow TF-GAN too: those of the generator move with its own update
only, those of the critic with each critic update. Vectors of spectral normalization move once
before each critic update, and never in the generator's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from reproducible_ml.models.exact import StepOutcome
from reproducible_ml.models.gan.networks import power_iterations
from reproducible_ml.models.gan.tf_gan import contrib_utils, tfgan

# In what a distribution strategy builds, the operations of all replicas but the first.
_REPLICA = re.compile(r"^replica_\d+/")


class Updates(NamedTuple):
    """How the two networks are scored and updated.

    Attributes:
        critic_steps: Critic updates a step.
        make_gan_model: From (latents, real batch) to a TF-GAN ``GANModel``; called once, the critic
            updates use its networks again.
        make_gan_loss: From a ``GANModel`` to a TF-GAN ``GANLoss``.
        generator_optimizer: Optimizer of the generator.
        critic_optimizer: Optimizer of the critic.
        critic_weight_clip: Bound of the critic's weights after each of its updates, or None.
        critic_penalty: From (``GANModel``, completed steps, number of the critic update) to a
            scalar that is added to the critic's loss, or None.
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
        inputs: The generator's inputs, each tensor [1 + critic_steps, batch, ...], the first for
            the generator's update. In a dictionary with ``labels`` these are the labels of the real
            images: generated ones have the labels of the real batch that their update sees.
        real: [critic_steps, batch, ...], or [1 + critic_steps, batch, ...] where the first batch
            belongs to the generator's update (only relativistic losses look at it). With fewer the
            generator's update looks at that of the first critic update.

    Returns:
        The step's outcome; fetching any of it executes the whole step.
    """
    critic_steps = updates.critic_steps
    shared_batch = int(real.shape[0]) == critic_steps
    global_step = tf.compat.v1.train.get_global_step()
    completed = tf.identity(global_step) if updates.critic_penalty is not None else None
    seen = _UpdateOps()

    first = updates.make_gan_model(_of_update(inputs, 0, 0), real[0])
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
        # What an update reads waits for who wrote it, and for nothing else: samples for the
        # generator's update, scores for the critic update before. So what needs neither runs
        # beside them, such as the scores of the first real batch.
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
        losses = _mean_of_replicas([generator_loss, done])
    with tf.control_dependencies(losses):
        step = tf.compat.v1.assign_add(global_step, 1)
        step = tf.identity(step, name="step")
    with tf.control_dependencies([step]):
        named = zip(("generator_loss", "critic_loss"), losses)
        return StepOutcome(step, {name: tf.identity(loss) for name, loss in named})


def _built_again(
    gan_model: Any, inputs: Any, real: tf.Tensor, generator_ready: Any, critic_ready: Any
) -> Any:
    """Build the two networks once more, on other inputs.

    Args:
        gan_model: A TF-GAN ``GANModel``, whose scopes, variables and functions are used.
        inputs: The generator's inputs.
        real: The real batch.
        generator_ready: What the generator waits for before it reads its weights.
        critic_ready: What the critic waits for before it reads its weights.

    Returns:
        A ``GANModel`` of these inputs.
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


def _mean_of_replicas(losses: list[tf.Tensor]) -> list[tf.Tensor]:
    """Average what each replica of a distribution strategy found on its own batch."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return losses
    return list(replica.all_reduce(tf.distribute.ReduceOp.MEAN, losses))


def _of_update(inputs: Any, update: int, batch: int) -> Any:
    """Take the inputs of an update, and the labels of a real batch where there are any."""
    if not isinstance(inputs, dict) or "labels" not in inputs:
        return tf.nest.map_structure(lambda tensor: tensor[update], inputs)
    others = {name: value for name, value in inputs.items() if name != "labels"}
    return {**_of_update(others, update, batch), "labels": inputs["labels"][batch]}


class _UpdateOps:
    """The update operations that appeared since the last look."""

    def __init__(self) -> None:
        self._known: set[Any] = set()

    def new_ones_in(self, scope: str) -> list[tf.Operation]:
        """Return those of one network; a second build of it lives in ``<scope>_1`` and so on."""
        operations = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
        new = [operation for operation in operations if operation not in self._known]
        self._known.update(new)
        return [one for one in new if _REPLICA.sub("", one.name).split("/")[0].startswith(scope)]
