"""Training that repeats and resumes bit for bit: seeds, determinism, step log, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.exact.any_estimator import (
        CALLS_FILE,
        ExactTraining,
        TrainingEnd,
        Watched,
        is_recorded_elsewhere,
        recorded_elsewhere,
    )
    from reproducible_ml.models.exact.checkpoints import (
        ExactSaverHook,
        StepLogHook,
        TrainingDiverged,
        what_is_kept,
    )
    from reproducible_ml.models.exact.code import parsed_code
    from reproducible_ml.models.exact.determinism import (
        COMPUTE_DTYPES,
        Determinism,
        apply_determinism,
        onednn_in_use,
        probe_digest,
        quiet_tensorflow,
        set_environment,
        threads_in_use,
    )
    from reproducible_ml.models.exact.distribution import (
        MIRRORED,
        MULTI_WORKER,
        TF_CONFIG,
        Task,
        check_strategy,
        is_follower,
        open_strategy,
        read_task,
        refuse_cluster,
        without_cluster,
    )
    from reproducible_ml.models.exact.figure_log import FigureLog, read_figures
    from reproducible_ml.models.exact.hooks import (
        GridHook,
        ProgressHook,
        ScalarHook,
        StepHook,
        replay,
    )
    from reproducible_ml.models.exact.identity import (
        IDENTITY_FILE,
        check_identity,
        checkpoint_step,
        code_digests,
        read_identity,
        wait_for_identity,
    )
    from reproducible_ml.models.exact.precision import computing_in
    from reproducible_ml.models.exact.seeding import GlorotUniform, seeded_variables
    from reproducible_ml.models.exact.step import (
        StepOutcome,
        mean_of_replicas,
        publish_losses,
        publish_outcome,
        published_outcome,
    )
    from reproducible_ml.models.exact.step_log import (
        LOSSES_FILE,
        LOSSES_OF_1_0,
        STEPS_FILE,
        TENSORS_FILE,
        StepLog,
        losses_digest,
        read_steps,
        step_dtype,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "CALLS_FILE",
    "COMPUTE_DTYPES",
    "IDENTITY_FILE",
    "LOSSES_FILE",
    "LOSSES_OF_1_0",
    "MIRRORED",
    "MULTI_WORKER",
    "STEPS_FILE",
    "TENSORS_FILE",
    "TF_CONFIG",
    "Determinism",
    "ExactSaverHook",
    "ExactTraining",
    "FigureLog",
    "GlorotUniform",
    "GridHook",
    "ProgressHook",
    "ScalarHook",
    "StepHook",
    "StepLog",
    "StepLogHook",
    "StepOutcome",
    "Task",
    "TrainingDiverged",
    "TrainingEnd",
    "Watched",
    "apply_determinism",
    "check_identity",
    "check_strategy",
    "checkpoint_step",
    "code_digests",
    "computing_in",
    "is_follower",
    "is_recorded_elsewhere",
    "losses_digest",
    "mean_of_replicas",
    "onednn_in_use",
    "open_strategy",
    "parsed_code",
    "probe_digest",
    "publish_losses",
    "publish_outcome",
    "published_outcome",
    "quiet_tensorflow",
    "read_figures",
    "read_identity",
    "read_steps",
    "read_task",
    "recorded_elsewhere",
    "refuse_cluster",
    "replay",
    "seeded_variables",
    "set_environment",
    "step_dtype",
    "threads_in_use",
    "wait_for_identity",
    "what_is_kept",
    "without_cluster",
]
