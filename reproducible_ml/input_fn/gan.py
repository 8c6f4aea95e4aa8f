"""The input function of a GAN's training: latents and real images.

One element holds what one training step needs: the latents for each network update and the real
images for each critic update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.input_fn.noise import latents
from reproducible_ml.input_fn.parse import fixed_shape
from reproducible_ml.input_fn.pipeline import InputFn, need_whole
from reproducible_ml.input_fn.positions import Positions
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.running import root_seed


class GANInputFn(InputFn):
    """The input function of latents and images; see ``input_fn``.

    Attributes:
        noise_dims: Length of a latent vector.
        label_key: Feature that holds the label, or None.
        critic_steps: Critic updates per element; None for plain batches.
    """

    _reads_images = True
    _substeps_name = "critic_steps"

    def __init__(
        self,
        record_dir: str | Path,
        noise_dims: int,
        image_key: str,
        label_key: str | None,
        critic_steps: int | None,
        **reading: Any,
    ) -> None:
        """Open the data set and check it; ``reading`` is for ``InputFn``."""
        need_whole("noise_dims", noise_dims, 1)
        self.noise_dims, self.label_key = noise_dims, label_key
        keys = [image_key] + ([label_key] if label_key is not None else [])
        super().__init__(record_dir, keys, image_key=image_key, substeps=critic_steps, **reading)

    @property
    def critic_steps(self) -> int | None:
        """Critic updates per element; None for plain batches."""
        return self.substeps

    def _build(self, input_context: Any | None) -> Any:
        dataset = super()._build(input_context)
        # Lets an estimator tell steps from batches even if a user's function wraps this one.
        dataset.critic_steps = self.critic_steps
        return dataset

    def _check_features(self) -> None:
        self._image_shape()
        if self.label_key is not None:
            _check_label(self.label_key, self.features)

    def _element(self, positions: Positions, element: Any, values: dict[str, Any]) -> Any:
        import tensorflow as tf

        step, worker = positions.step_and_worker(element)
        images = self._images(positions, element, values)
        draws = [
            latents(self.seed, step, substep, self.batch_size, self.noise_dims, worker)
            for substep in range(1 if self.critic_steps is None else 1 + self.critic_steps)
        ]
        labels = None
        if self.label_key is not None:
            labels = tf.reshape(tf.cast(values[self.label_key], tf.int32), [-1])
        if self.critic_steps is None:
            noise = draws[0] if positions.is_static else draws[0][: tf.shape(images)[0]]
        else:
            noise = tf.stack(draws)
            leading = [self.critic_steps, self.batch_size]
            images = tf.reshape(images, [*leading, *images.shape[1:]])
            labels = None if labels is None else tf.reshape(labels, leading)
        if labels is None:
            return noise, images
        return {"latents": noise, "labels": labels}, images


def input_fn(
    record_dir: str | Path = "data/digits",
    split: str = "train",
    batch_size: int = 32,
    noise_dims: int = 64,
    seed: int | None = None,
    critic_steps: int | None = None,
    image_key: str = "image",
    label_key: str | None = None,
    shuffle: bool = True,
    repeat: bool = True,
    reader: str = "auto",
    augment: Callable[[Any, Any], Any] | Sequence[Any] | None = None,
    num_workers: int = 1,
    worker_index: int = 0,
    check: str = "auto",
    memory_budget_bytes: int | None = None,
) -> GANInputFn:
    """Make the input function of one split of a serialized data set.

    Args:
        record_dir: Folder of the manifest and its shards.
        split: "train", "eval" or "test".
        batch_size: Samples per network update of one worker, B.
        noise_dims: Length of a latent vector, z.
        seed: Root seed; the streams "order", "latents" and "augment" derive from it. None takes the
            seed of the running experiment, and 0 outside of one.
        critic_steps: None for plain batches; with a number d, an element holds what one step with d
            critic updates needs.
        image_key: Feature that holds the images.
        label_key: Feature that holds an integer label; None for no labels.
        shuffle: False keeps the written order.
        repeat: False reads the split once from its start, whatever the global step; the last batch
            is then shorter, or with ``critic_steps``, an incomplete last step is omitted.
        reader: "memory", "memmap", "stream" or "auto"; see ``docs/reading.md``.
        augment: Changes drawn for each position, such as ``["flip", ("shift", 2)]``, or a function
            of (image, seed) of your own, or a list of both; see ``docs/reading.md``.
        num_workers: Number of workers that share each batch of ``num_workers * batch_size``.
        worker_index: Index of this worker.
        check: How thoroughly the shards are compared with the manifest, see ``check_shards``.
        memory_budget_bytes: Size of decoded records up to which "auto" reads from memory; None for
            2 GiB.

    Returns:
        A function without arguments that returns a ``tf.data.Dataset`` of
        ``(latents [B, z], images [B, h, w, c])``, or with ``critic_steps`` of
        ``(latents [1 + d, B, z], images [d, B, h, w, c])``, both float32, images in [-1, 1].
        ``latents[0]`` is for the generator's update, ``latents[1 + j]`` for critic update ``j``.
        With ``label_key`` the first part is ``{"latents": ..., "labels": int32 [B] or [d, B]}``.

    Raises:
        ConfigError: If an argument is invalid.
        DataError: If the data set is missing, damaged or lacks the feature.
    """
    return GANInputFn(
        record_dir=record_dir,
        split=split,
        batch_size=batch_size,
        noise_dims=noise_dims,
        seed=root_seed(seed),
        critic_steps=critic_steps,
        image_key=image_key,
        label_key=label_key,
        shuffle=shuffle,
        repeat=repeat,
        reader=reader,
        augment=augment,
        num_workers=num_workers,
        worker_index=worker_index,
        check=check,
        memory_budget_bytes=memory_budget_bytes,
    )


def _check_label(key: str, features: dict[str, Any]) -> None:
    shape, dtype = fixed_shape(key, features[key]), str(features[key].dtype)
    if shape not in ((), (1,)) or "int" not in dtype:
        raise DataError(
            f"feature {key!r} has shape {shape} and dtype {dtype}, but a label is one integer"
        )
