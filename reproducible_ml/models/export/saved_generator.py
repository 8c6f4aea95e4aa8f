"""The generator as a SavedModel, written from the graph that the estimator itself predicts with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.models.gan import GANSettings, grid_inputs

SIGNATURE = "serving_default"
Inputs = dict[str, np.ndarray[Any, Any]]


def draw_grid(
    estimator: Any, settings: GANSettings, classes: int, checkpoint: str
) -> tuple[Inputs, np.ndarray[Any, Any]]:
    """Draw the samples of the training's grids from a checkpoint, as the training does.

    Returns:
        The inputs by name, and the images.
    """
    shown = grid_inputs(settings.seed, settings.noise_dims, classes)
    inputs: Inputs = shown if isinstance(shown, dict) else {"latents": shown}

    def grid_input() -> Any:
        return tf.data.Dataset.from_tensors(_features(inputs))

    samples = estimator.predict(grid_input, checkpoint_path=checkpoint)
    return inputs, np.stack(list(samples))


def save_generator(
    estimator: Any, settings: GANSettings, classes: int, checkpoint: str, folder: str | Path
) -> None:
    """Write a SavedModel with one signature.

    Args:
        estimator: Of which the PREDICT graph is taken.
        settings: What it was trained with.
        classes: Number of classes, 0 for a generator without labels.
        checkpoint: Prefix of the checkpoint with the weights.
        folder: Where to; must not exist.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = {
            "latents": tf.compat.v1.placeholder(tf.float32, [None, settings.noise_dims], "latents")
        }
        if classes:
            inputs["labels"] = tf.compat.v1.placeholder(tf.int32, [None], "labels")
        spec = estimator.model_fn(
            _features(_checked(inputs, classes)),
            None,
            tf.estimator.ModeKeys.PREDICT,
            estimator.config,
        )
        images = tf.identity(spec.predictions, name="images")
        variables = tf.compat.v1.global_variables()
        tf.compat.v1.train.Saver(variables).restore(session, checkpoint)
        signature = tf.compat.v1.saved_model.predict_signature_def(inputs, {"images": images})
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.SERVING], signature_def_map={SIGNATURE: signature}
        )
        builder.save()


def _checked(inputs: dict[str, Any], classes: int) -> dict[str, Any]:
    """Let the graph itself refuse labels that it would take for no class at all."""
    if not classes:
        return inputs
    labels = inputs["labels"]
    within = tf.reduce_all(tf.logical_and(labels >= 0, labels < classes))
    said = f"labels must be from 0 to {classes - 1}, found:"
    with tf.control_dependencies([tf.debugging.Assert(within, [said, labels])]):
        return {**inputs, "labels": tf.identity(labels)}


def draw_loaded(folder: str | Path, inputs: Inputs) -> np.ndarray[Any, Any]:
    """Draw with a SavedModel, as whoever gets it does."""
    model = tf.saved_model.load(str(folder))
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return model.signatures[SIGNATURE](**tensors)["images"].numpy()


def signature_of(settings: GANSettings, image_shape: Sequence[int], classes: int) -> dict[str, Any]:
    """Describe the signature for people and programs that do not load it."""
    inputs: dict[str, Any] = {"latents": {"dtype": "float32", "shape": ["n", settings.noise_dims]}}
    if classes:
        inputs["labels"] = {"dtype": "int32", "shape": ["n"], "classes": classes}
    return {
        "name": SIGNATURE,
        "inputs": inputs,
        "outputs": {"images": {"dtype": "float32", "shape": ["n", *image_shape]}},
    }


def _features(inputs: dict[str, Any]) -> Any:
    """Return what the model function takes: the latents, with labels a dictionary of both."""
    return inputs if "labels" in inputs else inputs["latents"]
