"""Networks that compute in bfloat16 with weights in float32.

A variable is stored, updated and saved in float32; a layer that asks for bfloat16 reads it as such.
Batch norm asks for float32 by itself and keeps its statistics there. Inputs and outputs of a
network stay float32, so losses and penalties are computed in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from reproducible_ml.models.exact.determinism import COMPUTE_DTYPES
from reproducible_ml.utils.errors import ConfigError

_NONE = object()


def computing_in(network: Callable[..., Any], compute_dtype: str) -> Callable[..., Any]:
    """Make a network compute in another dtype.

    Args:
        network: Function of tensors, such as ``(inputs)`` or ``(images, conditioning)``; it may
            also take ``mode``.
        compute_dtype: "float32" returns the network itself; "bfloat16".

    Returns:
        The network with float32 inputs, outputs and variables, and the same parameters.

    Raises:
        ConfigError: The dtype is unknown.
    """
    if compute_dtype not in COMPUTE_DTYPES:
        raise ConfigError(
            f"compute_dtype is {compute_dtype!r}, expected {' or '.join(COMPUTE_DTYPES)}."
        )
    if compute_dtype == "float32":
        return network

    def compute(*arguments: Any, **named: Any) -> Any:
        scope = tf.compat.v1.get_variable_scope()
        with tf.compat.v1.variable_scope(
            scope, custom_getter=_stored_in_float32, auxiliary_name_scope=False
        ):
            lowered = tf.nest.map_structure(_lower, (arguments, named))
            outputs = network(*lowered[0], **lowered[1])
        return tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)

    # TF-GAN reads from a network's signature whether to pass the mode, and passes no other name.
    if "mode" not in inspect.getfullargspec(network).args:
        return compute

    def with_mode(
        inputs: Any, conditioning: Any = _NONE, mode: str = tf.estimator.ModeKeys.TRAIN
    ) -> Any:
        arguments = (inputs,) if conditioning is _NONE else (inputs, conditioning)
        return compute(*arguments, mode=mode)

    return with_mode


def _lower(value: Any) -> Any:
    is_float = isinstance(value, tf.Tensor) and value.dtype == tf.float32
    return tf.cast(value, tf.bfloat16) if is_float else value


def _stored_in_float32(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    wanted = kwargs.get("dtype")
    if wanted is None or tf.as_dtype(wanted) != tf.bfloat16:
        return getter(name, *args, **kwargs)
    kwargs["dtype"] = tf.float32
    return tf.cast(getter(name, *args, **kwargs), tf.bfloat16)
