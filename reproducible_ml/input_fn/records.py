"""The single steps of an input pipeline, for building your own.

    def input_fn():
        def fn():
            dataset = dataset_from_records("data/digits/train-*.tfrecord")
            dataset = dataset.map(map_func=map_fn())
            dataset = dataset.batch(32)
            return shuffle_repeat_prefetch(dataset)
        return fn

The manifest beside the shards says how to read them, and the shards are checked against it. The
steps in this order parse record by record, and shuffle batches instead of samples. This package's
``input_fn`` reads many times faster, shuffles samples and can resume exactly.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.serialize import Manifest, read_manifest
from reproducible_ml.input_fn.check import check_shards
from reproducible_ml.input_fn.parse import check_scalable, choose_features, parse_one, scale
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.running import root_seed
from reproducible_ml.utils.seeds import child_seed

if TYPE_CHECKING:
    import tensorflow as tf

SHUFFLE_BATCHES = 1000
# The data set that dataset_from_records opened last, for map_fn() without an argument.
_opened: list[Manifest] = []


def dataset_from_records(file_pattern: str | Path, check: str = "auto") -> tf.data.Dataset:
    """Open the shards that a pattern names as a dataset of serialized records.

    Args:
        file_pattern: Path of shards such as ``data/digits/train-*.tfrecord``. Its folder holds the
            manifest, and the pattern must match all shards of a split or none of them.
        check: How thoroughly the shards are checked, see ``check_shards``.

    Returns:
        A dataset of string scalars in the written order.

    Raises:
        DataError: If nothing matches, a shard of a matched split is missing or damaged, or the
            folder holds a matching file that is not part of the data set.
    """
    import tensorflow as tf

    record_dir, pattern = os.path.split(os.fspath(file_pattern))
    manifest = read_manifest(record_dir or ".")
    paths: list[str] = []
    for split, content in manifest.splits.items():
        named = [s for s in content.shards if fnmatch.fnmatchcase(s.file, pattern)]
        if not named:
            continue
        if len(named) != len(content.shards):
            raise DataError(
                f"{file_pattern} matches only {len(named)} of the {len(content.shards)} shards of "
                f"split {split!r}; match all of them, or none"
            )
        check_shards(manifest, split, check)
        paths += [os.path.join(record_dir or ".", shard.file) for shard in named]
    if not paths:
        raise DataError(
            f"{file_pattern} matches no shard of the data set; its splits are "
            + ", ".join(f"{name} ({len(s.shards)} shards)" for name, s in manifest.splits.items())
        )
    _opened[:] = [manifest]
    return tf.data.TFRecordDataset(paths, compression_type=manifest.compression)


def map_fn(
    record_dir: str | Path | None = None, keys: Sequence[str] | None = None
) -> Callable[[Any], Any]:
    """Make the function that turns one serialized record into values.

    Args:
        record_dir: Folder of the manifest; by default the data set that ``dataset_from_records``
            opened last.
        keys: Features to read; all by default.

    Returns:
        A function from a serialized record to ``{key: value}``, or to the value if there is a
        single feature. Value ranges are scaled to [-1, 1]. Encoded images may have any shape.

    Raises:
        ConfigError: If ``record_dir`` is missing and no data set was opened before.
        DataError: If there is no such feature, or its values can't be decoded.
    """
    if record_dir is not None:
        manifest = read_manifest(record_dir)
    elif _opened:
        manifest = _opened[0]
    else:
        raise ConfigError("map_fn() needs a record_dir, or a call of dataset_from_records() first")
    names = list(manifest.features) if keys is None else list(keys)
    features = choose_features(manifest.features, names, str(manifest.record_dir))
    check_scalable(features)

    def parse(serialized: Any) -> Any:
        values = parse_one(serialized, features)
        scaled = {key: scale(value, features[key]) for key, value in values.items()}
        return scaled if len(scaled) > 1 else scaled[names[0]]

    return parse


def shuffle_repeat_prefetch(
    dataset: tf.data.Dataset,
    buffer_size: int = SHUFFLE_BATCHES,
    repeat: int | None = None,
    prefetch: int = 2,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Shuffle a dataset's elements through a buffer, repeat it, and prefetch.

    Args:
        dataset: Any dataset; its elements are shuffled, so batches if it is batched.
        buffer_size: Number of elements that the buffer holds; 1 keeps the order.
        repeat: Number of epochs; None repeats forever.
        prefetch: Number of elements prepared ahead.
        seed: Root seed; the order differs from epoch to epoch, but not between runs. None takes the
            seed of the running experiment, and 0 outside of one.
    """
    from reproducible_ml.input_fn.options import deterministic_options

    dataset = dataset.shuffle(buffer_size, seed=child_seed(root_seed(seed), "order"))
    return dataset.repeat(repeat).prefetch(prefetch).with_options(deterministic_options())
