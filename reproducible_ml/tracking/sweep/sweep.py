"""Run the members of a sweep, each in a separate process, and keep their results.

A sweep's folder is ``sweeps/<number>/``: ``<n>.log`` holds the output of member n, and
``sweep.json``, which is replaced whenever a member ends, describes all members and their results.
The runs themselves are recorded like any others. Before a sweep starts a member it looks for a
completed run to take instead, and for one that stopped and has a checkpoint to resume from.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.runs import Run, load_run, open_store
from reproducible_ml.tracking.sweep.member import (
    COMPLETED,
    FAILED,
    INTERRUPTED,
    RECORDED,
    RUNNING,
    WAITING,
    Member,
    Request,
    exit_reason,
    log_tail,
    missing_data,
    run_of_log,
    start_member,
)
from reproducible_ml.tracking.sweep.plan import Plan, make_plan, mark_of
from reproducible_ml.tracking.sweep.progress import SweepProgress
from reproducible_ml.tracking.sweep.recorded import Found, Recorded
from reproducible_ml.tracking.sweep.table import measured, names_of
from reproducible_ml.tracking.sweep.values import Parameters
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.files import write_json
from reproducible_ml.utils.text import suggestion

# An interrupted member needs time to finish its recorded run.
_GRACE_SECONDS = 20.0
_TICK_SECONDS = 0.05
# Between two looks at a run of another process.
_AWAITED_SECONDS = 2.0
# Of a failed member's log.
SHOWN_LINES = 6


class Sweep:
    """A sweep in progress.

    Attributes:
        folder: Folder of logs and table; made once the members are known to be valid.
        members: All members so far.
    """

    def __init__(self, request: Request, total: int, progress: SweepProgress) -> None:
        """Prepare a sweep.

        Args:
            request: What to run.
            total: Number of members that there will be, repetitions of others included.
            progress: Shows each member.
        """
        self.request = request
        self.members: list[Member] = []
        self._total = total
        self._progress = progress
        self._model_dirs: dict[str, int] = {}
        self._by_mark: dict[str, Member] = {}
        self._running: dict[int, tuple[Member, subprocess.Popen[bytes], str | None]] = {}
        # Members that another process executes.
        self._awaited: dict[int, Member] = {}
        self._look_again = 0.0

    @cached_property
    def folder(self) -> Path:
        """Folder of logs and table."""
        return new_folder(Path(self.request.sweeps))

    def execute(self, parameters: Sequence[Parameters]) -> list[Member]:
        """Run members that are not recorded yet, and wait for all of them.

        A failing member does not stop the others.

        Args:
            parameters: Parameters of each member.

        Returns:
            The member for each; of several with the same configuration there is only one.

        Raises:
            ConfigError: A value is invalid, no member has the metric, or members share a
                model_dir; nothing was started.
            TrackingError: The first member that ended lacks the metric.
            KeyboardInterrupt: All running members were interrupted and have ended.
        """
        plan = make_plan(self.request.module, self.request.named, parameters)
        plan.check_metric(self.request.metric)
        first = set(plan.without_repetitions())
        self._model_dirs = shared_model_dirs(
            [config for n, config in enumerate(plan.configs) if n in first],
            self._total - (len(parameters) - len(first)),
            self._model_dirs,
        )
        asked, new = self._members(plan, parameters)
        configs = {one.number: config for one, config in new}
        found = recorded_members(self.request, plan, [config for _, config in new])
        for (member, _), one in zip(new, found):
            self._take(member, one)
        self.require_measured()
        try:
            self._run([one for one, _ in new if one.status == WAITING], configs, plan)
        except BaseException:
            self._end_running()
            raise
        finally:
            self._save()
        return asked

    def _members(
        self, plan: Plan, parameters: Sequence[Parameters]
    ) -> tuple[list[Member], list[tuple[Member, dict[str, Any]]]]:
        """Return a member for each parameters, and those of them that are new with their config."""
        asked, new = [], []
        for one, config in zip(parameters, plan.configs):
            mark = mark_of(config)
            known = self._by_mark.get(mark)
            if known is None:
                known = Member(len(self.members) + 1, dict(one))
                self._by_mark[mark] = known
                self.members.append(known)
                new.append((known, config))
            else:
                again = Member(known.number, dict(one)).shown.partition(": ")[2]
                self._progress.tell(f"{again}: the same configuration as {known.shown}; run once")
                self._progress.advance()
            asked.append(known)
        return asked, new

    def _take(self, member: Member, found: Found) -> None:
        """Take what is recorded of a member: its result, or what it resumes or waits for."""
        if found.completed is not None:
            self._complete(member, found.completed, RECORDED)
            self._tell(member, f"recorded as run {found.completed.id}")
        elif found.running is not None:
            member.status, member.run_id = RUNNING, found.running.id
            self._awaited[member.number] = member
            self._progress.note(f"{member.shown}: is run {member.run_id}, which runs; waiting")
        else:
            member.status, member.resumed = WAITING, None
            if found.stopped is not None and self.request.resumes:
                member.resumed, member.run_id = found.stopped.word, found.stopped.run.id

    def _complete(self, member: Member, run: Run, status: str) -> None:
        member.status, member.run_id = status, run.id
        member.measured = measured(run, self.request.metric)

    def _run(
        self, waiting: list[Member], configs: Mapping[int, Mapping[str, Any]], plan: Plan
    ) -> None:
        while waiting or self._running or self._awaited:
            for member in list(waiting):
                if len(self._running) + len(self._awaited) >= self.request.jobs:
                    break
                record_dir = missing_data(configs[member.number])
                # If several members would first write the same data set, only one may do so.
                writing = {data for _, _, data in self._running.values() if data is not None}
                if record_dir is None or record_dir not in writing:
                    waiting.remove(member)
                    self._start(member, record_dir)
            time.sleep(_TICK_SECONDS)
            for number, (member, process, _) in list(self._running.items()):
                if process.poll() is not None:
                    del self._running[number]
                    self._finish(member, process.returncode)
            waiting += self._look_at_awaited(configs, plan)
            self._progress.show((one, self.log(one)) for one, _, _ in self._running.values())

    def _look_at_awaited(
        self, configs: Mapping[int, Mapping[str, Any]], plan: Plan
    ) -> list[Member]:
        """Look whether members that another process executes have ended; return those to run."""
        if not self._awaited or time.monotonic() < self._look_again:
            return []
        self._look_again = time.monotonic() + _AWAITED_SECONDS
        members = list(self._awaited.values())
        found = recorded_members(self.request, plan, [configs[one.number] for one in members])
        for member, one in zip(members, found):
            if one.running is None:
                del self._awaited[member.number]
                self._take(member, one)
        return [one for one in members if one.status == WAITING]

    def _start(self, member: Member, record_dir: str | None) -> None:
        if member.resumed is None:
            self._progress.note(f"{member.shown}: started, prints to {self.log(member)}")
        else:
            self._progress.note(
                f"{member.shown}: resumes run {member.run_id}, prints to {self.log(member)}"
            )
        process = start_member(self.request, member, self.folder, self.log(member))
        member.status = RUNNING
        self._running[member.number] = (member, process, record_dir)
        self._save()

    def _finish(self, member: Member, code: int) -> None:
        run_id = run_of_log(self.log(member))
        member.run_id = member.run_id if run_id is None else run_id
        if code == 0 and run_id is not None:
            with open_store(self.request.runs) as store:
                self._complete(member, load_run(run_id, store), COMPLETED)
            self._tell(member, f"run {member.run_id}")
        else:
            member.status = FAILED
            member.reason = exit_reason(code) if code else "it printed no run"
            text = log_tail(self.log(member))
            lines = [f"    {line}" for line in text.strip().splitlines()[-SHOWN_LINES:]]
            self._tell(
                member, "\n".join([f"FAILED, {member.reason}; {self.log(member)} ends:", *lines])
            )
        self._save()
        self.require_measured()

    def _end_running(self) -> None:
        for number, grace in ((signal.SIGINT, _GRACE_SECONDS), (signal.SIGKILL, None)):
            end = None if grace is None else time.monotonic() + grace
            for _, process, _ in self._running.values():
                if process.poll() is None:
                    os.killpg(process.pid, number)
            for _, process, _ in self._running.values():
                try:
                    process.wait(None if end is None else max(0.0, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
                except KeyboardInterrupt:
                    end = 0.0  # a second Ctrl-C ends the grace period
        for member, _, _ in self._running.values():
            member.status, member.reason = INTERRUPTED, "ended with the sweep"
            run_id = run_of_log(self.log(member))
            member.run_id = member.run_id if run_id is None else run_id
        self._running.clear()
        for member in self._awaited.values():
            member.status, member.reason = INTERRUPTED, "another process continues it"
        self._awaited.clear()

    def require_measured(self) -> None:
        """Check that completed members have the metric.

        Raises:
            TrackingError: No run has it; the message suggests those that exist.
        """
        ended = [one for one in self.members if one.measured is not None]
        if self.request.metric is None or not ended or any(one.measured for one in ended):
            return
        with open_store(self.request.runs) as store:
            names = names_of(load_run(ended[0].run_id or 0, store))
        raise TrackingError(
            f"Run {ended[0].run_id} has no number {self.request.metric!r}"
            f"{suggestion(self.request.metric, names)} Run the same command with another --metric; "
            "nothing is run twice."
        )

    def log(self, member: Member) -> Path:
        """Return the path of a member's log."""
        return self.folder / f"{member.number}.log"

    def _tell(self, member: Member, what: str) -> None:
        self._progress.tell(f"{member.shown}: {what}")
        self._progress.advance()

    def _save(self) -> None:
        values = {**self.request.recorded(), "members": [one.recorded() for one in self.members]}
        write_json(self.folder / "sweep.json", values)


def recorded_members(
    request: Request, plan: Plan, configs: Sequence[Mapping[str, Any]]
) -> list[Found]:
    """Return what is recorded of members with these configurations."""
    if not Path(request.runs).is_dir():
        return [Found()] * len(configs)
    with open_store(request.runs) as store:
        recorded = Recorded(store, plan.experiment)
        return [recorded.find(config, plan.sources) for config in configs]


def shared_model_dirs(
    configs: Sequence[Mapping[str, Any]], total: int, known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return how many members write to each model_dir.

    Raises:
        ConfigError: Several members write to the same one, or would.
    """
    counts = dict(known or {})
    for config in configs:
        if config.get("model_dir") is not None:
            folder = os.path.realpath(str(config["model_dir"]))
            counts[folder] = counts.get(folder, 0) + 1
            if counts[folder] > 1 or total > len(configs):
                raise ConfigError(
                    f"model_dir={config['model_dir']} would be shared by members of the sweep, and "
                    "each would resume the other's training. Leave model_dir out: every run then "
                    "gets its own."
                )
    return counts


def new_folder(sweeps: Path) -> Path:
    """Make the folder of a new sweep, numbered after the last one.

    Raises:
        TrackingError: It can't be made.
    """
    try:
        sweeps.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [int(one.name) for one in sweeps.iterdir() if one.name.isdecimal()]
            folder = sweeps / str(max(numbers, default=0) + 1)
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue  # another sweep started at the same moment
    except OSError as error:
        raise TrackingError(
            f"{sweeps} can't hold the logs of a sweep: {error.strerror}. Name another --sweeps."
        ) from error
