"""TF-GAN's ``GANEstimator``, with a whole training step in one ``session.run``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from reproducible_ml.input_fn import called_at, current_place, note_taken
from reproducible_ml.models.exact import StepOutcome, computing_in, publish_outcome
from reproducible_ml.models.gan.fused_step import Updates, build_step
from reproducible_ml.models.gan.tf_gan import stock, tfgan
from reproducible_ml.utils.errors import ConfigError, need_count

_TRAIN, _EVAL = tf.estimator.ModeKeys.TRAIN, tf.estimator.ModeKeys.EVAL


class GANEstimator(tfgan.estimator.GANEstimator):
    """A ``tfgan.estimator.GANEstimator`` that runs each training step in one ``session.run``.

    It takes the arguments of TF-GAN's estimator in the same order and with the same meaning, except
    that ``critic_steps`` replaces ``get_hooks_fn``. Updates have the order of TF-GAN's sequential
    hooks, see ``fused_step``. The reported loss is the one that was differentiated, and the
    critic's weights can be clipped without naming its variables.

    ``train`` takes this project's ``input_fn`` with the same ``critic_steps``, whose elements hold
    all batches of a step. It also takes any function that returns a ``tf.data.Dataset`` of
    (generator inputs, real batch): 1 + ``critic_steps`` elements then make a step, and the first is
    for the generator. The generator's inputs may be any structure of tensors; ``labels`` in a
    dictionary are the labels of the real batch.

    For repeatable bits, a critic must not keep running averages: its passes over real and over
    generated images would update them in either order. ``critic_fn`` keeps none.

    Args:
        critic_steps: Critic updates per step, at least 1.
        critic_weight_clip: Bound of the critic's weights after each of its updates, or None.
        critic_penalty: Function from (``GANModel``, completed steps, number of the critic update)
            to a scalar that is added to the critic's training loss, or None; see ``penalties``.
        compute_dtype: Type in which the networks compute, "float32" or "bfloat16"; weights, losses
            and optimizers stay in float32.

    All other arguments are those of ``tfgan.estimator.GANEstimator``.

    Attributes:
        generator: The generator network in its compute type, called like ``generator_fn``.
        classes: Number of classes that the networks distinguish, 0 for networks without labels;
            None if it is unknown, since only ``make_gan_estimator`` sets it.

    Raises:
        ConfigError: ``critic_steps`` is below 1, ``get_hooks_fn`` is given, or ``compute_dtype`` is
            unknown. ``train`` and ``evaluate`` raise it for an unsuitable ``input_fn``.
    """

    classes: int | None = None

    def __init__(
        self,
        model_dir: str | None = None,
        generator_fn: Callable[..., Any] | None = None,
        discriminator_fn: Callable[..., Any] | None = None,
        generator_loss_fn: Callable[..., Any] | None = None,
        discriminator_loss_fn: Callable[..., Any] | None = None,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        get_hooks_fn: None = None,
        get_eval_metric_ops_fn: Callable[..., Any] | None = None,
        add_summaries: Any = None,
        use_loss_summaries: bool | None = True,
        config: tf.estimator.RunConfig | None = None,
        params: dict[str, Any] | None = None,
        warm_start_from: Any = None,
        is_chief: bool = True,
        *,
        critic_steps: int = 1,
        critic_weight_clip: float | None = None,
        critic_penalty: Callable[[Any, tf.Tensor, int], tf.Tensor] | None = None,
        compute_dtype: str = "float32",
    ) -> None:
        need_count("critic_steps", critic_steps)
        if get_hooks_fn is not None:
            raise ConfigError(
                "This GANEstimator updates both networks in one step, so it takes no get_hooks_fn: "
                "set critic_steps, or use tfgan.estimator.GANEstimator."
            )
        if generator_fn is not None and discriminator_fn is not None:
            generator_fn = computing_in(generator_fn, compute_dtype)
            discriminator_fn = computing_in(discriminator_fn, compute_dtype)
        super().__init__(
            model_dir,
            generator_fn,
            discriminator_fn,
            generator_loss_fn,
            discriminator_loss_fn,
            generator_optimizer,
            discriminator_optimizer,
            get_hooks_fn,
            get_eval_metric_ops_fn,
            add_summaries,
            use_loss_summaries,
            config,
            params,
            warm_start_from,
            is_chief,
        )
        self.generator = generator_fn
        self.critic_steps = critic_steps
        stock_model_fn: Any = self._model_fn  # type: ignore[has-type]

        def updates(params: dict[str, Any]) -> Updates:
            optimizers = stock._maybe_construct_optimizers(
                stock.Optimizers(generator_optimizer, discriminator_optimizer)
            )
            loss_arguments = stock.extract_gan_loss_args_from_params(params) or {}
            return Updates(
                critic_steps=critic_steps,
                make_gan_model=lambda inputs, real: stock.get_gan_model(
                    _TRAIN, generator_fn, discriminator_fn, real, inputs, add_summaries
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
            )

        def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
            if mode != _TRAIN:
                return stock_model_fn(features, labels, mode, params)
            outcome = build_step(updates(params), features, labels)
            # None is TF-GAN's default, and means True.
            return _train_spec(outcome, critic_steps, use_loss_summaries is not False)

        # TF-GAN's constructor sets its own model function, so this one replaces it afterwards.
        self._model_fn = model_fn

    def _assert_members_are_not_overridden(self) -> None:
        """Allow the overrides below; this is Estimator's own way to disable its check."""

    def _get_iterator_from_input_fn(
        self, input_fn: Any, mode: str, distribution: Any = None
    ) -> Any:
        """Create the global step before the data, since the data starts at that step."""
        if distribution is not None:
            tf.compat.v1.train.get_or_create_global_step()
        return super()._get_iterator_from_input_fn(input_fn, mode, distribution)

    def _create_global_step(self, graph: tf.Graph) -> Any:
        """Return the global step that ``_get_iterator_from_input_fn`` may have created."""
        return tf.compat.v1.train.get_or_create_global_step(graph)

    def _call_input_fn(self, input_fn: Any, mode: str, input_context: Any = None) -> Any:
        """Group the batches of an input_fn that does not yield whole steps."""
        call, batches = super()._call_input_fn, 1 + self.critic_steps
        if mode == _TRAIN:
            start = _completed_steps()
            data, place = called_at(lambda: call(input_fn, mode, input_context), start, batches)
        else:
            data = call(input_fn, mode, input_context)
        # An input_fn wrapped in another function has lost the attribute; its data keeps it.
        grouped = getattr(data, "critic_steps", getattr(input_fn, "critic_steps", None))
        if mode == _EVAL and grouped is not None:
            raise ConfigError(
                f"evaluate takes plain batches; this input_fn yields steps with "
                f"critic_steps={grouped}. Omit critic_steps there."
            )
        if mode != _TRAIN:
            return data
        if not isinstance(data, tf.data.Dataset):
            raise ConfigError(
                f"train takes an input_fn that returns a tf.data.Dataset, found a "
                f"{type(data).__name__}: a step draws 1 + critic_steps batches from it. For "
                f"tensors return tf.data.Dataset.from_tensors(tensors).repeat()."
            )
        if grouped is None:
            data = data.batch(batches, drop_remainder=True)
        elif grouped != self.critic_steps:
            raise ConfigError(
                f"The input_fn yields steps with critic_steps={grouped}, the estimator has "
                f"critic_steps={self.critic_steps}. Use the same value for both."
            )
        if not place.taken:
            data = data.skip(start * _turns(input_context))
        note_taken(data, place.manifest)
        return data


def _completed_steps() -> Any:
    """Return the number of elements, whole steps, that a training has consumed."""
    around = current_place()
    if around is not None:
        return around.element
    return tf.cast(tf.compat.v1.train.get_or_create_global_step(), tf.int64)


def _turns(input_context: Any) -> int:
    """Return how many replicas take elements of one dataset in turn."""
    if input_context is None:
        return 1
    return int(input_context.num_replicas_in_sync // input_context.num_input_pipelines)


class _NeedsAStep(tf.estimator.SessionRunHook):
    """Refuses a training whose data ends before the first step."""

    def __init__(self, critic_steps: int) -> None:
        self._critic_steps = critic_steps
        self._stepped = False

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Note that a step was made."""
        self._stepped = True

    def end(self, session: Any) -> None:
        """Refuse a training without a step, which Estimator would accept silently.

        Raises:
            ConfigError: No step was made.
        """
        if not self._stepped:
            raise ConfigError(
                f"The data ended before the first step, which takes {1 + self._critic_steps} "
                f"batches with critic_steps={self._critic_steps}. Repeat the data, or provide more."
            )


def _train_spec(outcome: StepOutcome, critic_steps: int, with_summaries: bool) -> Any:
    """Wrap a step for Estimator; its losses become summaries and are published to hooks."""
    publish_outcome(outcome)
    if with_summaries:
        for name, loss in outcome.losses.items():
            tf.compat.v1.summary.scalar(name, loss)
    return tf.estimator.EstimatorSpec(
        mode=_TRAIN,
        loss=outcome.losses["critic_loss"],
        train_op=outcome.step.op,
        training_hooks=[_NeedsAStep(critic_steps)],
    )
