"""The SavedModel of a generator, built from the graph with which the estimator predicts."""

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
        The inputs, by name, and the images.
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
        estimator: Estimator that builds the PREDICT graph.
        settings: Settings of its training.
        classes: Number of classes; 0 for a generator without labels.
        checkpoint: Prefix of the checkpoint with the weights.
        folder: Folder to write; it must not exist.
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
    """Add a check of the labels to the graph."""
    if not classes:
        return inputs
    # Without it, a one-hot encoding of a wrong label is all zeros and gives an image all the same.
    labels = inputs["labels"]
    within = tf.reduce_all(tf.logical_and(labels >= 0, labels < classes))
    said = f"labels must be from 0 to {classes - 1}, found:"
    with tf.control_dependencies([tf.debugging.Assert(within, [said, labels])]):
        return {**inputs, "labels": tf.identity(labels)}


def draw_loaded(folder: str | Path, inputs: Inputs) -> np.ndarray[Any, Any]:
    """Draw with a SavedModel, as its users do."""
    model = tf.saved_model.load(str(folder))
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return model.signatures[SIGNATURE](**tensors)["images"].numpy()


def signature_of(settings: GANSettings, image_shape: Sequence[int], classes: int) -> dict[str, Any]:
    """Describe the signature for those who do not load the model."""
    inputs: dict[str, Any] = {"latents": {"dtype": "float32", "shape": ["n", settings.noise_dims]}}
    if classes:
        inputs["labels"] = {"dtype": "int32", "shape": ["n"], "classes": classes}
    return {
        "name": SIGNATURE,
        "inputs": inputs,
        "outputs": {"images": {"dtype": "float32", "shape": ["n", *image_shape]}},
    }


def _features(inputs: dict[str, Any]) -> Any:
    """Return the features of the model function: the latents, or with labels a mapping of both."""
    return inputs if "labels" in inputs else inputs["latents"]
