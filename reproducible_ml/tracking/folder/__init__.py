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
        artifact_path,
        copy_whole,
        highest_id,
        keep_for_delivery,
        read_json,
        replacing,
        resource_copy,
        run_directories,
        store_once,
        write_json,
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
    "Event",
    "Journal",
    "JournalLocked",
    "JournalReader",
    "MetricColumns",
    "artifact_path",
    "columns_of_journal",
    "copy_whole",
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
    "replacing",
    "resource_copy",
    "run_directories",
    "store_once",
    "to_microseconds",
    "write_json",
    "write_metrics",
]
