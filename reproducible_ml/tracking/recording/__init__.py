"""Recording runs: the experiment, its options and source files, the observer, the seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.recording.facts import (
        record_checkpoint,
        record_dataset,
        record_determinism,
        record_digest,
        record_image,
        record_scalar,
        record_upstream,
        run_stage,
    )
    from reproducible_ml.tracking.recording.found_paths import FILE, FOLDER, path_digest
    from reproducible_ml.tracking.recording.observer import LocalStore
    from reproducible_ml.tracking.recording.options import RERUN_VARIABLE
    from reproducible_ml.tracking.recording.results import ARRAYS_FILE, finish
    from reproducible_ml.tracking.recording.seal import (
        broken_parts,
        record_stage,
        seal_of,
        seal_run,
    )
    from reproducible_ml.tracking.recording.source_files import loaded_files
    from reproducible_ml.tracking.recording.tracked_experiment import TrackedExperiment, experiment
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ARRAYS_FILE",
    "FILE",
    "FOLDER",
    "RERUN_VARIABLE",
    "LocalStore",
    "TrackedExperiment",
    "broken_parts",
    "experiment",
    "finish",
    "loaded_files",
    "path_digest",
    "record_checkpoint",
    "record_dataset",
    "record_determinism",
    "record_digest",
    "record_image",
    "record_scalar",
    "record_stage",
    "record_upstream",
    "run_stage",
    "seal_of",
    "seal_run",
]
