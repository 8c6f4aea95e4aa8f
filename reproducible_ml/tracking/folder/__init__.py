"""The folder of a run: its journal, files, metric columns and plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.folder.events import (
        COMPLETED,
        ArtifactAdded,
        Beat,
        Ended,
        Event,
        InfoChanged,
        Metrics,
        ResourceAdded,
        Resumed,
        SourcesAdded,
        Started,
    )
    from reproducible_ml.tracking.folder.journal import (
        JOURNAL_NAME,
        Entry,
        Journal,
        JournalLocked,
        JournalReader,
    )
    from reproducible_ml.tracking.folder.layout import (
        PENDING_NAME,
        RESOURCES_NAME,
        RUN_LINE,
        Deliveries,
        artifact_path,
        keep_for_delivery,
        read_json,
        resource_copy,
        store_once,
        told_run,
    )
    from reproducible_ml.tracking.folder.metric_columns import MetricColumns, write_metrics
    from reproducible_ml.tracking.folder.names import (
        from_microseconds,
        highest_id,
        iso,
        now,
        run_directories,
        to_microseconds,
    )
    from reproducible_ml.tracking.folder.one_writer import OneWriter
    from reproducible_ml.tracking.folder.plain_values import metric_step, metric_value, plain
    from reproducible_ml.tracking.folder.salvage import add_what_files_hold
    from reproducible_ml.tracking.folder.state import (
        KILLED_STATUS,
        QUEUED,
        RunState,
        read_metrics,
        read_state,
    )
    from reproducible_ml.tracking.folder.typed_config import (
        EXACT_CONFIG,
        exact_values,
        with_exact,
    )
    from reproducible_ml.tracking.folder.unstored import FolderRemoved, Unstored, other_places
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "COMPLETED",
    "EXACT_CONFIG",
    "JOURNAL_NAME",
    "KILLED_STATUS",
    "PENDING_NAME",
    "QUEUED",
    "RESOURCES_NAME",
    "RUN_LINE",
    "ArtifactAdded",
    "Beat",
    "Deliveries",
    "Ended",
    "Entry",
    "Event",
    "FolderRemoved",
    "InfoChanged",
    "Journal",
    "JournalLocked",
    "JournalReader",
    "MetricColumns",
    "Metrics",
    "OneWriter",
    "ResourceAdded",
    "Resumed",
    "RunState",
    "SourcesAdded",
    "Started",
    "Unstored",
    "add_what_files_hold",
    "artifact_path",
    "exact_values",
    "from_microseconds",
    "highest_id",
    "iso",
    "keep_for_delivery",
    "metric_step",
    "metric_value",
    "now",
    "other_places",
    "plain",
    "read_json",
    "read_metrics",
    "read_state",
    "resource_copy",
    "run_directories",
    "store_once",
    "to_microseconds",
    "told_run",
    "with_exact",
    "write_metrics",
]
