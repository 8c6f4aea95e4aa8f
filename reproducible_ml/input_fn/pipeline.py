"""The base of all input functions: it checks a split, and positions, reads and batches it.

Each element is a pure function of (seed, step). Steps are counted from the graph's global step,
which is read when the iterator is initialized, after the checkpoint has been restored, or from
where ``starting_at`` says. A resumed run therefore continues exactly where it stopped. What an
element holds is up to the subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.serialize import Manifest, read_manifest
from reproducible_ml.datasets.serialize.checking import readable
from reproducible_ml.input_fn.augment import apply_changes, checked_changes
from reproducible_ml.input_fn.check import check_shards
from reproducible_ml.input_fn.noise import MAX_SUBSTEPS, MAX_WORKERS
from reproducible_ml.input_fn.options import PREFETCH_BATCHES, deterministic_options
from reproducible_ml.input_fn.parse import choose_features, fixed_shape, scale
from reproducible_ml.input_fn.positions import Positions
from reproducible_ml.input_fn.readers import choose_reader, open_reader
from reproducible_ml.input_fn.starting import note_taken, take_start
from reproducible_ml.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tensorflow as tf


class InputFn:
    """The input function of one split: call it to get the dataset.

    Attributes:
        manifest: The data set's manifest, checked against the shards.
        features: Schemas of the features that are read, by name.
        substeps: Batches per element, which is a whole step; None for plain batches.
        batch_size: Samples per batch of one worker.
        seed: Root seed of the run.
        reader: The chosen reader: memory, memmap or stream.
    """

    # Whether an element holds images even if nothing changes them.
    _reads_images = False
    # What the argument is called that says how many batches an element holds.
    _substeps_name = "substeps"

    def __init__(
        self,
        record_dir: str | Path,
        keys: Sequence[str],
        *,
        split: str,
        batch_size: int,
        seed: int,
        substeps: int | None,
        image_key: str,
        shuffle: bool,
        repeat: bool,
        reader: str,
        augment: Callable[[Any, Any], Any] | Sequence[Any] | None,
        num_workers: int,
        worker_index: int,
        check: str,
        memory_budget_bytes: int | None,
    ) -> None:
        """Open the data set and check it; ``keys`` are read, all else is as for ``input_fn``."""
        need_whole("batch_size", batch_size, 1)
        need_whole("seed", seed)
        if substeps is not None:
            need_whole(self._substeps_name, substeps, 1, MAX_SUBSTEPS - 1)
        if memory_budget_bytes is not None:
            need_whole("memory_budget_bytes", memory_budget_bytes, 0)
        need_whole("num_workers", num_workers, 1, MAX_WORKERS)
        need_whole("worker_index", worker_index, 0, num_workers - 1)
        self.manifest: Manifest = read_manifest(record_dir)
        self.split, self.batch_size = split, batch_size
        self.seed, self.substeps = seed, substeps
        self.image_key, self.shuffle, self.repeat, self.augment = (
            image_key,
            shuffle,
            repeat,
            augment,
        )
        self.num_workers, self.worker_index = num_workers, worker_index
        self.features = choose_features(self.manifest.features, keys, f"{record_dir}")
        self._check_features()
        self._changes = checked_changes(augment, self._image_shape()) if augment else []
        check_shards(self.manifest, split, check)
        self.check = check
        images = [image_key] if self._reads_images or self._changes else []
        self.features = {key: readable(self.manifest, split, key, key in images) for key in keys}
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
        usual = _global_step() if self.repeat else 0
        start = take_start(usual, self.substeps is not None)
        positions = self._positions(input_context, start)
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
        note_taken(dataset, self.manifest)
        return dataset

    def _check_features(self) -> None:
        """Refuse features that this kind of element can't hold."""
        raise NotImplementedError

    def _element(self, positions: Positions, element: Any, values: dict[str, Any]) -> Any:
        """Make one element of the dataset from the values at its positions."""
        raise NotImplementedError

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
            substeps=self.substeps or 1,
            num_workers=num_workers,
            first_worker=first_worker,
            workers=workers,
            start=start,
            records=None if self.repeat else self.manifest.splits[self.split].records,
            whole_steps=self.substeps is not None,
        )
        if not self.repeat and positions.stop() == 0:
            raise ConfigError(
                f"repeat is False, but the {positions.records} records of split {self.split!r} "
                f"give worker {first_worker} of {num_workers} nothing to read: a step takes "
                f"{positions.samples_per_step} samples. Use a smaller batch_size, fewer workers "
                f"or fewer {self._substeps_name}."
            )
        return positions

    def _image_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels) of the images; raises ``DataError`` if they are none."""
        shape = fixed_shape(self.image_key, self.features[self.image_key])
        if len(shape) not in (2, 3):
            raise DataError(
                f"feature {self.image_key!r} has shape {shape}, but an image has 2 or 3 dimensions"
            )
        return (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)

    def _images(self, positions: Positions, element: Any, values: dict[str, Any]) -> Any:
        """Return an element's images, scaled and changed: float32 [n, height, width, channels]."""
        import tensorflow as tf

        # Floats that were written in [-1, 1] have no value range, and ``scale`` keeps their dtype.
        images = scale(values[self.image_key], self.features[self.image_key])
        images = tf.cast(images, tf.float32)
        if images.shape.rank == 3:
            images = images[..., None]
        if self._changes:
            images = apply_changes(images, positions.of(element), self.seed, self._changes)
        return images


def _global_step() -> Any:
    import tensorflow as tf

    step = tf.compat.v1.train.get_global_step()
    return 0 if step is None else step


def need_whole(name: str, value: Any, low: int | None = None, high: int | None = None) -> None:
    """Refuse values that are not integers from low to high."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or (low is not None and value < low) or (high is not None and value > high):
        bounds = "" if low is None else f" >= {low}" if high is None else f" from {low} to {high}"
        raise ConfigError(f"{name} is {value!r}, expected an integer{bounds}")
