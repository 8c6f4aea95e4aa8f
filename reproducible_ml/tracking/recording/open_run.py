"""One run while it is being written: its folder, its journal, its state in memory."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import (
    COMPLETED,
    JOURNAL_NAME,
    ArtifactAdded,
    Beat,
    Ended,
    Event,
    InfoChanged,
    Journal,
    Metrics,
    ResourceAdded,
    RunState,
    Started,
    artifact_path,
    iso,
    keep_for_delivery,
    plain,
    store_once,
    write_metrics,
)
from reproducible_ml.utils.files import copy_whole, replacing, write_json
from reproducible_ml.utils.redaction import redact, redact_tree

# metrics.json may take this share of a run's time; a long run rewrites it less and less often.
METRICS_FILE_SHARE = 0.01
POINTS_PER_EVENT = 1000


class OpenRun:
    """Writes a run's events to its journal, and its files as the events demand.

    Args:
        directory: ``runs/<id>``, made for this run alone.
        start: the first event.
    """

    def __init__(self, directory: Path, start: Started) -> None:
        self.directory = directory
        self.journal = Journal(directory / JOURNAL_NAME)
        self.state = RunState(keep_points=True)
        self._record(start)
        self._lock = threading.RLock()
        self._info: Any = None
        self._metrics_written = 0
        self._metrics_due = 0.0
        self._output = _Output(directory / "cout.txt")
        write_json(directory / "config.json", start.config)
        self._save()
        self.note_info({})

    def _record(self, event: Event) -> None:
        self.state.apply(self.journal.append(event), event)

    def _save(self) -> None:
        write_json(self.directory / "run.json", self.state.run_json(self.directory.parent))

    def add_points(self, name: str, steps: list[Any], values: list[Any], times: list[int]) -> None:
        """Record points of one metric; they are in the journal when this returns."""
        with self._lock:
            for start in range(0, len(steps), POINTS_PER_EVENT):
                part = slice(start, start + POINTS_PER_EVENT)
                self._record(Metrics(name, steps[part], values[part], times[part]))

    def note_info(self, info: Any) -> None:
        """Record the experiment's info where it differs from what is recorded."""
        info = redact_tree(plain(info))
        text = json.dumps(info, sort_keys=True)
        with self._lock:
            if text != self._info:
                self._info = text
                self._record(InfoChanged(info))
                write_json(self.directory / "info.json", info)

    def beat(self, info: Any, output: str, beat_time: datetime, result: Any) -> None:
        """Record a heartbeat: output and info so far, and bring all of it to the disk."""
        with self._lock:
            self.note_info(info)
            length = self._output.write(output)
            self._record(Beat(iso(beat_time), length, redact_tree(plain(result))))
            self._save()
        self.journal.sync()
        if time.monotonic() >= self._metrics_due:
            self.write_metrics()

    def write_metrics(self) -> None:
        """Rewrite ``metrics.json`` where points have come since."""
        with self._lock:
            points = sum(self.state.points.values())
            if points == self._metrics_written:
                return
            self._metrics_written = points
            snapshot = self.state.columns.snapshot()
        began = time.monotonic()
        write_metrics(self.directory / "metrics.json", snapshot)
        ended = time.monotonic()
        self._metrics_due = ended + (ended - began) / METRICS_FILE_SHARE

    def add_resource(self, filename: str, resource_dir: Path) -> None:
        """Record a file that the run reads; it is kept once for all runs, by its digest."""
        name = redact(filename)
        # Under the name that the record has: whoever looks the copy up knows no other.
        _, digest = store_once(Path(filename), resource_dir, name)
        with self._lock:
            self._record(ResourceAdded(name, digest))
            self._save()

    def add_artifact(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> None:
        """Keep a file that the run made, under its name in the run's folder.

        Raises:
            TrackingError: the name cannot be used.
            OSError: the file cannot be read, or the disk is full.
        """
        target = artifact_path(self.directory, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            before = self.state.artifacts.get(name)
            if before is not None:
                keep_for_delivery(target, self.directory, before)
            if Path(filename).resolve() != target.resolve():
                copy_whole(Path(filename), target)
            size = target.stat().st_size
            self._record(ArtifactAdded(name, size, redact_tree(plain(metadata)), content_type))
            self._save()

    def end(self, status: str, end_time: datetime, result: Any = None, trace: Any = None) -> None:
        """Record how the run ended."""
        end = Ended(
            status,
            iso(end_time),
            redact_tree(plain(result)) if status == COMPLETED else None,
            redact_tree(plain(trace)),
        )
        with self._lock:
            self._record(end)
            self._save()

    def save_everything(self) -> None:
        """Bring ``metrics.json`` up to date and all of the journal to the disk."""
        self.write_metrics()
        self.journal.sync()


class _Output:
    """``cout.txt``: grows at its end, unless a filter has changed what stood before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = ""
        # Up to the last line end nothing can change any more by hiding credentials.
        self._settled = 0
        self._settled_bytes = 0
        with replacing(path):
            pass

    def write(self, text: str) -> int:
        """Bring the file to this text, credentials hidden; return its length in bytes."""
        if not text.startswith(self._text):
            self._settled = self._settled_bytes = 0
            with replacing(self.path) as file:
                file.write(_encode(text))
        self._text = text
        settled = text.rfind("\n") + 1
        head = _encode(text[self._settled : settled]) if settled > self._settled else b""
        tail = _encode(text[max(settled, self._settled) :])
        with open(self.path, "r+b") as file:
            file.seek(self._settled_bytes)
            file.write(head + tail)
            file.truncate()
        self._settled = max(settled, self._settled)
        self._settled_bytes += len(head)
        return self._settled_bytes + len(tail)


def _encode(text: str) -> bytes:
    return redact(text).encode("utf-8", "backslashreplace")
