"""The state of a run, computed from the events of its journal here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    Unknown,
)
from reproducible_ml.tracking.folder.journal import JOURNAL_NAME, JournalReader
from reproducible_ml.tracking.folder.layout import read_json, resource_copy
from reproducible_ml.tracking.folder.metric_columns import MetricColumns
from reproducible_ml.tracking.folder.names import from_microseconds, iso

# Status of a killed process's run. It is Sacred's word for a run that was stopped from outside, so
# every reader's filters know it. Until sync, other readers call the run dead by its old heartbeat.
KILLED_STATUS = "INTERRUPTED"
QUEUED = "QUEUED"


class RunState:
    """The state of a run after the events that were applied, in order.

    Args:
        keep_points: whether ``columns`` collects every metric point; most readers need none.

    Attributes:
        sequence: number of the last event applied.
        start: the first event; None before it.
        end: the end of the run; None before it.
        status: the latest status.
        heartbeat: time of the last heartbeat. The start counts as one, because Sacredboard can't
            show a run without it.
        result: the latest result.
        output_bytes: length of the captured output.
        info: the experiment's ``info``.
        late_sources: the source files that were added after the start.
        changed_sources: names of those that changed during the run.
        resources: every resource, as often as it was added.
        artifacts: name -> number of the event that added its present content.
        points: metric -> number of its points.
        resumed: the further processes of a run that was stopped: when the one before had ended, or
            was last heard of, and when and where the next one started.
        columns: the points themselves.
    """

    def __init__(self, keep_points: bool = False) -> None:
        self.sequence = 0
        self.start: Started | None = None
        self.end: Ended | None = None
        self.status = ""
        self.heartbeat = ""
        self.result: Any = None
        self.output_bytes = 0
        self.info: Any = {}
        self.late_sources: list[list[str]] = []
        self.changed_sources: list[str] = []
        self.resources: list[ResourceAdded] = []
        self.artifacts: dict[str, int] = {}
        self.points: dict[str, int] = {}
        self.columns = MetricColumns()
        self.resumed: list[dict[str, Any]] = []
        self._keep_points = keep_points
        self._last_time = ""
        self._last_point = 0

    def apply(self, sequence: int, event: Event) -> None:
        """Apply an event; one that was applied before changes nothing.

        Args:
            sequence: its number in the journal.
            event: the event.
        """
        if sequence <= self.sequence:
            return
        self.sequence = sequence
        if isinstance(event, Metrics):
            self._add_points(event)
        elif isinstance(event, ArtifactAdded):
            self.artifacts[event.name] = sequence
        elif isinstance(event, ResourceAdded):
            self.resources.append(event)
        elif isinstance(event, SourcesAdded):
            self.late_sources += event.sources
            self.changed_sources += event.changed
        elif isinstance(event, InfoChanged):
            self.info = event.info
        elif isinstance(event, (Started, Beat, Ended, Resumed, Unknown)):
            self._change_status(event)
            self._last_time = max(self._last_time, event.time)

    def _add_points(self, event: Metrics) -> None:
        self.points[event.name] = self.points.get(event.name, 0) + len(event.values)
        # The clock may be set back during a run, so the last point need not be the latest.
        if event.times[-1] > self._last_point:
            self._last_point = event.times[-1]
        if self._keep_points:
            self.columns.extend(event.name, event.steps, event.values, event.times)

    def _change_status(self, event: Started | Beat | Ended | Resumed | Unknown) -> None:
        if isinstance(event, Started):
            self.start = event
            self.status = event.status
            self.heartbeat = event.time
        elif isinstance(event, Beat):
            self.heartbeat = event.time
            self.result = event.result
            self.output_bytes = event.output_bytes
        elif isinstance(event, Resumed):
            before = {"stopped": self.end.time if self.end else self.last_time}
            self.resumed.append({**before, "time": event.time, "host": event.host})
            self.end, self.status, self.heartbeat = None, "RUNNING", event.time
        elif isinstance(event, Ended):
            self.end = event
            self.status = event.status
            # Any other end has no result of its own and keeps that of the last heartbeat.
            if event.status == COMPLETED:
                self.result = event.result

    @property
    def ended(self) -> bool:
        """Whether no more events will come; a queued run has none after its start."""
        return self.end is not None or self.status == QUEUED

    def experiment(self) -> dict[str, Any]:
        """Return the facts about the experiment, with every source file known so far."""
        assert self.start is not None, "a run begins with its start"
        experiment = self.start.experiment
        if self.late_sources:
            sources = [*experiment.get("sources", ()), *self.late_sources]
            experiment = {**experiment, "sources": sources}
        if self.changed_sources:
            experiment = {**experiment, "changed_sources": self.changed_sources}
        return experiment

    @property
    def last_time(self) -> str:
        """Latest time of any event, points included."""
        return max(self._last_time, iso(from_microseconds(self._last_point)))

    def run_json(self, runs_dir: Path) -> dict[str, Any]:
        """Return the content of ``run.json``.

        Args:
            runs_dir: directory of all runs, where the resources are kept.
        """
        assert self.start is not None, "a run begins with its start"
        entry = {
            "experiment": self.experiment(),
            "command": self.start.command,
            "host": self.start.host,
            "meta": self.start.meta,
            "start_time": self.start.time,
            "status": self.status,
            "heartbeat": self.heartbeat,
            "result": self.result,
            "resources": [
                [one.name, str(resource_copy(runs_dir, one.name, one.md5))]
                for one in self.resources
            ],
            "artifacts": list(self.artifacts),
        }
        if self.resumed:
            entry["resumed"] = self.resumed
        if self.end:
            entry["stop_time"] = self.end.time
            if self.end.fail_trace is not None:
                entry["fail_trace"] = self.end.fail_trace
        return entry


def read_state(journal: Path, keep_points: bool = False) -> RunState:
    """Return the state of a run after all events of its journal.

    Raises:
        TrackingError: the journal is damaged.
    """
    state = RunState(keep_points)
    for entry in JournalReader(journal).read_all():
        state.apply(*entry)
    return state


def read_metrics(directory: Path) -> dict[str, dict[str, list[Any]]]:
    """Return every point in a run's folder, whether the run lives, has ended or was killed.

    The journal has all points at any time; a folder written by Sacred's own observer has only
    ``metrics.json``.

    Args:
        directory: ``runs/<id>``.

    Returns:
        {name: {"steps": [...], "values": [...], "timestamps": [ISO strings]}}
    """
    journal = directory / JOURNAL_NAME
    if not journal.exists():
        saved: dict[str, dict[str, list[Any]]] = read_json(directory / "metrics.json", {})
        return saved
    return {
        name: {
            "steps": list(steps),
            "values": list(values),
            "timestamps": [iso(from_microseconds(count)) for count in times],
        }
        for name, (steps, values, times) in read_state(journal, True).columns.snapshot().items()
    }
