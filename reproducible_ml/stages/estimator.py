"""Stage that trains any Estimator, evaluates it and records both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import Determinism, apply_determinism, set_environment
from reproducible_ml.stages.parts import default_dir, need_data, values_of
from reproducible_ml.tracking.recording import record_stage
from reproducible_ml.utils.text import SHORT_DIGEST


def train(
    run: Any,
    config: Mapping[str, Any],
    make_estimator: Callable[[str], Any],
    train_input: Callable[[], Any],
    *,
    serialize: Any = None,
    evaluate_input: Callable[[], Any] | None = None,
    max_steps: int | None = None,
    evaluate_every_steps: int | None = None,
    hooks: Any = None,
) -> dict[str, Any]:
    """Train an Estimator up to a step, or resume its training; evaluate and record it.

    What is recorded and what is refused is the same as for an Estimator's own ``train`` within an
    experiment, see ``stages.autolog``; this adds the data set, the folder and the evaluation.

    Args:
        run: The running Sacred run.
        config: The run's configuration. Of its keys these are read if they exist: ``model_dir``,
            ``max_steps``, ``evaluate_every_steps``, ``log_every_steps``, ``digest_every_steps``,
            ``grid_every_steps``, ``allow_changed``, those of ``Determinism``, and with
            ``serialize`` ``record_dir`` and the source's.
        make_estimator: Function from ``model_dir`` to the Estimator.
        train_input: Its ``input_fn`` for training; returns a ``tf.data.Dataset``.
        serialize: The Sacred experiment that writes ``record_dir``; None for other data.
        evaluate_input: Its ``input_fn`` for evaluation, whose dataset must end; None for none.
        max_steps: The step at which training ends; None for that of the configuration.
        evaluate_every_steps: Steps between two evaluations during training; None for the
            configuration's, and without one for the last step alone.
        hooks: Hooks of the training.

    Returns:
        The run's result: the step, the losses of the last step, the figures of the last evaluation
        and the digest.

    Raises:
        ConfigError: A setting is invalid, or ``model_dir`` belongs to another training.
        DataError: The data set is missing or damaged.
        TrainingDiverged: A loss is not finite.
    """
    determinism = Determinism(**values_of(Determinism, config))
    # Serialization may load TensorFlow, which reads the environment when it is imported.
    set_environment(determinism)
    if serialize is not None:
        need_data(run, config, serialize)
    apply_determinism(determinism, config["seed"])

    from reproducible_ml.models.exact import FigureLog, checkpoint_step, read_figures
    from reproducible_ml.stages.autolog import trainings_of

    model_dir = Path(config.get("model_dir") or default_dir(run))
    max_steps = max_steps or config.get("max_steps")
    every = evaluate_every_steps or config.get("evaluate_every_steps")
    outputs = ("model_dir",) if "model_dir" in config else ()
    inputs = ("record_dir",) if serialize is not None else ()
    record_stage(run, inputs=inputs, outputs=outputs)
    trainings = trainings_of(run)
    estimator = make_estimator(str(model_dir))
    figures: dict[str, float] = {}
    end = None
    step = checkpoint_step(model_dir) or 0
    evaluated = [point for point in read_figures(model_dir) if point.step <= step]
    for point in evaluated:
        trainings.points.scalar(*point)
    # A training may have been killed between a checkpoint and its evaluation.
    begin = step if any(point.step == step for point in evaluated) else max(step - 1, 0)
    for last in _ends(begin, max_steps, every if evaluate_input is not None else None):
        end = trainings.train(estimator.train, estimator, train_input, hooks, max_steps=last)
        if evaluate_input is None:
            continue
        figures = _evaluated(estimator, evaluate_input)
        with closing(FigureLog(model_dir, end.step - 1)) as log:
            for name, value in figures.items():
                log.write(name, value, end.step)
                trainings.points.scalar(name, value, end.step)
    assert end is not None
    shown = "  ".join(f"{name} {value:.4f}" for name, value in {**end.losses, **figures}.items())
    print(f"Step {end.step}, digest {end.digests['run'][:SHORT_DIGEST]}: {shown}")
    print(f"Checkpoint:  {end.checkpoint}")
    return {"step": end.step, **end.losses, "figures": figures, "digest": end.digests["run"]}


def _ends(step: int, max_steps: int | None, every: int | None) -> list[int | None]:
    """Return the steps at which training pauses for an evaluation, the last one included."""
    if every is None or max_steps is None:
        return [max_steps]
    return [*range((step // every + 1) * every, max_steps, every), max_steps]


def _evaluated(estimator: Any, evaluate_input: Callable[[], Any]) -> dict[str, float]:
    found = estimator.evaluate(evaluate_input)
    return {
        f"eval_{name}": float(value)
        for name, value in sorted(found.items())
        if name != "global_step"
    }
