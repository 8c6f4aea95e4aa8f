"""Estimators on several workers: what stood between them and the distribute coordinator.

TensorFlow 2.16 dropped ``tensorflow.python.distribute.estimator_training`` and kept the coordinator
that it called. This module takes its place, under the three names that tensorflow-estimator calls.
Each process of a cluster (``TF_CONFIG``) trains or evaluates a copy of the Estimator whose
configuration says which of the tasks it is. A client that sends its training to a cluster
(``remote_cluster``) is not supported.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

# Kinds of tasks, as TF_CONFIG and the coordinator name them.
_CHIEF, _MASTER, _SERVER, _EVALUATOR = "chief", "master", "ps", "evaluator"


def init_run_config(config: Any, tf_config: Mapping[str, Any]) -> None:
    """Decide whether a ``RunConfig`` with a strategy is for workers of a cluster.

    Args:
        config: The ``RunConfig`` that is being made.
        tf_config: The content of ``TF_CONFIG``.

    Raises:
        ValueError: A strategy is given twice.
        NotImplementedError: ``remote_cluster`` is set.
    """
    from tensorflow.python.distribute import distribute_coordinator
    from tensorflow.python.training import server_lib

    _take_experimental(config)
    # The coordinator reads the task itself; until it does, the process counts as alone.
    config._init_distributed_setting_from_environment_var({})
    cluster = server_lib.ClusterSpec(tf_config.get("cluster", {}))
    if cluster and config._train_distribute and _MASTER not in cluster.jobs:
        config._cluster_spec = cluster
        config._distribute_coordinator_mode = (
            distribute_coordinator.CoordinatorMode.INDEPENDENT_WORKER
        )
        return
    config._distribute_coordinator_mode = None
    config._init_distributed_setting_from_environment_var(tf_config)
    config._maybe_overwrite_session_config_for_distributed_training()


def _take_experimental(config: Any) -> None:
    """Move the strategies of ``experimental_distribute`` to where the others are."""
    given = config._experimental_distribute
    if not given:
        return
    if given.remote_cluster:
        raise NotImplementedError(
            "experimental_distribute.remote_cluster is not supported on this TensorFlow; start a "
            "process for each worker with TF_CONFIG, or use TensorFlow 2.15 (Python 3.11)."
        )
    for name in ("train_distribute", "eval_distribute"):
        strategy = getattr(given, name)
        if strategy and getattr(config, f"_{name}"):
            raise ValueError(
                f"RunConfig has both {name} and experimental_distribute.{name}; give one."
            )
        if strategy:
            setattr(config, f"_{name}", strategy)


def should_run_distribute_coordinator(config: Any) -> bool:
    """Return whether ``tf.estimator.train_and_evaluate`` runs in one of a cluster's processes."""
    return bool(getattr(config, "_distribute_coordinator_mode", None) and config.cluster_spec)


def train_and_evaluate(estimator: Any, train_spec: Any, eval_spec: Any, executor_cls: Any) -> None:
    """Train in this worker, or evaluate checkpoints in this evaluator, until training has ended.

    Args:
        estimator: The user's Estimator. It is copied: the task belongs to this call.
        train_spec: What to train on, until which step.
        eval_spec: What an evaluator evaluates on.
        executor_cls: The class of tensorflow-estimator that evaluates each new checkpoint.
    """
    from tensorflow.python.distribute import distribute_coordinator

    def train(strategy: Any) -> None:
        worker = _as_task(estimator, train_distribute=strategy)
        worker._train_distribution = strategy
        worker.train(
            train_spec.input_fn, hooks=list(train_spec.hooks), max_steps=train_spec.max_steps
        )

    def evaluate(strategy: Any) -> None:
        evaluator = _as_task(estimator, eval_distribute=strategy)
        evaluator._eval_distribution = strategy
        executor_cls(evaluator, train_spec, eval_spec)._start_continuous_evaluation()

    distribute_coordinator.run_distribute_coordinator(
        train,
        estimator.config.train_distribute,
        evaluate,
        estimator.config.eval_distribute,
        mode=estimator.config._distribute_coordinator_mode,
        session_config=estimator.config.session_config,
    )


def _as_task(estimator: Any, **strategies: Any) -> Any:
    """Copy an Estimator for the task that the coordinator says this process is."""
    from tensorflow.python.distribute import distribute_coordinator_context
    from tensorflow.python.training import server_lib

    context = distribute_coordinator_context.get_current_worker_context()
    mine = copy.deepcopy(estimator)
    config = mine._config
    for name, strategy in strategies.items():
        setattr(config, f"_{name}", strategy)
    # Not again from within: the copy's own `train` shall train.
    config._distribute_coordinator_mode = None
    config._service = None
    config._task_type, config._task_id = context.task_type, context.task_id
    config._master = config._evaluation_master = context.master_target
    config._is_chief = context.is_chief
    if context.task_type == _EVALUATOR or not context.cluster_spec:
        # It waits for checkpoints and talks to nobody.
        config._cluster_spec = server_lib.ClusterSpec({})
        config._num_ps_replicas = 0
        config._num_worker_replicas = 0 if context.cluster_spec else 1
        config._global_id_in_cluster = None if context.cluster_spec else 0
        return mine
    tasks = {kind: len(of) for kind, of in context.cluster_spec.as_dict().items()}
    config._cluster_spec = context.cluster_spec
    config._num_ps_replicas = tasks.get(_SERVER, 0)
    config._num_worker_replicas = tasks.get(_CHIEF, 0) + tasks.get("worker", 0)
    config._global_id_in_cluster = _number(tasks, context.task_type, context.task_id)
    return mine


def _number(tasks: Mapping[str, int], kind: str | None, index: int | None) -> int:
    """Number a cluster's tasks as ``RunConfig`` does: the chief, others by kind, servers last."""
    if not kind:
        # In-graph strategies: the chief runs as the only client.
        return 0
    order = sorted(tasks, key=lambda one: (one != _CHIEF, one == _SERVER, one))
    return sum(tasks[one] for one in order[: order.index(kind)]) + (index or 0)
