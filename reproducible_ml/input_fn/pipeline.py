"""The input function of a serialized data set, for an Estimator.

One element holds what one training step needs: the latents for each network update and the real
images for each critic update. Both are pure functions of (seed, step). Steps are counted from the
graph's global step, which is read when the iterator is initialized, after the checkpoint has been
restored. A resumed run therefore continues exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.serialize import Manifest, read_manifest
from reproducible_ml.input_fn.augment import augment_images, checked_changes
from reproducible_ml.input_fn.check import check_shards
from reproducible_ml.input_fn.noise import MAX_SUBSTEPS, MAX_WORKERS, latents
from reproducible_ml.input_fn.options import PREFETCH_BATCHES, deterministic_options
from reproducible_ml.input_fn.parse import choose_features, fixed_shape, scale
from reproducible_ml.input_fn.positions import Positions
from reproducible_ml.input_fn.readers import choose_reader, open_reader
from reproducible_ml.input_fn.starting import take_start
from reproducible_ml.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tensorflow as tf


class InputFn:
    """The input function of one split: call it to get the dataset.

    Attributes:
        manifest: The data set's manifest, checked against the shards.
        critic_steps: Critic updates per element; None for plain batches.
        batch_size: Samples per network update of one worker.
        noise_dims: Length of a latent vector.
        seed: Root seed of the run.
        reader: The chosen reader: memory, memmap or stream.
    """

    def __init__(
        self,
        record_dir: str | Path = "data/digits",
        split: str = "train",
        batch_size: int = 32,
        noise_dims: int = 64,
        seed: int = 0,
        critic_steps: int | None = None,
        image_key: str = "image",
        label_key: str | None = None,
        shuffle: bool = True,
        repeat: bool = True,
        reader: str = "auto",
        augment: Sequence[Any] | None = None,
        num_workers: int = 1,
        worker_index: int = 0,
        check: str = "auto",
        memory_budget_bytes: int | None = None,
    ) -> None:
        """Open the data set and check it; see ``input_fn`` for the arguments."""
        _need_whole("batch_size", batch_size, 1)
        _need_whole("noise_dims", noise_dims, 1)
        _need_whole("seed", seed)
        if critic_steps is not None:
            _need_whole("critic_steps", critic_steps, 1, MAX_SUBSTEPS - 1)
        if memory_budget_bytes is not None:
            _need_whole("memory_budget_bytes", memory_budget_bytes, 0)
        _need_whole("num_workers", num_workers, 1, MAX_WORKERS)
        _need_whole("worker_index", worker_index, 0, num_workers - 1)
        self.manifest: Manifest = read_manifest(record_dir)
        self.split, self.batch_size, self.noise_dims = split, batch_size, noise_dims
        self.seed, self.critic_steps = seed, critic_steps
        self.image_key, self.label_key = image_key, label_key
        self.shuffle, self.repeat, self.augment = shuffle, repeat, augment
        self.num_workers, self.worker_index = num_workers, worker_index
        keys = [image_key] + ([label_key] if label_key is not None else [])
        self.features = choose_features(self.manifest.features, keys, f"{record_dir}")
        checked_changes(augment or (), _image_size(image_key, self.features))
        if label_key is not None:
            _check_label(label_key, self.features)
        check_shards(self.manifest, split, check)
        self.check = check
        self.reader = choose_reader(
            self.manifest, split, self.features, reader, memory_budget_bytes
        )
        if not repeat:
            self._positions(None, 0)  # raises if the pass would be empty

    def __call__(self, input_context: Any | None = None) -> tf.data.Dataset:
        """Build the dataset in the current graph, or eagerly.

        Args:
            input_context: Passed by a distribution strategy; overrides the worker numbers.
        """
        import tensorflow as tf

        # Nothing here needs AutoGraph, which would take a second or two to analyse it.
        build: Any = tf.autograph.experimental.do_not_convert(self._build)
        return build(input_context)

    def _build(self, input_context: Any | None) -> tf.data.Dataset:
        # The shards may have changed since they were checked; comparing sizes costs nothing.
        check_shards(self.manifest, self.split, "size")
        positions = self._positions(input_context, take_start(_global_step() if self.repeat else 0))
        dataset = open_reader(
            self.reader,
            self.manifest,
            self.split,
            self.features,
            positions,
            lambda element, values: self._element(positions, element, values),
            seed=self.seed,
            shuffle=self.shuffle,
        )
        dataset = dataset.prefetch(PREFETCH_BATCHES).with_options(deterministic_options())
        # Lets an estimator tell steps from batches even if a user's function wraps this one.
        dataset.critic_steps = self.critic_steps
        return dataset

    def _positions(self, input_context: Any | None, start: Any) -> Positions:
        num_workers, first_worker, workers = self.num_workers, self.worker_index, 1
        if input_context is not None:
            replicas, pipelines = (
                input_context.num_replicas_in_sync,
                input_context.num_input_pipelines,
            )
            # With parameter servers the workers are not in sync: many pipelines, 1 replica.
            if max(replicas, pipelines) > 1:
                num_workers = max(replicas, pipelines)
                workers = num_workers // pipelines
                first_worker = input_context.input_pipeline_id * workers
                if num_workers % pipelines or num_workers > MAX_WORKERS:
                    raise ConfigError(
                        f"the strategy has {replicas} replicas in sync on {pipelines} input "
                        f"pipelines, expected the same number on each and at most {MAX_WORKERS}"
                    )
        positions = Positions(
            batch_size=self.batch_size,
            substeps=self.critic_steps or 1,
            num_workers=num_workers,
            first_worker=first_worker,
            workers=workers,
            start=start,
            records=None if self.repeat else self.manifest.splits[self.split].records,
            whole_steps=self.critic_steps is not None,
        )
        if not self.repeat and positions.stop() == 0:
            raise ConfigError(
                f"repeat is False, but the {positions.records} records of split {self.split!r} "
                f"give worker {first_worker} of {num_workers} nothing to read: a step takes "
                f"{positions.samples_per_step} samples. Use a smaller batch_size, fewer workers "
                "or fewer critic_steps."
            )
        return positions

    def _element(self, positions: Positions, element: Any, values: dict[str, Any]) -> Any:
        """Make one element of the dataset from the values at its positions."""
        import tensorflow as tf

        step, worker = positions.step_and_worker(element)
        images = values[self.image_key]
        # Without a value range, ``scale`` keeps the dtype.
        images = tf.cast(scale(images, self.features[self.image_key]), tf.float32)
        if images.shape.rank == 3:
            images = images[..., None]
        if self.augment:
            images = augment_images(images, positions.of(element), self.seed, self.augment)
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
    seed: int = 0,
    critic_steps: int | None = None,
    image_key: str = "image",
    label_key: str | None = None,
    shuffle: bool = True,
    repeat: bool = True,
    reader: str = "auto",
    augment: Sequence[Any] | None = None,
    num_workers: int = 1,
    worker_index: int = 0,
    check: str = "auto",
    memory_budget_bytes: int | None = None,
) -> InputFn:
    """Make the input function of one split of a serialized data set.

    Args:
        record_dir: Folder of the manifest and its shards.
        split: "train", "eval" or "test".
        batch_size: Samples per network update of one worker, B.
        noise_dims: Length of a latent vector, z.
        seed: Root seed of the run; the streams "order", "latents" and "augment" derive from it.
        critic_steps: None for plain batches; with a number d, an element holds what one step with d
            critic updates needs.
        image_key: Feature that holds the images.
        label_key: Feature that holds an integer label; None for no labels.
        shuffle: False keeps the written order.
        repeat: False reads the split once from its start, whatever the global step; the last batch
            is then shorter, or with ``critic_steps``, an incomplete last step is omitted.
        reader: "memory", "memmap", "stream" or "auto"; see ``docs/reading.md``.
        augment: Changes drawn for each position, such as ``["flip", ("shift", 2)]``.
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
    return InputFn(
        record_dir=record_dir,
        split=split,
        batch_size=batch_size,
        noise_dims=noise_dims,
        seed=seed,
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


def _global_step() -> Any:
    import tensorflow as tf

    step = tf.compat.v1.train.get_global_step()
    return 0 if step is None else step


def _need_whole(name: str, value: Any, low: int | None = None, high: int | None = None) -> None:
    """Refuse values that are not integers from low to high."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or (low is not None and value < low) or (high is not None and value > high):
        bounds = "" if low is None else f" >= {low}" if high is None else f" from {low} to {high}"
        raise ConfigError(f"{name} is {value!r}, expected an integer{bounds}")


def _image_size(key: str, features: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of the images."""
    shape = fixed_shape(key, features[key])
    if len(shape) not in (2, 3):
        raise DataError(f"feature {key!r} has shape {shape}, but an image has 2 or 3 dimensions")
    return shape[0], shape[1]


def _check_label(key: str, features: dict[str, Any]) -> None:
    shape, dtype = fixed_shape(key, features[key]), str(features[key].dtype)
    if shape not in ((), (1,)) or "int" not in dtype:
        raise DataError(
            f"feature {key!r} has shape {shape} and dtype {dtype}, but a label is one integer"
        )
