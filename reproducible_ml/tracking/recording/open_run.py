"""A run while it is being written: its folder, its journal, and its state in memory."""

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
    SourcesAdded,
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

# Share of a run's time that may go into rewriting metrics.json; the longer it takes, the rarer.
METRICS_FILE_SHARE = 0.01
POINTS_PER_EVENT = 1000


class OpenRun:
    """Writes a run's events to its journal, and updates its files accordingly.

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
        """Record points of one metric in the journal."""
        with self._lock:
            for start in range(0, len(steps), POINTS_PER_EVENT):
                part = slice(start, start + POINTS_PER_EVENT)
                self._record(Metrics(name, steps[part], values[part], times[part]))

    def note_info(self, info: Any) -> None:
        """Record the experiment's info if it has changed."""
        info = redact_tree(plain(info))
        text = json.dumps(info, sort_keys=True)
        with self._lock:
            if text != self._info:
                self._info = text
                self._record(InfoChanged(info))
                write_json(self.directory / "info.json", info)

    def beat(self, info: Any, output: str, beat_time: datetime, result: Any) -> None:
        """Record a heartbeat with output and info so far, and sync the journal to disk."""
        with self._lock:
            self.note_info(info)
            length = self._output.write(output)
            self._record(Beat(iso(beat_time), length, redact_tree(plain(result))))
            self._save()
        self.journal.sync()
        if time.monotonic() >= self._metrics_due:
            self.write_metrics()

    def write_metrics(self) -> None:
        """Rewrite ``metrics.json`` if there are new points."""
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
        """Record a file that the run reads; equal files of all runs are kept once."""
        name = redact(filename)
        # Readers look the copy up by the recorded name, which is the redacted one.
        _, digest = store_once(Path(filename), resource_dir, name)
        with self._lock:
            self._record(ResourceAdded(name, digest))
            self._save()

    def add_sources(self, sources: list[list[str]], changed: list[str]) -> None:
        """Record source files that the run came to depend on, and which of all have changed."""
        with self._lock:
            self._record(SourcesAdded(redact_tree(sources), redact_tree(changed)))
            self._save()

    def add_artifact(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> None:
        """Keep a file that the run made, under its name in the run's folder.

        Raises:
            TrackingError: the name can't be used.
            OSError: the file can't be read, or the disk is full.
        """
        target = artifact_path(self.directory, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            before = self.state.artifacts.get(name)
            # A database may not have received the file that this one replaces.
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
        """Bring ``metrics.json`` up to date and sync the journal to disk."""
        self.write_metrics()
        self.journal.sync()


class _Output:
    """``cout.txt``, which is appended to unless a filter has changed the text before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = ""
        # Redaction works within lines, so text up to the last newline is final.
        self._settled = 0
        self._settled_bytes = 0
        with replacing(path):
            pass

    def write(self, text: str) -> int:
        """Make the file hold this text without credentials; return its length in bytes."""
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
