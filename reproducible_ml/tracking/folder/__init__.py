"""A run on disk: journal, files, metric columns, plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.folder.journal import (
        JOURNAL_NAME,
        Event,
        Journal,
        JournalLocked,
        JournalReader,
    )
    from reproducible_ml.tracking.folder.layout import (
        DELIVERY_NAME,
        PENDING_NAME,
        RESOURCES_NAME,
        RUN_LINE,
        artifact_path,
        highest_id,
        keep_for_delivery,
        read_json,
        resource_copy,
        run_directories,
        store_once,
        told_run,
    )
    from reproducible_ml.tracking.folder.metric_columns import (
        MetricColumns,
        columns_of_journal,
        read_metrics,
        write_metrics,
    )
    from reproducible_ml.tracking.folder.plain_values import (
        from_microseconds,
        iso,
        metric_step,
        metric_value,
        now,
        plain,
        to_microseconds,
    )
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "DELIVERY_NAME",
    "JOURNAL_NAME",
    "PENDING_NAME",
    "RESOURCES_NAME",
    "RUN_LINE",
    "Event",
    "Journal",
    "JournalLocked",
    "JournalReader",
    "MetricColumns",
    "artifact_path",
    "columns_of_journal",
    "from_microseconds",
    "highest_id",
    "iso",
    "keep_for_delivery",
    "metric_step",
    "metric_value",
    "now",
    "plain",
    "read_json",
    "read_metrics",
    "resource_copy",
    "run_directories",
    "store_once",
    "to_microseconds",
    "told_run",
    "write_metrics",
]
