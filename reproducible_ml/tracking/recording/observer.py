"""The observer that writes every run to ``runs/<id>/`` while it runs, with or without MongoDB.

The folder is authoritative (see ``folder/layout.py``). A database is a mirror, which a background
thread feeds from the folder's journal (see ``mongo/mirror.py``). After the start no method raises,
because Sacred would disable the observer for the rest of the run.
"""

from __future__ import annotations

import copyreg
import functools
import logging
import mimetypes
import os
import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet

from reproducible_ml.process import ForkedInfo, undisturbed
from reproducible_ml.tracking.folder import (
    COMPLETED,
    QUEUED,
    RESOURCES_NAME,
    FolderRemoved,
    JournalLocked,
    OneWriter,
    Resumed,
    Started,
    Unstored,
    from_microseconds,
    highest_id,
    iso,
    metric_step,
    metric_value,
    now,
    plain,
    store_once,
    to_microseconds,
)
from reproducible_ml.tracking.mongo import Mirror, MongoTarget
from reproducible_ml.tracking.recording.open_run import OpenRun, finish_or_rescue
from reproducible_ml.tracking.sacred_parts import (
    IntervalTimer,
    MetricsLogger,
    RunObserver,
    ScalarMetricLogEntry,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.redaction import redact, redact_tree

HEARTBEAT_SECONDS = 60

logger = logging.getLogger(__name__)


def _never_raise(method: Callable[..., None]) -> Callable[..., None]:
    """Log an event's error as one line, so that neither the run nor its recording ends."""

    @functools.wraps(method)
    def guarded(self: LocalStore, *args: Any, **kwargs: Any) -> None:
        what = method.__name__.replace("_event", "").replace("_", " ")
        name = kwargs.get("name") or kwargs.get("filename") or ""
        if self._writer is not None and self._writer.refuses(what, str(name)):
            return
        try:
            with undisturbed():
                method(self, *args, **kwargs)
        except FolderRemoved:
            self._tell_removed()
        except Exception as error:  # whatever it is, the training matters more
            logger.warning("Not recorded: %s %s: %s", what, name, redact(str(error)))

    return guarded


class LocalStore(RunObserver):
    """Write a run to ``runs_dir/<id>/`` in the layout of Sacred's FileStorageObserver.

    Args:
        runs_dir: directory of all runs; made if it is missing.
        mirror: database that a background thread also delivers the run to, if any.
    """

    # Higher than any observer of Sacred, because the first one asked assigns the run's id.
    priority = 100

    def __init__(self, runs_dir: str | Path = "runs", mirror: MongoTarget | None = None) -> None:
        self.runs_dir = Path(runs_dir)
        self.mirror = mirror
        self._run: OpenRun | None = None
        self._writer: OneWriter | None = None
        self._feed: Mirror | None = None
        self._attached: Any = None
        self._refused: set[str] = set()
        # The run that this process resumes, which has this folder already.
        self.resumes: Path | None = None
        self._unstored = Unstored()
        self._told_removed = False
        # Called at the end with a sentence if the run's folder does not hold everything.
        self.incomplete: Callable[[str], None] = logger.error
        # Called before the end of a run that did not complete is recorded.
        self.before_broken_end: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"LocalStore({str(self.runs_dir)!r}, mirror={self.mirror})"

    @property
    def directory(self) -> Path | None:
        """Folder of the run that is being written; None before the start."""
        return self._run.directory if self._run else None

    @property
    def database_id(self) -> int | str | None:
        """The run's ``_id`` in the mirror; None until it has one."""
        return self._feed.run_id if self._feed else None

    def attach(self, run: Any) -> None:
        """Record each metric point of a Sacred run when it is logged, not at the next heartbeat.

        Call this once with the ``sacred.run.Run`` before the run starts. Without it a killed
        process loses the points since its last heartbeat.
        """
        self._attached = run
        run._metrics = _JournaledMetrics(self)
        _attached.add(self)
        copyreg.pickle(type(run), OneWriter.refuse_pickling)

    def __reduce__(self) -> Any:
        """Refuse to be passed to another process."""
        return OneWriter.refuse_pickling(self)

    def refuse_info(self) -> None:
        """Say of each key of ``run.info`` that this process, a fork, sets: it is not recorded."""
        writer, run = self._writer, self._attached
        if writer is not None and run is not None:
            run.info = ForkedInfo(run.info, functools.partial(writer.refuses, "info"))

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from the one that records the run."""
        return self._writer is not None and self._writer.is_other

    def refused(self) -> list[str]:
        """Return what forked processes could not record since the last call."""
        return [] if self._writer is None or self._writer.is_other else self._writer.refused()

    def queued_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Record a run that is only queued: it gets a folder and its first event."""
        run_id = self._begin(
            QUEUED, ex_info, command, host_info, queue_time, config, meta_info, _id
        )
        self.join()
        return run_id

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Make the run's folder and return its id, which a database assigns if there is one.

        Raises:
            TrackingError: the folder can't be made, or the requested id is taken.
        """
        return self._begin(
            "RUNNING", ex_info, command, host_info, start_time, config, meta_info, _id
        )

    def _begin(
        self,
        status: str,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        wanted_id: Any,
    ) -> Any:
        try:
            self._writer = OneWriter()
            self.runs_dir.mkdir(parents=True, exist_ok=True)
            experiment = {**ex_info, "sources": self._keep_sources(ex_info)}
            facts = {"experiment": experiment, "host": host_info, "config": config}
            start = Started(
                uid=uuid.uuid4().hex,
                status=status,
                command=command,
                time=iso(start_time),
                **redact_tree(plain({**facts, "meta": meta_info})),
            )
            self._feed = Mirror(self.mirror, self.runs_dir, start) if self.mirror else None
            if self.resumes is not None:
                return self._resume(self.resumes, Resumed(start.time, start.host), wanted_id)
            run_id = self._feed.reserve(wanted_id) if self._feed else None
            if run_id is None:
                run_id = self._make_directory(wanted_id)
            self._run = OpenRun(self.runs_dir / str(run_id), start)
        except OSError as error:
            raise TrackingError(
                f"The run cannot be recorded in {self.runs_dir}: {error}. "
                "Name a writable directory."
            ) from error
        if self._feed:
            self._feed.start(self._run.directory)
        return run_id

    def _resume(self, directory: Path, event: Resumed, run_id: Any) -> Any:
        try:
            self._run = OpenRun(directory, event)
        except JournalLocked as error:
            raise TrackingError(
                f"Run {run_id} can't be resumed while another process writes or delivers it: "
                f"{error} Start again after that."
            ) from error
        if self._feed:
            self._feed.start(directory, resumed=True)
        return run_id

    @property
    def resumed(self) -> bool:
        """Whether the run was begun by an earlier process."""
        return self._run is not None and self._run.resumed

    def _make_directory(self, wanted_id: Any) -> Any:
        if wanted_id is not None:
            make_exactly(self.runs_dir, wanted_id)
            return wanted_id
        number = highest_id(self.runs_dir) + 1
        while True:
            try:
                (self.runs_dir / str(number)).mkdir()
                return number
            except FileExistsError:  # another process was faster
                number += 1

    def _keep_sources(self, ex_info: dict[str, Any]) -> list[list[str]]:
        names = (name for name, _ in ex_info.get("sources", ()))
        return self._keep_copies(names, ex_info.get("base_dir", ""))

    def _keep_copies(self, names: Iterable[str], base_dir: str) -> list[list[str]]:
        kept = []
        for name in names:
            copy, _ = store_once(Path(base_dir, name), self.runs_dir / "_sources")
            kept.append([name, os.path.relpath(copy, self.runs_dir)])
        return kept

    @_never_raise
    def add_sources(self, names: Iterable[str], changed: Iterable[str], base_dir: str) -> None:
        """Keep source files that the run came to depend on after its start.

        Args:
            names: their paths relative to ``base_dir``.
            changed: the paths of those, and of files kept before, that changed during the run.
            base_dir: the experiment's ``base_dir``.
        """
        if self._run:
            add, added, now_other = self._run.add_sources, list(names), list(changed)
            self._unstored.try_now(
                *("source files", ", ".join(added), ""),
                lambda _: add(self._keep_copies(added, base_dir), now_other),
            )
        self._wake()

    @property
    def config(self) -> dict[str, Any] | None:
        """The configuration as it is recorded; None before the start."""
        start = self._run.state.start if self._run else None
        return start.config if start else None

    @property
    def sources(self) -> list[list[str]] | None:
        """Name and path of the copy of each source file as it is recorded; None before the start.

        The path ends in the MD5 of the copy; see ``store_once``.
        """
        return self._run.state.experiment()["sources"] if self._run else None

    def points(self) -> dict[str, list[tuple[Any, Any]]]:
        """Return (step, value) of every point so far, by metric."""
        if self._run is None:
            return {}
        snapshot = self._run.state.columns.snapshot()
        return {name: list(zip(steps, values)) for name, (steps, values, _) in snapshot.items()}

    def artifacts(self) -> dict[str, Path]:
        """Return the file of each artifact so far, by name."""
        if self._run is None:
            return {}
        self._unstored.store()
        found = {one: self._run.directory / one for one in self._run.state.artifacts}
        return {name: path for name, path in found.items() if path.is_file()}

    def add_point(self, name: str, value: Any, step: Any, microseconds: int) -> bool:
        """Record one metric point now; if it is refused, log one line and return False."""
        if self._writer is not None and self._writer.refuses("metric", name):
            return False
        with undisturbed():
            return self._add_point(name, value, step, microseconds)

    def _add_point(self, name: str, value: Any, step: Any, microseconds: int) -> bool:
        try:
            value, step = metric_value(value), metric_step(step)
        except TrackingError as error:
            if name not in self._refused:  # one line for each metric, not for each step
                self._refused.add(name)
                logger.warning("Not recorded: metric %r at step %r %s.", name, step, error)
            return False
        if self._run:
            self._run.add_points(name, [step], [value], [microseconds])
        return True

    @_never_raise
    def log_metrics(self, metrics_by_name: dict[str, dict[str, Any]], info: dict[str, Any]) -> None:
        """Record the points since the last heartbeat, unless ``attach`` has recorded them."""
        if self._attached is None:
            for name, columns in metrics_by_name.items():
                for step, value, stamp in zip(
                    columns["steps"], columns["values"], columns["timestamps"]
                ):
                    self.add_point(name, value, step, to_microseconds(stamp))

    @_never_raise
    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Record output, info, result and the time."""
        if self._run:
            self._unstored.store()
            self._run.beat(info, captured_out, beat_time, result)
        self._wake()

    def _tell_removed(self) -> None:
        if not self._told_removed and self._run:
            self._told_removed = True
            logger.warning(
                "%s was removed while its run goes on; at its end the record is written to another "
                "place.",
                self._run.directory,
            )

    @_never_raise
    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Record the end of a run that completed."""
        self._end(COMPLETED, stop_time, result)

    @_never_raise
    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Record the end of a stopped run: INTERRUPTED, TIMEOUT or a status of its own."""
        self._complete_broken()
        self._end(status, interrupt_time)

    @_never_raise
    def failed_event(self, fail_time: datetime, fail_trace: Any) -> None:
        """Record the end of a run that raised."""
        self._complete_broken()
        self._end("FAILED", fail_time, trace=fail_trace)

    @_never_raise
    def _complete_broken(self) -> None:
        self.before_broken_end()

    def _end(self, status: str, time: datetime, result: Any = None, trace: Any = None) -> None:
        if self._run:
            self._collect_last_output(self._run)
            self._run.end(status, time, result, trace)
        self._wake()

    def _collect_last_output(self, run: OpenRun) -> None:
        # Sacred drops the output between a run's last heartbeat and its exception.
        sacred_run = self._attached
        captured = getattr(sacred_run, "_output_file", None)
        if captured is not None and getattr(captured, "final", None):
            rest = captured.get()
            rest = rest.decode("utf-8", "replace") if isinstance(rest, bytes) else rest
            text = sacred_run.captured_out + rest
            if sacred_run.captured_out_filter is not None:
                text = sacred_run.captured_out_filter(text)
            sacred_run.captured_out = text
            run.beat(sacred_run.info, text, now(), sacred_run.result)

    @_never_raise
    def resource_event(self, filename: str) -> None:
        """Record a file that the run reads."""
        if self._run:
            store = functools.partial(self._run.add_resource, filename)
            self._unstored.try_now(
                "resource", filename, filename, lambda _: store(self.runs_dir / RESOURCES_NAME)
            )

    @_never_raise
    def artifact_event(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> None:
        """Keep a file that the run made."""
        if self._run:
            content_type = content_type or mimetypes.guess_type(filename)[0]
            add = self._run.add_artifact
            self._unstored.try_now(
                "artifact", name, filename, lambda file: add(name, file, metadata, content_type)
            )
        self._wake()

    def _wake(self) -> None:
        if self._feed:
            self._feed.wake()

    def end_now(self, status: str) -> None:
        """Record the end of a run whose process exits while its main function is busy.

        What a database lacks is delivered by ``sync``.
        """
        self.interrupted_event(now(), status)
        if self._run is not None:
            lacking = finish_or_rescue(self._run, self._unstored)
            if lacking:
                self.incomplete(lacking)

    @_never_raise
    def join(self) -> None:
        """Finish the files and give the mirror a limited time for the rest; Sacred's last call."""
        if self._run is None:
            return
        self._wait_for_heartbeat()
        run, self._run = self._run, None
        try:
            self._unstored.store()
            lacking = finish_or_rescue(run, self._unstored)
            if self._feed:
                self._feed.finish()
            if lacking:
                self.incomplete(lacking)
        finally:
            self._attached = None
            self._unstored.close()
            run.journal.close()
            if self._writer:
                self._writer.close()

    def _wait_for_heartbeat(self) -> None:
        # Sacred waits 2 seconds for its last heartbeat, but a million points take longer.
        for thread in threading.enumerate():
            if isinstance(thread, IntervalTimer) and thread is not threading.current_thread():
                run = getattr(thread.func, "__self__", None)
                if any(observer is self for observer in getattr(run, "observers", ())):
                    thread.join(HEARTBEAT_SECONDS)


# The stores that a Sacred run of this process is attached to.
_attached: WeakSet[LocalStore] = WeakSet()


def _refuse_info() -> None:
    for store in list(_attached):
        store.refuse_info()


os.register_at_fork(after_in_child=_refuse_info)


def make_exactly(runs_dir: Path, run_id: Any) -> None:
    """Make the folder of a run whose id the user chose.

    Raises:
        TrackingError: the id is taken, or can't name a folder.
    """
    name = str(run_id)
    if Path(name).name != name or name.startswith(("_", ".")):
        raise TrackingError(f"The run id {name!r} can't name a folder; use another one.")
    try:
        (runs_dir / name).mkdir()
    except FileExistsError:
        raise TrackingError(
            f"The run id {name!r} is taken in {runs_dir}; use another one, or leave it out."
        ) from None


class _JournaledMetrics(MetricsLogger):
    """Sacred's metrics logger, which also writes each point to the journal before it returns."""

    def __init__(self, store: LocalStore) -> None:
        initialize: Callable[[], None] = super().__init__  # Sacred's has no types
        initialize()
        self._store = store

    def log_scalar_metric(self, metric_name: str, value: Any, step: Any = None) -> None:
        """Record one point, or log one line that says why not; never raise."""
        if step is None:
            step = self._metric_step_counter.get(metric_name, -1) + 1
        count = to_microseconds(now())
        if self._store.add_point(metric_name, value, step, count):
            value, step = metric_value(value), metric_step(step)
            make_entry: Callable[..., Any] = ScalarMetricLogEntry
            stamp = from_microseconds(count)
            self._logged_metrics.put(make_entry(metric_name, step, stamp, value))
            self._metric_step_counter[metric_name] = step
