"""A run while it is being written: its folder, its journal, and its state in memory."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import threading
import time
from collections import Counter
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
    FolderRemoved,
    InfoChanged,
    Journal,
    MetricColumns,
    Metrics,
    ResourceAdded,
    Resumed,
    RunState,
    SourcesAdded,
    Started,
    Unstored,
    add_what_files_hold,
    artifact_path,
    iso,
    keep_for_delivery,
    other_places,
    plain,
    read_state,
    store_once,
    write_metrics,
)
from reproducible_ml.utils.files import copy_whole, replacing, write_json
from reproducible_ml.utils.redaction import redact, redact_tree
from reproducible_ml.utils.text import counted

# Share of a run's time that may go into rewriting metrics.json; the longer it takes, the rarer.
METRICS_FILE_SHARE = 0.01
POINTS_PER_EVENT = 1000
# Their values are those of one process; see ``reproduce.comparison``.
SPEED_METRICS = ("steps_per_second",)

logger = logging.getLogger(__name__)


class OpenRun:
    """Writes a run's events to its journal, and updates its files accordingly.

    Args:
        directory: ``runs/<id>``, made for this run alone, or of the run that is resumed.
        start: the first event of this process.

    Attributes:
        resumed: whether an earlier process has begun the run.

    Raises:
        JournalLocked: another process writes or delivers the run.
    """

    def __init__(self, directory: Path, start: Started | Resumed) -> None:
        self.directory = directory
        self.runs_dir = directory.parent
        self.journal = Journal(directory / JOURNAL_NAME)
        self.state = RunState(keep_points=True)
        self.resumed = isinstance(start, Resumed)
        if self.resumed:
            add_what_files_hold(directory, self.journal)
            self.state = read_state(self.journal.path, keep_points=True)
        self._before = _Before(self.state.columns)
        self._info_before = dict(self.state.info)
        self._record(start)
        self._lock = threading.RLock()
        self._info: Any = None
        self._info_due = False
        self._metrics_written = 0
        self._metrics_due = 0.0
        self._output = _Output(directory / "cout.txt", self.resumed)
        if isinstance(start, Started):
            write_json(directory / "config.json", start.config)
        self._save()
        self.note_info({})

    def _record(self, event: Event) -> None:
        self.state.apply(self.journal.append(event), event)

    def check_place(self) -> None:
        """Check that the folder is still this run's own.

        Raises:
            FolderRemoved: it was removed, whatever is in its place now.
        """
        if self.journal.removed:
            raise FolderRemoved(errno.ENOENT, "it was removed during the run", str(self.directory))

    def _save(self) -> None:
        self.check_place()
        write_json(self.directory / "run.json", self.state.run_json(self.runs_dir))

    def add_points(self, name: str, steps: list[Any], values: list[Any], times: list[int]) -> None:
        """Record points of one metric in the journal, without those of an earlier process."""
        with self._lock:
            if self.resumed:
                steps, values, times = self._before.without_known(name, steps, values, times)
            for start in range(0, len(steps), POINTS_PER_EVENT):
                part = slice(start, start + POINTS_PER_EVENT)
                self._record(Metrics(name, steps[part], values[part], times[part]))

    def note_info(self, info: Any) -> None:
        """Record the experiment's info if it has changed."""
        info = {**self._info_before, **redact_tree(plain(info))}
        text = json.dumps(info, sort_keys=True)
        with self._lock:
            if text != self._info:
                self._info, self._info_due = text, True
                self._record(InfoChanged(info))
            self._save_info(info)

    def _save_info(self, info: Any) -> None:
        if self._info_due:
            self.check_place()
            write_json(self.directory / "info.json", info)
            self._info_due = False

    def beat(self, info: Any, output: str, beat_time: datetime, result: Any) -> None:
        """Record a heartbeat with output and info so far, and sync the journal to disk."""
        with self._lock:
            self._output.note(output)
            self.note_info(info)
            self.check_place()
            length = self._output.write()
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
            snapshot = self.state.columns.snapshot()
        self.check_place()
        began = time.monotonic()
        write_metrics(self.directory / "metrics.json", snapshot)
        # Only now: on a full disk the next call must try again.
        self._metrics_written = points
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
        self.check_place()
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
        """Bring all files up to date and sync the journal to disk.

        Raises:
            OSError: something can't be written.
        """
        with self._lock:
            if not self.journal.write_waiting():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.journal.path))
            self.check_place()
            self._output.write()
            self._save_info(self.state.info)
            self._save()
        self.write_metrics()
        self.journal.sync()

    def lacking(self) -> list[str]:
        """Return what the run's folder lacks, in words; [] if it holds everything."""
        waiting = self.journal.waiting
        points = sum(len(one.values) for one in waiting if isinstance(one, Metrics))
        said = [f"{points:,} of {sum(self.state.points.values()):,} points"] if points else []
        if any(isinstance(one, Ended) for one in waiting):
            said.append("its end")
        others = sum(not isinstance(one, (Metrics, Ended)) for one in waiting)
        return [*said, counted(others, "other event")] if others else said

    def move(self, folder: Path) -> None:
        """Write the whole record, as far as it is in memory or readable, and go on elsewhere.

        Raises:
            OSError: it can't be written there either.
        """
        assert self.state.start is not None
        (folder / JOURNAL_NAME).write_bytes(self.journal.content())
        write_json(folder / "config.json", self.state.start.config)
        with self._lock:
            self.journal.close()
            self.journal = Journal(folder / JOURNAL_NAME)
            self.directory = folder
            self._info_due, self._metrics_written = True, -1
            self._output.move(folder / "cout.txt")
        self.save_everything()


def finish_or_rescue(run: OpenRun, unstored: Unstored) -> str:
    """Complete the files of a run; if the disk does not take them, write them elsewhere.

    Args:
        run: The run, which has ended.
        unstored: The files that still wait.

    Returns:
        What its folder lacks, why, where it is instead, and what to do; "" if it lacks nothing.
    """
    reason = ""
    try:
        run.save_everything()
    except OSError as error:
        reason = error.strerror or str(error)
    waiting = unstored.names()
    if not reason and not waiting:
        return ""
    home, name = run.directory, run.directory.name
    removed = run.journal.removed
    if removed:
        said = f"Run {name} is not recorded in {home}, which was removed during the run"
    else:
        lacking = [*run.lacking(), *([counted(len(waiting), "file")] if waiting else [])]
        what = f": it lacks {', '.join(lacking)}" if lacking else ""
        said = f"Run {name} is not complete in {home} ({reason or 'disk full'}){what}"
    for folder in other_places(f"reproducible-ml-run-{name}-{os.getpid()}"):
        try:
            run.move(folder)
            unstored.store()
            run.save_everything()
        except OSError:
            continue
        lost = unstored.names()
        if removed:
            gone = [one for one in run.state.artifacts if not (folder / one).exists()]
            lost += [f"artifact {one}" for one in gone]
            sources = run.state.experiment().get("sources", ())
            if not all((run.runs_dir / copy).exists() for _, copy in sources):
                lost.append("the copies of source files")
        but = f" without {', '.join(lost)}" if lost else ""
        if removed:
            return f"{said}. The record{but} is in {folder}: copy it to a free name beside others."
        copy = shlex.join(["cp", "-r", f"{folder}/.", str(home)])
        return f"{said}. The whole record{but} is in {folder}: when there is space, {copy}"
    return f"{said}. No other place takes it: neither the temporary folder, this one nor your home."


class _Before:
    """The points of the earlier processes of a run, which a resumed training logs again."""

    def __init__(self, columns: MetricColumns) -> None:
        self._points: dict[str, Counter[tuple[Any, str]]] = {}
        self._steps: dict[str, set[Any]] = {}
        self._told: set[str] = set()
        for name, (steps, values, _) in columns.snapshot().items():
            self._points[name] = Counter((step, repr(value)) for step, value in zip(steps, values))
            self._steps[name] = set(steps)

    def without_known(
        self, name: str, steps: list[Any], values: list[Any], times: list[int]
    ) -> tuple[list[Any], list[Any], list[int]]:
        """Return the points that are new."""
        points, known = self._points.get(name, Counter()), self._steps.get(name, set())
        new = []
        for point in zip(steps, values, times):
            key = (point[0], repr(point[1]))
            if points[key] > 0:
                points[key] -= 1
            elif point[0] not in known:
                new.append(point)
            elif name not in SPEED_METRICS and name not in self._told:
                self._told.add(name)
                logger.warning(
                    "Metric %r has another value at step %r than before the run was stopped; the "
                    "earlier one stays in the record.",
                    *(name, point[0]),
                )
        if not new:
            return [], [], []
        kept_steps, kept_values, kept_times = zip(*new)
        return list(kept_steps), list(kept_values), list(kept_times)


class _Output:
    """``cout.txt``, which is appended to unless a filter has changed the text before."""

    def __init__(self, path: Path, resumed: bool = False) -> None:
        self.path = path
        self._text = ""
        # What earlier processes of the run have printed.
        self._before = path.read_bytes() if resumed and path.exists() else b""
        self._due = self._rewritten = False
        # Redaction works within lines, so text up to the last newline is final.
        self._settled = 0
        self._settled_bytes = len(self._before)
        with replacing(path) as file:
            file.write(self._before)

    def note(self, text: str) -> None:
        """Take over what was printed so far."""
        if text != self._text:
            self._rewritten |= not text.startswith(self._text)
            self._text, self._due = text, True

    def write(self) -> int:
        """Make the file hold the text without credentials; return its length in bytes."""
        if self._rewritten:
            with replacing(self.path) as file:
                file.write(self._before + _encode(self._text))
            self._settled, self._settled_bytes = 0, len(self._before)
            self._rewritten = False
        settled = max(self._text.rfind("\n") + 1, self._settled)
        head, tail = _encode(self._text[self._settled : settled]), _encode(self._text[settled:])
        if self._due:
            # Opened without emptying it.
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
                file.seek(self._settled_bytes)
                file.write(head + tail)
                file.truncate()
        self._settled, self._due = settled, False
        self._settled_bytes += len(head)
        return self._settled_bytes + len(tail)

    def move(self, path: Path) -> None:
        """Write everything into another file, and go on there."""
        path.write_bytes(self._before + _encode(self._text))
        self.path = path


def _encode(text: str) -> bytes:
    return redact(text).encode("utf-8", "backslashreplace")
