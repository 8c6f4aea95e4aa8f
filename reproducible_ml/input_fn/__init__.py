"""Manifest to ``tf.data``: parse, order, noise, and the input function that an Estimator takes."""

from __future__ import annotations

from reproducible_ml.input_fn.noise import latents
from reproducible_ml.input_fn.pipeline import InputFn, input_fn
from reproducible_ml.input_fn.records import dataset_from_records, map_fn, shuffle_repeat_prefetch

__all__ = [
    "InputFn",
    "dataset_from_records",
    "input_fn",
    "latents",
    "map_fn",
    "shuffle_repeat_prefetch",
]
