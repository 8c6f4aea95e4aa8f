"""Access to a complete split: its images and labels as NumPy batches, shape and classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.input_fn.gan import input_fn
from reproducible_ml.utils.errors import DataError

_BATCH = 256


def split_batches(
    record_dir: str | Path, split: str, label_key: str | None = None
) -> Iterator[tuple[Any, Any]]:
    """Yield (images, labels) of a split in its written order, as NumPy arrays.

    Args:
        record_dir: A serialized data set.
        split: "train", "eval" or "test".
        label_key: Feature that holds the label; None yields None for the labels.
    """
    import tensorflow as tf

    read = input_fn(
        str(record_dir),
        split=split,
        batch_size=_BATCH,
        noise_dims=1,
        label_key=label_key,
        shuffle=False,
        repeat=False,
    )
    with (
        tf.Graph().as_default(),
        tf.compat.v1.Session(config=session_config()) as session,
    ):
        iterator = tf.compat.v1.data.make_initializable_iterator(read())
        session.run(iterator.initializer)
        features, images = iterator.get_next()
        wanted = (images,) if label_key is None else (images, features["labels"])
        while True:
            try:
                found = session.run(wanted)
            except tf.errors.OutOfRangeError:
                return
            yield found if len(found) == 2 else (found[0], None)


def image_shape(record_dir: str | Path) -> tuple[int, ...]:
    """Return (height, width, channels) of a data set's images.

    Raises:
        DataError: The images differ in shape.
    """
    shape = read_manifest(record_dir).features["image"].shape
    if shape is None:
        raise DataError(
            f"{record_dir}: the images differ in shape. Serialize them with a handler that "
            "resizes: ImageHandler(shape)."
        )
    return (*shape, 1) if len(shape) == 2 else tuple(shape)


def count_classes(record_dir: str | Path, label_key: str, learner: str) -> int:
    """Count the classes in the train split.

    Args:
        record_dir: A serialized data set.
        label_key: Feature that holds the label.
        learner: The subject of error messages, such as "gan_type 'cgan'".

    Returns:
        The largest label plus 1.

    Raises:
        DataError: The data set has no such feature, or its labels are not classes 0, 1 and so on.
    """
    features = read_manifest(record_dir).features
    if label_key not in features:
        raise DataError(
            f"{learner} learns from labels, but {record_dir} has no feature "
            f"{label_key!r}; its features are {', '.join(sorted(features))}. Serialize the labels "
            "too (LabelHandler), set label_key, or choose a gan_type without labels."
        )
    lowest, highest = 0, -1
    for _, labels in split_batches(record_dir, "train", label_key):
        lowest, highest = min(lowest, int(labels.min())), max(highest, int(labels.max()))
    if lowest < 0 or highest < 1:
        raise DataError(
            f"{record_dir}: the labels of feature {label_key!r} range from {lowest} to {highest}, "
            f"but {learner} takes classes 0, 1 and so on, at least two."
        )
    return highest + 1


def session_config() -> Any:
    """Return a session configuration with the thread counts of the process.

    The first session of a process sets them for all sessions, so each must ask for the same.
    """
    import tensorflow as tf

    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=tf.config.threading.get_inter_op_parallelism_threads(),
    )
