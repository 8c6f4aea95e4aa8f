"""Stages that evaluate a GAN: the training of a classifier, and the figures of a trained GAN.

Each figure is recorded with what it is based on: counts, layer and classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.models.evaluation import ClassifierSettings, train_classifier
from reproducible_ml.models.exact import (
    Determinism,
    apply_determinism,
    checkpoint_step,
    set_environment,
)
from reproducible_ml.models.gan import result_digests
from reproducible_ml.stages.checks import check_evaluation
from reproducible_ml.stages.origins import record_origin
from reproducible_ml.stages.parts import (
    Points,
    default_dir,
    need_data,
    record_probe,
    source_inputs,
    values_of,
)
from reproducible_ml.tracking.recording import (
    record_checkpoint,
    record_dataset,
    record_digest,
    record_image,
    record_stage,
    record_upstream,
    seal_run,
)
from reproducible_ml.tracking.runs import hold_folder
from reproducible_ml.utils.text import SHORT_DIGEST, table


def classifier_stage(run: Any, config: Mapping[str, Any], serialize: Any) -> dict[str, Any]:
    """Train a classifier; serialize its data set first if there is none yet.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_classifier``.
        serialize: The Sacred experiment that writes ``record_dir``.

    Returns:
        The run's result: steps, last loss, accuracies and digest.
    """
    determinism = Determinism(**values_of(Determinism, config))
    # Serialization may load TensorFlow, which reads the environment when it is imported.
    set_environment(determinism)
    settings = ClassifierSettings(determinism=determinism, **values_of(ClassifierSettings, config))
    manifest = need_data(run, config, serialize)
    record_dir = Path(config["record_dir"])
    classifier_dir = Path(config["classifier_dir"] or default_dir(run))
    record_stage(
        run,
        inputs=("record_dir", *source_inputs(config, manifest.source)),
        outputs=("classifier_dir",),
        scheduled=("learning_rate",),
    )
    points = Points(run)
    hold_folder(run, classifier_dir)
    result = train_classifier(
        record_dir, classifier_dir, settings, config["log_every_steps"], points.scalar
    )
    accuracies = {"accuracy": result.accuracy, "eval_accuracy": result.eval_accuracy}
    for name, value in accuracies.items():
        if value is not None:
            points.scalar(name, value, result.step)
    record_checkpoint(run, result.checkpoint, result.step)
    record_digest(run, result.digests)
    record_probe(run, determinism)
    seal_run(run, points.points)
    if result.accuracy is not None:
        print(f"Accuracy:   {result.accuracy:.2%} of the test split")
    elif result.eval_accuracy is not None:
        print(f"Accuracy:   {result.eval_accuracy:.2%} of the eval split; there is no test split")
    else:
        print("Accuracy:   not measured: there is neither a test nor an eval split")
    print(f"Classifier: {classifier_dir}, digest {result.digests['weights'][:SHORT_DIGEST]}")
    return {
        "step": result.step,
        "loss": result.loss,
        **accuracies,
        "classifier": result.digests["weights"],
        "digest": result.digests["run"],
    }


def evaluation_stage(run: Any, config: Mapping[str, Any], serialize: Any) -> dict[str, Any]:
    """Evaluate a trained GAN.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_evaluate``.
        serialize: The Sacred experiment that writes ``record_dir``.

    Returns:
        The run's result: the GAN's step, the figures by name, and the digest.

    Raises:
        ConfigError: A folder is not given, or GAN, classifier and data do not match.
        DataError: A folder is missing or damaged.
    """
    check_evaluation(config)
    determinism = Determinism(**values_of(Determinism, config))
    record_dir, model_dir = Path(config["record_dir"]), Path(config["model_dir"])
    classifier_dir = Path(config["classifier_dir"])
    apply_determinism(determinism, config["seed"])

    from reproducible_ml.models.evaluation import DESCRIPTION_FILE, evaluate_gan

    manifest = read_manifest(record_dir)
    record_upstream(run, serialize.path, manifest.fingerprint)
    record_dataset(run, "records", manifest)
    record_stage(
        run, inputs=("record_dir", "model_dir", "classifier_dir"), outputs=("evaluation_dir",)
    )
    evaluation_dir = Path(config["evaluation_dir"] or default_dir(run))
    # Before the work, since a damaged file is refused. Without a checkpoint, the work refuses.
    trained = result_digests(model_dir, checkpoint_step(model_dir) or 0) or {}
    with _numpy_threads(determinism.intra_op_threads):
        result = evaluate_gan(
            record_dir, model_dir, classifier_dir, evaluation_dir, config["samples"], config["seed"]
        )
    record_origin(run, "model_dir", model_dir, "run", trained.get("run"))
    judge = result.digests["classifier"]
    record_origin(run, "classifier_dir", classifier_dir, "weights", judge)
    run.add_resource(str(classifier_dir / DESCRIPTION_FILE))
    # Each value with what it is based on: N, the layer and the classifier.
    run.info["evaluation"] = [asdict(one) for one in result.figures]
    points = Points(run)
    for one in result.figures:
        points.scalar(one.name, one.value, result.step)
        points.scalar(f"{one.name}_floor", one.floor, result.step)
    record_image(run, result.grid, step=result.step)
    record_digest(run, result.digests)
    record_probe(run, determinism)
    seal_run(run, points.points)
    print(figures_table(result.figures))
    print(f"Samples beside their nearest training images: {result.grid}")
    return {
        "step": result.step,
        "figures": {one.name: one.value for one in result.figures},
        "digest": result.digests["run"],
    }


def figures_table(figures: Sequence[Any]) -> str:
    """Format figures as a table.

    Args:
        figures: ``figures`` of a ``models.evaluation.Evaluation``.
    """
    rows = [("figure", "value", "N", "floor", "N of floor", "against", "layer")]
    for one in figures:
        rows.append(
            (
                one.name,
                f"{one.value:.4f}",
                f"{one.samples:,}",
                f"{one.floor:.4f}",
                f"{one.floor_samples:,}",
                _against(one),
                one.layer,
            )
        )
    # Not cut to the terminal's width: a cut number is worse than a long line.
    lines = table(rows, right=range(1, 5))
    first = figures[0]
    lines.append(
        f"Floor: {first.floor_samples:,} training images, drawn with seed {first.seed}. "
        f"Classifier {first.classifier[:SHORT_DIGEST]}"
    )
    if first.floor_samples < first.samples:
        lines.append(
            f"There are fewer training images than samples, so the floor can't be compared: a "
            f"smaller N has a higher Frechet distance. Evaluate with samples={first.floor_samples}."
        )
    return "\n".join(lines)


def _against(figure: Any) -> str:
    """Return the number and the split of the real images with which a figure is compared."""
    if not figure.references:
        return ""
    found = f"{figure.references:,} {figure.against}"
    if figure.floor_references == figure.references:
        return found
    return f"{found} (floor {figure.floor_references:,})"


@contextmanager
def _numpy_threads(count: int) -> Iterator[None]:
    """Limit NumPy's threads, since the order of sums in its matrix products depends on them."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(count, "blas"):
        yield
