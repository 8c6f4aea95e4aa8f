"""Manifest to ``tf.data``: parse, order, noise, and the input function that an Estimator takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.input_fn.gan import GANInputFn, input_fn
    from reproducible_ml.input_fn.noise import latents, stateless_normal, stream_key
    from reproducible_ml.input_fn.pipeline import InputFn
    from reproducible_ml.input_fn.positions import Positions
    from reproducible_ml.input_fn.records import (
        dataset_from_records,
        map_fn,
        shuffle_repeat_prefetch,
    )
    from reproducible_ml.input_fn.split import (
        count_classes,
        image_shape,
        session_config,
        split_batches,
    )
    from reproducible_ml.input_fn.starting import called_at, current_place, note_taken, starting_at
    from reproducible_ml.input_fn.supervised import SupervisedInputFn, supervised_input_fn
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "GANInputFn",
    "InputFn",
    "Positions",
    "SupervisedInputFn",
    "called_at",
    "count_classes",
    "current_place",
    "dataset_from_records",
    "image_shape",
    "input_fn",
    "latents",
    "map_fn",
    "note_taken",
    "session_config",
    "shuffle_repeat_prefetch",
    "split_batches",
    "starting_at",
    "stateless_normal",
    "stream_key",
    "supervised_input_fn",
]
