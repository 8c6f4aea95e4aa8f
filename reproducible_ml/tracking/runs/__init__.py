"""Reading recorded runs back, from a folder or from MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs.copying import copy_run
    from reproducible_ml.tracking.runs.expressions import QueryError
    from reproducible_ml.tracking.runs.filled_in import FILLED_IN, TOLD_FILLED_IN, recorded_marks
    from reproducible_ml.tracking.runs.head import (
        comment_of,
        head_facts,
        resume_command_of,
        verdict_rows,
    )
    from reproducible_ml.tracking.runs.opening import database_address, open_store
    from reproducible_ml.tracking.runs.resuming import (
        Interrupted,
        as_typed,
        hold_folder,
        interrupted_run,
        newest_checkpoint,
        read_typed,
        record_model_dir,
        resume_command,
    )
    from reproducible_ml.tracking.runs.run import Run, flat, iterate_runs, list_runs, load_run
    from reproducible_ml.tracking.runs.status import (
        NOT_ENDED,
        RUNNING,
        UNREADABLE,
        entry_or_reason,
        seconds_since,
    )
    from reproducible_ml.tracking.runs.store import (
        DEFAULT_FOLDER,
        EVERY_RUN,
        FOLDER_OPTION,
        MONGO_OPTION,
        ArtifactInfo,
        NotRecorded,
        RunId,
        StillWritten,
        Store,
        StoreUnavailable,
        read_number,
        source_name,
        typed_id,
        without_pickle_tag,
    )
    from reproducible_ml.tracking.runs.used import (
        Used,
        kept_manifests,
        source_text,
        used_config,
        used_values,
        with_origin,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "DEFAULT_FOLDER",
    "EVERY_RUN",
    "FILLED_IN",
    "FOLDER_OPTION",
    "MONGO_OPTION",
    "NOT_ENDED",
    "RUNNING",
    "TOLD_FILLED_IN",
    "UNREADABLE",
    "ArtifactInfo",
    "Interrupted",
    "NotRecorded",
    "QueryError",
    "Run",
    "RunId",
    "StillWritten",
    "Store",
    "StoreUnavailable",
    "Used",
    "as_typed",
    "comment_of",
    "copy_run",
    "database_address",
    "entry_or_reason",
    "flat",
    "head_facts",
    "hold_folder",
    "interrupted_run",
    "iterate_runs",
    "kept_manifests",
    "list_runs",
    "load_run",
    "newest_checkpoint",
    "open_store",
    "read_number",
    "read_typed",
    "record_model_dir",
    "recorded_marks",
    "resume_command",
    "resume_command_of",
    "seconds_since",
    "source_name",
    "source_text",
    "typed_id",
    "used_config",
    "used_values",
    "verdict_rows",
    "with_origin",
    "without_pickle_tag",
]
