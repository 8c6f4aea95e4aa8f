"""Parsing of serialized records, directed by the manifest's schema alone.

Records are parsed in batches: one ``parse_example`` for many records costs a seventh of parsing
them one at a time. *Decode* restores the dtype and shape that the handler wrote; *scale* maps a
feature's value range to [-1, 1] as float32. They are separate steps, because a reader may hold
decoded values for long, and float32 takes four times as much memory as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

    from reproducible_ml.handlers import FeatureSchema

_IMAGE_ENCODINGS = ("png", "jpeg")


def choose_features(
    features: Mapping[str, FeatureSchema], keys: Sequence[str], where: str
) -> dict[str, FeatureSchema]:
    """Pick features by name.

    Args:
        features: The manifest's schema.
        keys: Names to pick.
        where: The data set, for the error.

    Raises:
        DataError: If the records have no such feature.
    """
    for key in keys:
        if key not in features:
            raise DataError(
                f"{where} has no feature {key!r}; its features are {', '.join(sorted(features))}"
            )
    return {key: features[key] for key in keys}


def parse_batch(serialized: tf.Tensor, features: Mapping[str, FeatureSchema]) -> dict[str, Any]:
    """Parse and decode a batch of records.

    Args:
        serialized: string tensor [n], one record each.
        features: The features to read, by name.

    Returns:
        One tensor [n, *shape] per feature in the dtype that was written. If the shape varies, a
        list becomes a ragged tensor, and a byte string (text, image, raw) a string tensor.
    """
    import tensorflow as tf

    spec = {key: _spec(schema) for key, schema in features.items()}
    parsed = tf.io.parse_example(serialized, spec)
    return {key: _decode(parsed[key], key, schema) for key, schema in features.items()}


def parse_one(serialized: tf.Tensor, features: Mapping[str, FeatureSchema]) -> dict[str, Any]:
    """Parse and decode a single record, as ``parse_batch`` without the batch dimension.

    Unlike in a batch, encoded images are decoded even if their shape varies.
    """
    found = {key: value[0] for key, value in parse_batch(serialized[None], features).items()}
    for key, schema in features.items():
        if schema.shape is None and schema.encoding in _IMAGE_ENCODINGS:
            found[key] = _decode_image(found[key], schema, channels=0)
    return found


def check_scalable(features: Mapping[str, FeatureSchema]) -> None:
    """Refuse features with a value range whose values ``parse_one`` can't decode to numbers.

    Raises:
        DataError: If there is such a feature.
    """
    for key, schema in features.items():
        if schema.shape is None and schema.encoding == "raw" and schema.value_range is not None:
            raise DataError(
                f"feature {key!r} holds raw bytes whose shape varies, so they can't be decoded and "
                "scaled; write it with one shape, as a list, as an encoded image, or without "
                "value_range"
            )


def scale(values: Any, schema: FeatureSchema) -> Any:
    """Map a numeric feature's value range to [-1, 1].

    Args:
        values: Tensor of any shape, in the dtype that was written.
        schema: Its schema; a feature without a value range keeps its values and dtype.

    Returns:
        float32 tensor of the same shape: ``(values - low) / ((high - low) / 2) - 1``. It is a
        division, because a multiplication would not map both ends of the range exactly.
    """
    import tensorflow as tf

    if schema.value_range is None:
        return values
    low, high = schema.value_range
    values = tf.cast(values, tf.float32)
    if low:
        values = values - low
    return values / ((high - low) / 2) - 1.0


def fixed_shape(key: str, schema: FeatureSchema) -> tuple[int, ...]:
    """Return a feature's shape, which batches of dense tensors need.

    Raises:
        DataError: If the shape varies from record to record.
    """
    if schema.shape is None:
        raise DataError(
            f"the shape of feature {key!r} varies from record to record, so it can't be batched; "
            "write it with a handler that resizes to one shape"
        )
    return tuple(schema.shape)


def is_ragged(schema: FeatureSchema) -> bool:
    """Tell whether a feature holds as many numbers as it likes, a ragged tensor in a batch."""
    return schema.shape is None and schema.encoding == "list"


def decoded_bytes(schema: FeatureSchema) -> int:
    """Return the size of one record's decoded value in bytes; 0 if it varies."""
    import numpy as np

    if schema.shape is None or schema.encoding == "utf8":
        return 0
    return int(np.prod(schema.shape, dtype=np.int64)) * np.dtype(schema.dtype).itemsize


def _spec(schema: FeatureSchema) -> Any:
    import tensorflow as tf

    if schema.kind == "bytes":
        return tf.io.FixedLenFeature([], tf.string)
    dtype = tf.int64 if schema.kind == "int64" else tf.float32
    if schema.shape is None:
        return tf.io.RaggedFeature(dtype)
    return tf.io.FixedLenFeature(list(schema.shape), dtype)


def _decode(values: Any, key: str, schema: FeatureSchema) -> Any:
    import tensorflow as tf

    if schema.encoding == "utf8":
        return values
    dtype = tf.as_dtype(schema.dtype)
    if schema.encoding == "list":
        return values if values.dtype == dtype else tf.cast(values, dtype)
    if schema.encoding == "raw":
        if schema.shape is None:
            return values
        return _decode_raw(values, dtype, tuple(schema.shape))
    if schema.encoding in _IMAGE_ENCODINGS:
        if schema.shape is None:
            return values
        return _decode_images(values, dtype, schema)
    raise DataError(
        f"feature {key!r} has the unknown encoding {schema.encoding!r}; "
        "a newer version of the library may have written it"
    )


def _decode_raw(values: tf.Tensor, dtype: tf.DType, shape: tuple[int, ...]) -> tf.Tensor:
    import tensorflow as tf

    # decode_raw does not support these types.
    unsigned = {tf.uint32: tf.int32, tf.uint64: tf.int64}
    flat = tf.io.decode_raw(values, unsigned.get(dtype, dtype))
    if dtype in unsigned:
        flat = tf.bitcast(flat, dtype)
    # With -1 for the number of records, values of a wrong dtype would silently give fewer rows.
    decoded = tf.reshape(flat, tf.concat([tf.shape(values), list(shape)], 0))
    return tf.ensure_shape(decoded, [None, *shape])


def _decode_images(values: tf.Tensor, dtype: tf.DType, schema: FeatureSchema) -> tf.Tensor:
    import tensorflow as tf

    shape = tuple(schema.shape or ())
    channels = shape[2] if len(shape) == 3 else 1

    def decode(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(_decode_image(value, schema, channels), shape)

    return tf.map_fn(decode, values, fn_output_signature=tf.TensorSpec(shape, dtype))


def _decode_image(value: tf.Tensor, schema: FeatureSchema, channels: int) -> tf.Tensor:
    """Decode one image [height, width, channels]; 0 channels means as many as it has."""
    import tensorflow as tf

    if schema.encoding == "png":
        return tf.io.decode_png(value, channels=channels, dtype=tf.as_dtype(schema.dtype))
    # The default method is the system's choice, so its values could differ between machines.
    return tf.io.decode_jpeg(value, channels=channels, dct_method="INTEGER_ACCURATE")
