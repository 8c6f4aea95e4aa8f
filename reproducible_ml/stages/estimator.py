"""Stage that trains any Estimator, evaluates it and records both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import Determinism, apply_determinism, set_environment
from reproducible_ml.stages.parts import default_dir, need_data, source_inputs, values_of
from reproducible_ml.tracking.recording import record_digest, record_stage
from reproducible_ml.utils.errors import ConfigError
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
    serving_input_receiver_fn: Callable[[], Any] | None = None,
) -> dict[str, Any]:
    """Train an Estimator up to a step, or resume its training; evaluate and record it.

    What is recorded and what is refused is the same as for an Estimator's own ``train`` within an
    experiment, see ``stages.autolog``; this adds the data set, the folder and the evaluation.

    Args:
        run: The running Sacred run.
        config: The run's configuration. Of its keys these are read if they exist: ``model_dir``,
            ``max_steps``, ``evaluate_every_steps``, ``log_every_steps``, ``digest_every_steps``,
            ``grid_every_steps``, ``allow_changed``, those of ``Determinism``, with ``serialize``
            ``record_dir`` and the source's, and ``export_dir``: a folder to which the trained
            model is exported, see ``models.export.export_estimator``; None for no export.
        make_estimator: Function from ``model_dir`` to the Estimator.
        train_input: Function without arguments that returns the training's ``tf.data.Dataset``, or
            an ``input_fn`` that does. It is called when the data set exists.
        serialize: The Sacred experiment that writes ``record_dir``; None for other data.
        evaluate_input: The same for evaluation, with data that ends; None for no evaluation.
        max_steps: The step at which training ends; None for that of the configuration, and without
            one for the end of the data.
        evaluate_every_steps: Steps between two evaluations during training; None for the
            configuration's, and without one for the last step alone.
        hooks: Hooks of the training.
        serving_input_receiver_fn: As for ``Estimator.export_saved_model``; None for the features of
            the training as tensors.

    Returns:
        The run's result: the step, the losses of the last step, the figures of the last evaluation
        as ``eval_...``, and the digest.

    Raises:
        ConfigError: A setting is invalid, or ``model_dir`` belongs to another training.
        DataError: The data set is missing or damaged.
        TrainingDiverged: A loss is not finite.
    """
    determinism = Determinism(**values_of(Determinism, config))
    max_steps = _whole("max_steps", max_steps, config)
    every = None
    if evaluate_input is not None:
        every = _every(evaluate_every_steps, config, max_steps)
    # Serialization may load TensorFlow, which reads the environment when it is imported.
    set_environment(determinism)
    inputs: list[str] = []
    if serialize is not None:
        manifest = need_data(run, config, serialize)
        inputs += ["record_dir", *source_inputs(config, manifest.source)]
    export_dir = config.get("export_dir")
    _check_export(export_dir, config.get("model_dir"))
    outputs = ["model_dir"] if "model_dir" in config else []
    # A run that exported nothing is executed again without an export.
    outputs += [] if export_dir is None else ["export_dir"]
    record_stage(run, inputs=inputs, outputs=outputs)
    apply_determinism(determinism, config["seed"])

    from reproducible_ml.models.exact import FigureLog, checkpoint_step, read_figures
    from reproducible_ml.stages.autolog import trainings_of

    model_dir = Path(config.get("model_dir") or default_dir(run))
    trainings = trainings_of(run)
    estimator = make_estimator(str(model_dir))
    read = _input_fn(train_input)
    evaluate_read = None if evaluate_input is None else _input_fn(evaluate_input)
    ends = _ends(checkpoint_step(model_dir) or 0, max_steps, every)
    for point in read_figures(model_dir):
        # The others are those of a training that was to end earlier.
        if every is not None and point.step < (ends[0] or 0) and point.step % every == 0:
            trainings.points.scalar(*point)
    figures: dict[str, float] = {}
    for last in ends:
        end = trainings.train(
            estimator.train, estimator, read, hooks, max_steps=last, final_step=max_steps
        )
        if evaluate_read is not None:
            figures = _evaluated(estimator, evaluate_read)
            with closing(FigureLog(model_dir, end.step - 1)) as log:
                for name, value in figures.items():
                    log.write(name, value, end.step)
                    trainings.points.scalar(name, value, end.step)
        if last is not None and end.step < last:
            break  # the data has ended
    if export_dir is not None:
        _export(run, estimator, evaluate_read or read, export_dir, serving_input_receiver_fn)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in {**end.losses, **figures}.items())
    print(f"Step {end.step}, digest {end.digests['run'][:SHORT_DIGEST]}: {shown}")
    print(f"Checkpoint:  {end.checkpoint}")
    return {"step": end.step, **end.losses, **figures, "digest": end.digests["run"]}


def _every(given: int | None, config: Mapping[str, Any], max_steps: int | None) -> int | None:
    every = _whole("evaluate_every_steps", given, config)
    if every is not None and max_steps is None:
        raise ConfigError(
            f"evaluate_every_steps is {every}, but nothing says where training ends: give "
            "max_steps too."
        )
    return every


def _check_export(export_dir: str | None, model_dir: str | None) -> None:
    """Refuse a folder for an export that holds anything but an earlier one of this training."""
    if export_dir is None:
        return
    from reproducible_ml.models.export import check_output, is_export_of

    check_output(export_dir, model_dir is not None and is_export_of(export_dir, model_dir))


def _export(
    run: Any,
    estimator: Any,
    read: Callable[[], Any],
    export_dir: str,
    serving_input_receiver_fn: Callable[[], Any] | None,
) -> None:
    from reproducible_ml.models.export import export_estimator, is_export_of

    facts = {
        "id": run._id,
        "experiment": run.experiment_info["name"],
        "digest": run.info["digest"],
        "data": run.info.get("dataset"),
    }
    done = export_estimator(
        estimator,
        read,
        export_dir,
        overwrite=is_export_of(export_dir, estimator.model_dir),
        run=facts,
        serving_input_receiver_fn=serving_input_receiver_fn,
    )
    record_digest(run, {"predictions": done.digest})
    print(f"Export:      {export_dir}")


def _whole(name: str, given: int | None, config: Mapping[str, Any]) -> int | None:
    value = config.get(name) if given is None else given
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ConfigError(f"{name} must be an integer from 1, found {value!r}.")
    return value


def _input_fn(given: Callable[[], Any]) -> Callable[[], Any]:
    """Return an ``input_fn`` that returns data, from a function that may return an ``input_fn``."""
    made: list[Callable[[], Any]] = []

    def read() -> Any:
        # Made once, since each opens the data set and checks it.
        found = made[0] if made else given()
        if not callable(found):
            return found
        made[:] = [found]
        return found()

    return read


def _ends(step: int, max_steps: int | None, every: int | None) -> list[int | None]:
    """Return the steps at which training pauses for an evaluation, the last one included.

    The step of a checkpoint is one of them: a training may have been killed between a checkpoint
    and the end of its evaluation.
    """
    if every is None or max_steps is None:
        return [max_steps]
    first = max(-(-step // every), 1) * every
    return [*range(first, max_steps, every), max_steps]


def _evaluated(estimator: Any, evaluate_input: Callable[[], Any]) -> dict[str, float]:
    found = estimator.evaluate(evaluate_input)
    return {
        f"eval_{name.replace('/', '_')}": float(value)
        for name, value in sorted(found.items())
        if name != "global_step"
    }
