"""One member of a sweep: its parameters, its process, and its outcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import MANIFEST_FILE
from reproducible_ml.tracking.folder import told_run
from reproducible_ml.tracking.mongo import environment_for, parse_mongo
from reproducible_ml.tracking.runs import DEFAULT_FOLDER, RunId, typed_id
from reproducible_ml.tracking.sweep.values import Parameters

SWEEPS_DIR = "sweeps"
WAITING, RUNNING, RECORDED = "waiting", "running", "recorded"
COMPLETED, FAILED, INTERRUPTED = "completed", "failed", "interrupted"
_LOG_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    """A request for a sweep.

    Attributes:
        module: The experiment's module, as ``python -m`` takes it.
        named: Named configurations of all members.
        jobs: Number of members that run at once.
        runs: Folder of runs.
        mongo: Database that also receives the runs, if any.
        metric: The metric to tabulate; None for every number in the runs' results.
        sweeps: Folder of sweeps.
    """

    module: str
    named: tuple[str, ...] = ()
    jobs: int = 1
    runs: str = DEFAULT_FOLDER
    mongo: str | None = field(default=None, repr=False)
    metric: str | None = None
    sweeps: str = SWEEPS_DIR

    def recorded(self) -> dict[str, Any]:
        """Return the request for ``sweep.json``: the database without credentials."""
        mongo = parse_mongo(self.mongo).shown if self.mongo else None
        return {**asdict(self), "mongo": mongo}


@dataclass
class Member:
    """One run of a sweep.

    Attributes:
        number: From 1, in the order of the product.
        parameters: Its configuration values by key, as strings.
        status: One of the constants above.
        run_id: Its recorded run, once that is known.
        measured: Name -> number, once it has completed.
        reason: Why it failed.
    """

    number: int
    parameters: Parameters
    status: str = WAITING
    run_id: RunId | None = None
    measured: dict[str, float] | None = None
    reason: str = ""

    @property
    def shown(self) -> str:
        """Number and parameters, for messages."""
        return " ".join(
            [f"member {self.number}:", *(f"{k}={v}" for k, v in self.parameters.items())]
        )


def start_member(
    request: Request, member: Member, folder: Path, log_path: Path
) -> subprocess.Popen[bytes]:
    """Start a member's process, which prints to its log.

    Args:
        request: The sweep's request.
        member: The member.
        folder: The sweep's folder, which the run's comment names.
        log_path: The member's log.
    """
    given = [*request.named, *(f"{key}={text}" for key, text in member.parameters.items())]
    # -u, so that a killed member's last lines are in its log.
    command = [sys.executable, "-u", "-m", request.module]
    command += ["with", *given] if given else []
    command += ["-F", request.runs]
    command += ["-c", f"{folder}, member {member.number}"]
    with open(log_path, "wb") as log:
        # In its own session, so that Ctrl-C reaches only the sweep, which then ends its members.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Not on the command line, which others can read.
            env=environment_for(request.mongo),
            start_new_session=True,
        )


def run_of_log(text: str) -> RunId | None:
    """Return the id of the run that a member's output names."""
    told = told_run(text)
    return typed_id(told[0]) if told else None


def exit_reason(code: int) -> str:
    """Describe how a process ended: "exit code 1", "killed by SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def log_tail(path: Path) -> str:
    """Return the end of a log."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def missing_data(config: Mapping[str, Any]) -> str | None:
    """Return the record_dir that a member has to write first; None if its data set exists."""
    record_dir = config.get("record_dir")
    if not isinstance(record_dir, str) or (Path(record_dir) / MANIFEST_FILE).exists():
        return None
    return os.path.realpath(record_dir)
