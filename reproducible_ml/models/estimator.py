"""TF-GAN's ``GANEstimator`` with the whole step in one ``session.run``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from reproducible_ml.models.fused_step import STEP_OUTCOME, StepOutcome, Updates, build_step
from reproducible_ml.models.precision import computing_in
from reproducible_ml.models.tf_gan import stock, tfgan
from reproducible_ml.utils.errors import ConfigError

_TRAIN = tf.estimator.ModeKeys.TRAIN


class GANEstimator(tfgan.estimator.GANEstimator):
    """A ``tfgan.estimator.GANEstimator`` that executes a step at once.

    The arguments are those of TF-GAN's estimator, and what they do is the same, but for three
    things: ``critic_steps`` takes the place of ``get_hooks_fn`` (the order of updates is that of
    TF-GAN's sequential hooks, see ``fused_step``), the reported loss is the one that was
    differentiated, and the critic's weights can be clipped without knowing its variables.

    ``train`` takes the ``input_fn`` of this project with the same ``critic_steps``, whose elements
    hold all batches of a step, or any other that yields (latents, real batch): then
    1 + ``critic_steps`` of its elements make a step, the first for the generator. The generator's
    inputs may be a dictionary of ``latents`` and ``labels``.

    A critic must keep no running averages of its own if its bits are to repeat: two passes, over
    real and over generated images, would move them in either order. ``critic_fn`` keeps none.

    Args:
        critic_steps: Critic updates a step, at least 1.
        critic_weight_clip: Bound of the critic's weights after each of its updates, or None.
        critic_penalty: From (``GANModel``, completed steps, number of the critic update) to a
            scalar that is added to the critic's loss while it trains, or None; see ``penalties``.
        compute_dtype: "float32", or "bfloat16" for networks that compute in it; weights, losses
            and optimizers stay in float32.
        **stock_arguments: Those of ``tfgan.estimator.GANEstimator``.

    Attributes:
        generator: The generator network in its compute type, ``generator_fn``'s parameters.

    Raises:
        ConfigError: ``critic_steps`` is below 1, ``get_hooks_fn`` is given, or there is no such
            compute type.
    """

    def __init__(
        self,
        model_dir: str | None = None,
        generator_fn: Callable[..., Any] | None = None,
        discriminator_fn: Callable[..., Any] | None = None,
        generator_loss_fn: Callable[..., Any] | None = None,
        discriminator_loss_fn: Callable[..., Any] | None = None,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        critic_steps: int = 1,
        critic_weight_clip: float | None = None,
        critic_penalty: Callable[[Any, tf.Tensor, int], tf.Tensor] | None = None,
        compute_dtype: str = "float32",
        **stock_arguments: Any,
    ) -> None:
        if critic_steps < 1:
            raise ConfigError(f"critic_steps must be 1 or more, found {critic_steps}.")
        if stock_arguments.get("get_hooks_fn") is not None:
            raise ConfigError(
                "This GANEstimator updates both networks in one step, so get_hooks_fn has no use: "
                "set critic_steps, or take tfgan.estimator.GANEstimator."
            )
        if generator_fn is not None and discriminator_fn is not None:
            generator_fn = computing_in(generator_fn, compute_dtype)
            discriminator_fn = computing_in(discriminator_fn, compute_dtype)
        self.generator = generator_fn
        super().__init__(
            model_dir,
            generator_fn,
            discriminator_fn,
            generator_loss_fn,
            discriminator_loss_fn,
            generator_optimizer,
            discriminator_optimizer,
            **stock_arguments,
        )
        self.critic_steps = critic_steps
        stock_model_fn: Any = self._model_fn  # type: ignore[has-type]

        def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
            if mode != _TRAIN:
                return stock_model_fn(features, labels, mode, params)
            optimizers = stock._maybe_construct_optimizers(
                stock.Optimizers(generator_optimizer, discriminator_optimizer)
            )
            loss_arguments = stock.extract_gan_loss_args_from_params(params) or {}
            outcome = build_step(
                Updates(
                    make_gan_model=lambda inputs, real: stock.get_gan_model(
                        mode, generator_fn, discriminator_fn, real, inputs, add_summaries=None
                    ),
                    make_gan_loss=lambda gan_model: tfgan.gan_loss(
                        gan_model,
                        generator_loss_fn,
                        discriminator_loss_fn,
                        add_summaries=False,
                        **loss_arguments,
                    ),
                    generator_optimizer=optimizers.gopt,
                    critic_optimizer=optimizers.dopt,
                    critic_weight_clip=critic_weight_clip,
                    critic_penalty=critic_penalty,
                ),
                features,
                labels,
            )
            return _train_spec(outcome)

        # Estimator copies nothing from the model function but its signature, checked above.
        self._model_fn = model_fn

    def _assert_members_are_not_overridden(self) -> None:
        """Allow the overrides below; Estimator's own way to opt out of its check."""

    def _get_iterator_from_input_fn(
        self, input_fn: Any, mode: str, distribution: Any = None
    ) -> Any:
        """Create the global step before the data, which begin at it; TensorFlow does so after."""
        if distribution is not None:
            tf.compat.v1.train.get_or_create_global_step()
        return super()._get_iterator_from_input_fn(input_fn, mode, distribution)

    def _create_global_step(self, graph: tf.Graph) -> Any:
        """Take the step that exists already."""
        return tf.compat.v1.train.get_or_create_global_step(graph)

    def _call_input_fn(self, input_fn: Any, mode: str, input_context: Any = None) -> Any:
        """Group the batches of an input_fn that knows nothing of steps."""
        data = super()._call_input_fn(input_fn, mode, input_context)
        if mode != _TRAIN:
            return data
        grouped = getattr(input_fn, "critic_steps", None)
        if grouped is None:
            return data.batch(1 + self.critic_steps, drop_remainder=True)
        if grouped != self.critic_steps:
            raise ConfigError(
                f"The input_fn yields steps with critic_steps={grouped}, the estimator has "
                f"critic_steps={self.critic_steps}. Give both the same."
            )
        return data


def _train_spec(outcome: StepOutcome) -> tf.estimator.EstimatorSpec:
    """Wrap a step for the Estimator, with its losses as summaries and for hooks."""
    outcomes = tf.compat.v1.get_collection_ref(STEP_OUTCOME)
    # Every replica of a distribution strategy comes here, and all find the same.
    if not outcomes:
        outcomes.extend(outcome)
    tf.compat.v1.summary.scalar("generator_loss", outcome.generator_loss)
    tf.compat.v1.summary.scalar("critic_loss", outcome.critic_loss)
    return tf.estimator.EstimatorSpec(
        mode=_TRAIN, loss=outcome.critic_loss, train_op=outcome.step.op
    )
