"""Training that repeats and resumes bit for bit: seeds, determinism, step log, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
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
        determinism_in_use,
        probe_digest,
        quiet_tensorflow,
        set_environment,
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
        StopHook,
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
    )
    from reproducible_ml.models.exact.step_log import (
        LOSSES_FILE,
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
    "COMPUTE_DTYPES",
    "IDENTITY_FILE",
    "LOSSES_FILE",
    "MIRRORED",
    "MULTI_WORKER",
    "STEPS_FILE",
    "TENSORS_FILE",
    "TF_CONFIG",
    "Determinism",
    "ExactSaverHook",
    "FigureLog",
    "GlorotUniform",
    "GridHook",
    "ProgressHook",
    "ScalarHook",
    "StepHook",
    "StepLog",
    "StepLogHook",
    "StepOutcome",
    "StopHook",
    "Task",
    "TrainingDiverged",
    "apply_determinism",
    "check_identity",
    "check_strategy",
    "checkpoint_step",
    "code_digests",
    "computing_in",
    "determinism_in_use",
    "is_follower",
    "losses_digest",
    "mean_of_replicas",
    "open_strategy",
    "parsed_code",
    "probe_digest",
    "publish_losses",
    "publish_outcome",
    "quiet_tensorflow",
    "read_figures",
    "read_identity",
    "read_steps",
    "read_task",
    "refuse_cluster",
    "replay",
    "seeded_variables",
    "set_environment",
    "step_dtype",
    "wait_for_identity",
    "what_is_kept",
    "without_cluster",
]
