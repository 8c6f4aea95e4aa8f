"""Training on several devices or machines with TensorFlow's own strategies.

Each of R replicas computes an update on a batch of its own, and the gradients are averaged: an
update sees R * batch_size images. The batch of a replica is a function of (seed, step, replica).
So the replicas' batches are disjoint, and they are the same whether the replicas are devices of one
machine or processes on several.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reproducible_ml.utils.errors import ConfigError

MIRRORED, MULTI_WORKER = "mirrored", "multi_worker"
STRATEGIES = (None, MIRRORED, MULTI_WORKER)
# TensorFlow's variable: the cluster, and which of its tasks a process is.
TF_CONFIG = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Task:
    """One process of a cluster.

    Attributes:
        addresses: HOST:PORT of every worker; the first is the chief.
        index: Which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and the record."""
        return self.index == 0


def check_strategy(strategy: str | None, replicas: int) -> None:
    """Check a strategy as far as that needs neither TensorFlow nor the machine.

    Raises:
        ConfigError: The strategy is unknown or can't have that many replicas.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(
            f"strategy is {strategy!r}, expected None, {MIRRORED!r} (devices of this machine) or "
            f"{MULTI_WORKER!r} (processes that TF_CONFIG names)."
        )
    if replicas < 1 or (strategy is None and replicas != 1):
        raise ConfigError(
            f"replicas is {replicas} with strategy={strategy!r}; it must be 1 without a strategy, "
            "and 1 or more with one."
        )
    if strategy == MULTI_WORKER and replicas < 2:
        raise ConfigError(
            f"strategy={MULTI_WORKER!r} has replicas={replicas}; give the number of workers, 2 or "
            "more: the result depends on it."
        )


def refuse_cluster(strategy: str | None) -> None:
    """Refuse a cluster in ``TF_CONFIG`` that the strategy does not train on.

    TensorFlow's Estimators join it nevertheless, and end in a traceback or wait forever.

    Raises:
        ConfigError: The variable is set, and the strategy does not use several workers.
    """
    if strategy != MULTI_WORKER and os.environ.get(TF_CONFIG, "").strip() not in ("", "{}"):
        raise ConfigError(
            f"{TF_CONFIG} names a cluster, and strategy={strategy!r} trains on this machine alone. "
            f"Unset {TF_CONFIG}, or set strategy={MULTI_WORKER!r} and replicas to the number of "
            "workers."
        )


@contextmanager
def without_cluster() -> Iterator[None]:
    """Hide ``TF_CONFIG`` while making an Estimator that belongs to this process alone."""
    hidden = os.environ.pop(TF_CONFIG, None)
    try:
        yield
    finally:
        if hidden is not None:
            os.environ[TF_CONFIG] = hidden


def is_follower(strategy: str | None, joins_any: bool = False) -> bool:
    """Return whether this process is a worker that only computes and keeps no record.

    Args:
        strategy: None, "mirrored" or "multi_worker".
        joins_any: Whether a cluster in ``TF_CONFIG`` counts whatever the strategy, since an
            Estimator of one's own joins it.

    Raises:
        ConfigError: The strategy uses several workers and ``TF_CONFIG`` does not name them.
    """
    if strategy == MULTI_WORKER:
        return not read_task().is_chief
    if not joins_any or not os.environ.get(TF_CONFIG):
        return False
    try:
        task = read_task()
    except ConfigError:
        # Of another kind, such as one with parameter servers: refused where an Estimator joins it.
        return False
    return not task.is_chief


def read_task(replicas: int | None = None) -> Task:
    """Read ``TF_CONFIG``.

    Args:
        replicas: Required number of workers; None for any number.

    Returns:
        The workers, and which of them this process is.

    Raises:
        ConfigError: The variable is missing, can't be read, or has another number of workers.
    """
    text = os.environ.get(TF_CONFIG)
    if not text:
        raise ConfigError(
            f"strategy={MULTI_WORKER!r} needs the environment variable {TF_CONFIG}, the same "
            f"cluster on each worker and its own index: {_EXAMPLE}"
        )
    try:
        found = json.loads(text)
        cluster, task = found["cluster"], found["task"]
        kinds = set(cluster)
        kind, index = task["type"], _index(task["index"])
        addresses = [str(one) for name in ("chief", "worker") for one in cluster.get(name, [])]
        if kind == "worker":
            index += len(cluster.get("chief", []))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{TF_CONFIG} is {text!r}, which can't be read ({error!r}). Expected such as {_EXAMPLE}"
        ) from error
    foreign = sorted(kinds - {"chief", "worker"}) or ([] if kind in kinds else [kind])
    if foreign:
        raise ConfigError(
            f"{TF_CONFIG} has tasks of type {foreign[0]!r}. TensorFlow trains Estimators with "
            "MultiWorkerMirroredStrategy on chief and workers only; evaluate the model_dir "
            "afterwards, on one machine."
        )
    if not 0 <= index < len(addresses):
        raise ConfigError(
            f"{TF_CONFIG} says that this process is {kind} {task['index']} of a cluster with "
            f"{len(addresses)} workers: {', '.join(addresses)}."
        )
    if replicas is not None and len(addresses) != replicas:
        raise ConfigError(
            f"{TF_CONFIG} has {len(addresses)} workers, and replicas={replicas}. The result "
            f"depends on it: set replicas={len(addresses)}, or start {replicas} workers."
        )
    return Task(tuple(addresses), index)


def _index(given: Any) -> int:
    """Return the number of a task; 1.5 is none, which int() would cut to 1."""
    return int(given) if isinstance(given, str) else operator.index(given)


def open_strategy(strategy: str | None, replicas: int) -> Any:
    """Make TensorFlow's strategy; call this before TensorFlow has used a device.

    Args:
        strategy: None, "mirrored" or "multi_worker".
        replicas: Required number of replicas. Without a GPU they are logical devices of the CPU.

    Returns:
        A ``tf.distribute.Strategy``, or None.

    Raises:
        ConfigError: The machine or the cluster has another number, or ``TF_CONFIG`` names a cluster
            that the strategy does not use.
    """
    refuse_cluster(strategy)
    if strategy is None:
        return None
    import tensorflow as tf

    if strategy == MULTI_WORKER:
        read_task(replicas)
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and len(gpus) < replicas:
        raise ConfigError(
            f"replicas={replicas}, and TensorFlow sees {len(gpus)} GPUs. Set replicas to at most "
            "that, or hide them (CUDA_VISIBLE_DEVICES=-1) to train on the CPU."
        )
    if gpus:
        return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(replicas)])
    _split_cpu(tf, replicas)
    return tf.distribute.MirroredStrategy([f"/cpu:{index}" for index in range(replicas)])


def _split_cpu(tf: Any, replicas: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
    present = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(present) == replicas:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError as error:
        raise ConfigError(
            f"TensorFlow already runs in this process with {len(present)} CPU devices; "
            f"replicas={replicas} needs as many. Start a new process."
        ) from error
