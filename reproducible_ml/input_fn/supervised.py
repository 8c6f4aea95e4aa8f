"""The input function of any Estimator: features by name, and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.input_fn.parse import check_scalable, is_ragged, scale
from reproducible_ml.input_fn.pipeline import InputFn
from reproducible_ml.input_fn.positions import Positions
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.running import root_seed

# Added to the name of a feature of varying length.
LENGTH_SUFFIX = "_length"
# Feature columns skip an integer of -1 as a missing value.
PADDING = -1


class SupervisedInputFn(InputFn):
    """The input function of features and labels; see ``supervised_input_fn``.

    Attributes:
        feature_keys: Features of the first part of an element.
        label_key: Feature that holds the labels, or None.
    """

    def __init__(
        self,
        record_dir: str | Path,
        feature_keys: Sequence[str],
        label_key: str | None,
        **reading: Any,
    ) -> None:
        """Open the data set and check it; ``reading`` is for ``InputFn``."""
        if isinstance(feature_keys, str) or not feature_keys:
            raise ConfigError(
                f"feature_keys is {feature_keys!r}, expected a list of the features to read"
            )
        self.feature_keys, self.label_key = tuple(feature_keys), label_key
        keys = self.feature_keys if label_key is None else (*self.feature_keys, label_key)
        super().__init__(record_dir, keys, substeps=None, **reading)

    def _check_features(self) -> None:
        check_scalable(self.features)
        for key, schema in self.features.items():
            if is_ragged(schema) and key + LENGTH_SUFFIX in self.features:
                raise ConfigError(
                    f"{key + LENGTH_SUFFIX!r} is a feature of {self.manifest.record_dir} and also "
                    f"the name for the lengths of {key!r}; read only one of the two"
                )
        if self.augment and self.image_key not in self.feature_keys:
            raise ConfigError(
                f"augment changes the feature {self.image_key!r}, but feature_keys is "
                f"{list(self.feature_keys)}; name the feature that holds images: image_key=..."
            )

    def _element(self, positions: Positions, element: Any, values: dict[str, Any]) -> Any:
        features: dict[str, Any] = {}
        for key in self.feature_keys:
            if key == self.image_key and self._changes:
                features[key] = self._images(positions, element, values)
            else:
                features.update(self._batch(key, positions, values))
        if self.label_key is None:
            return features
        found = self._batch(self.label_key, positions, values)
        labels = found.pop(self.label_key)
        # One number is a number whether it was written as 3 or as [3].
        if self.features[self.label_key].shape == (1,):
            labels = labels[:, 0]
        # The lengths of labels are a feature, since an Estimator takes labels as one tensor.
        return {**features, **found}, labels

    def _batch(self, key: str, positions: Positions, values: dict[str, Any]) -> dict[str, Any]:
        """Return a feature's batch by its name, and the lengths if they vary."""
        import tensorflow as tf

        value, schema = values[key], self.features[key]
        if not is_ragged(schema):
            return {key: scale(value, schema)}
        flat = scale(value.flat_values, schema)
        if flat.dtype.is_integer:
            flat = tf.cast(flat, tf.int64)
        padding = PADDING if flat.dtype.is_integer else 0
        padded = value.with_flat_values(flat).to_tensor(padding)
        lengths = tf.cast(value.row_lengths(), tf.int64)
        size = self.batch_size if positions.is_static else None
        return {
            key: tf.ensure_shape(padded, [size, None]),
            key + LENGTH_SUFFIX: tf.ensure_shape(lengths, [size]),
        }


def supervised_input_fn(
    record_dir: str | Path,
    feature_keys: Sequence[str],
    label_key: str | None = None,
    *,
    split: str = "train",
    batch_size: int = 32,
    seed: int | None = None,
    shuffle: bool = True,
    repeat: bool = True,
    reader: str = "auto",
    augment: Callable[[Any, Any], Any] | Sequence[Any] | None = None,
    image_key: str = "image",
    num_workers: int = 1,
    worker_index: int = 0,
    check: str = "auto",
    memory_budget_bytes: int | None = None,
) -> SupervisedInputFn:
    """Make the input function of features and labels of one split of a serialized data set.

    Args:
        record_dir: Folder of the manifest and its shards.
        feature_keys: Features to read.
        label_key: Feature that holds the labels; None for features alone.
        split: "train", "eval" or "test".
        batch_size: Samples per step of one worker, B.
        seed: Root seed; the streams "order" and "augment" derive from it. None takes the seed of
            the running experiment, and 0 outside of one.
        shuffle: False keeps the written order.
        repeat: False reads the split once; the last batch is then shorter.
        reader: "memory", "memmap", "stream" or "auto"; see ``docs/reading.md``.
        augment: Changes to the images, as for ``input_fn``.
        image_key: Feature whose images ``augment`` changes.
        num_workers: Number of workers that share each batch of ``num_workers * batch_size``.
        worker_index: Index of this worker.
        check: How thoroughly the shards are compared with the manifest, see ``check_shards``.
        memory_budget_bytes: Size of decoded records up to which "auto" reads from memory; None for
            2 GiB.

    Returns:
        A function without arguments that returns a ``tf.data.Dataset`` of
        ``({key: tensor [B, *shape]}, labels [B, *shape])``, or of the dictionary alone. Values have
        the type that was written; those with a value range are float32 in [-1, 1]. Text, and what
        was written as bytes of varying shape, are strings [B]. Lists of varying length are padded
        to the longest of the batch, L: int64 [B, L] with -1 or float32 [B, L] with 0, and
        ``KEY_length``, int64 [B], is a feature, too. With ``augment``, images are
        float32 [B, h, w, c].

    Raises:
        ConfigError: If an argument is invalid.
        DataError: If the data set is missing, damaged or lacks a feature.
    """
    return SupervisedInputFn(
        record_dir,
        feature_keys,
        label_key,
        split=split,
        batch_size=batch_size,
        seed=root_seed(seed),
        shuffle=shuffle,
        repeat=repeat,
        reader=reader,
        augment=augment,
        image_key=image_key,
        num_workers=num_workers,
        worker_index=worker_index,
        check=check,
        memory_budget_bytes=memory_budget_bytes,
    )
