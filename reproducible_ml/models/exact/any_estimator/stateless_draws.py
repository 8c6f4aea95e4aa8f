"""Random operations of any graph, replaced by ones whose draws need no state.

TensorFlow's older random operations (``tf.nn.dropout`` draws with one) keep a counter that no
checkpoint holds, so a resumed training draws other numbers. Here each is replaced, after the graph
is built, by its stateless twin, keyed by the run's seed, the operation's name and a number that
every step has once. Operations that draw initial values alone stay as they are, since a training
executes them once, before its first step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.seeds import seed_pair

# Operations of control flow that execute functions of their own, in which nothing can be replaced.
_CALLS = frozenset(
    (
        "Case",
        "If",
        "PartitionedCall",
        "StatefulPartitionedCall",
        "StatelessCase",
        "StatelessIf",
        "StatelessWhile",
        "While",
    )
)
# Random operations without a stateless twin here; others are recognized by their names.
_CANDIDATES = "CandidateSampler"
_OTHERS = frozenset(
    ["ParameterizedTruncatedNormal", "SampleDistortedBoundingBox", "SampleDistortedBoundingBoxV2"]
)
# By this the chief of a cluster gives the other workers its initial values, and nothing else.
_SENDS_INITIAL = "CollectiveBcastSend"
# Reads and writes a variable, which a checkpoint holds.
_HAS_A_VARIABLE = ("Stateful", "RngSkip", "RngReadAndSkip")


def _uniform(op: Any, seed: Any) -> Any:
    return tf.random.stateless_uniform(op.inputs[0], seed, dtype=op.outputs[0].dtype, alg="philox")


def _integers(op: Any, seed: Any) -> Any:
    shape, low, high = op.inputs
    return tf.random.stateless_uniform(
        shape, seed, low, high, dtype=op.outputs[0].dtype, alg="philox"
    )


def _normal(op: Any, seed: Any) -> Any:
    return tf.random.stateless_normal(op.inputs[0], seed, dtype=op.outputs[0].dtype, alg="philox")


def _truncated_normal(op: Any, seed: Any) -> Any:
    return tf.random.stateless_truncated_normal(
        op.inputs[0], seed, dtype=op.outputs[0].dtype, alg="philox"
    )


def _categorical(op: Any, seed: Any) -> Any:
    logits, samples = op.inputs
    return tf.random.stateless_categorical(logits, samples, seed, dtype=op.outputs[0].dtype)


def _shuffled(op: Any, seed: Any) -> Any:
    return tf.random.experimental.stateless_shuffle(op.inputs[0], seed, alg="philox")


def _gamma(op: Any, seed: Any) -> Any:
    shape, alpha = op.inputs
    whole = tf.concat([shape, tf.shape(alpha, out_type=shape.dtype)], 0)
    return tf.random.stateless_gamma(whole, seed, alpha, dtype=op.outputs[0].dtype)


def _poisson(op: Any, seed: Any) -> Any:
    shape, rate = op.inputs
    whole = tf.concat([shape, tf.shape(rate, out_type=shape.dtype)], 0)
    return tf.random.stateless_poisson(whole, seed, rate, dtype=op.outputs[0].dtype)


_TWINS: dict[str, Callable[[Any, Any], Any]] = {
    "Multinomial": _categorical,
    "RandomGamma": _gamma,
    "RandomPoissonV2": _poisson,
    "RandomShuffle": _shuffled,
    "RandomStandardNormal": _normal,
    "RandomUniform": _uniform,
    "RandomUniformInt": _integers,
    "TruncatedNormal": _truncated_normal,
}


def make_draws_stateless(seed: int, number: tf.Tensor | None = None, worker: int = 0) -> list[str]:
    """Replace the random operations of the present graph, before it is executed.

    Args:
        seed: The run's root seed.
        number: int64 scalar that is another one at each execution of the operations. None takes the
            global step, which must not be incremented before all draws of the step are made.
        worker: Which of the processes that train together this is. It draws what the device of
            this number draws where one process trains on all.

    Returns:
        The names of the operations that were replaced.

    Raises:
        ConfigError: An operation has no stateless twin, or is in a loop or a branch; it is named
            with the line that made it.
    """
    graph = tf.compat.v1.get_default_graph()
    if number is None:
        number = tf.cast(tf.compat.v1.train.get_global_step().read_value(), tf.int64)
    initializers = _initializers()
    replaced = []
    for op in graph.get_operations():
        for inner in _random_inside(graph, op):
            raise ConfigError(_refusal(op, f"{inner} in a loop, a branch or a function"))
        if not _is_random(op.type) or _is_initial(op, initializers):
            continue
        if op.type not in _TWINS:
            raise ConfigError(_refusal(op, op.type))
        if op._get_control_flow_context() is not None:
            raise ConfigError(_refusal(op, f"{op.type} in a loop or a branch"))
        _replace(op, seed, number, f"replica_{worker}/{op.name}" if worker else op.name)
        replaced.append(op.name)
    return replaced


def _initializers() -> set[Any]:
    """Return the operations that set variables for the first time, on every device."""
    found: set[Any] = set()
    variables = tf.compat.v1.global_variables() + tf.compat.v1.local_variables()
    waiting = [variable.initializer for variable in variables]
    while waiting:
        op = waiting.pop()
        found.add(op)
        # That of a variable on several devices is a group.
        if op.type == "NoOp":
            waiting += op.control_inputs
    return found


def _is_random(kind: str) -> bool:
    if kind.startswith(("Stateless", *_HAS_A_VARIABLE)) or kind.endswith(("Dataset", "DatasetV2")):
        return False
    return kind in _TWINS or kind in _OTHERS or kind.startswith("Random") or _CANDIDATES in kind


def _is_initial(op: Any, initializers: set[Any]) -> bool:
    """Tell whether all that follows from an operation ends in initial values of variables."""
    seen, waiting = {op}, [op]
    while waiting:
        one = waiting.pop()
        if one in initializers or one.type.startswith(_SENDS_INITIAL):
            continue
        following = {consumer for output in one.outputs for consumer in output.consumers()}
        if not following:
            return False
        waiting += following - seen
        seen |= following
    return True


def _random_inside(graph: Any, op: Any) -> Iterator[str]:
    """Yield the random operations in the functions that an operation of control flow executes."""
    waiting, seen = _functions(op.node_def) if op.type in _CALLS else [], set()
    while waiting:
        name = waiting.pop()
        if name in seen or not graph._is_function(name):
            continue
        seen.add(name)
        for node in graph._get_function(name).cached_definition.node_def:
            if _is_random(node.op):
                yield node.op
            elif node.op in _CALLS:
                waiting += _functions(node)


def _functions(node: Any) -> list[str]:
    return [
        name
        for value in node.attr.values()
        for name in [value.func.name, *(one.name for one in value.list.func)]
        if name
    ]


def _replace(op: Any, seed: int, number: Any, name: str) -> None:
    first, second = seed_pair(seed, f"draw/{name}")
    with (
        tf.control_dependencies(None),
        tf.name_scope(f"stateless/{op.name}/"),
        tf.compat.v1.device(op.device),
    ):
        # A draw's key is the sum, so the same operation never has the same one twice.
        key = tf.stack([tf.constant(first, tf.int64), tf.constant(second, tf.int64) + number])
        twin = _TWINS[op.type](op, key)
        twin.set_shape(op.outputs[0].shape)
    output = op.outputs[0]
    for consumer in list(output.consumers()):
        for index, value in enumerate(consumer.inputs):
            if value is output:
                consumer._update_input(index, twin)


def _refusal(op: Any, what: str) -> str:
    return (
        f"{op.name}{_line_of(op)} draws random numbers by {what}, from a state that no checkpoint "
        "holds, so a resumed training would draw others. Use tf.random.stateless_* with a seed "
        "made of the run's seed and the global step."
    )


def _line_of(op: Any) -> str:
    """Return the place in the user's code that made an operation, in parentheses."""
    libraries = (os.path.dirname(tf.__file__), os.path.dirname(os.path.dirname(__file__)))
    for frame in reversed(list(op.traceback or ())):
        if "site-packages" not in frame.filename and not frame.filename.startswith(libraries):
            return f" ({frame.filename}:{frame.lineno})"
    return ""
