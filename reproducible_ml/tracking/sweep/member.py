"""One member of a sweep: its parameters, its process, and its outcome."""

from __future__ import annotations

import os
import re
import shlex
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
from reproducible_ml.utils.redaction import typed_without_secrets, without_secrets

SWEEPS_DIR = "sweeps"
WAITING, RUNNING, RECORDED = "waiting", "running", "recorded"
COMPLETED, FAILED, INTERRUPTED = "completed", "failed", "interrupted"
_LOG_HEAD_BYTES = _LOG_TAIL_BYTES = 1 << 16
# Sacred's own line; the experiment's may not be the first run that starts in a member's process.
_STARTED = re.compile(rb'Started run with ID "([^"]+)"')


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
        resumes: Whether members that were interrupted resume from their checkpoints.
    """

    module: str
    named: tuple[str, ...] = ()
    jobs: int = 1
    runs: str = DEFAULT_FOLDER
    mongo: str | None = field(default=None, repr=False)
    metric: str | None = None
    sweeps: str = SWEEPS_DIR
    resumes: bool = True

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
        run_id: Its recorded run, once that is known; the last one of a member that was resumed.
        resumed: The word that makes it resume a stopped run; None to start at step 0.
        measured: Name -> number, once it has completed.
        reason: Why it failed.
    """

    number: int
    parameters: Parameters
    status: str = WAITING
    run_id: RunId | None = None
    resumed: str | None = None
    measured: dict[str, float] | None = None
    reason: str = ""

    @property
    def shown(self) -> str:
        """Number and parameters, for messages; secrets among them are ``***``."""
        words = (f"{key}={text}" for key, text in self.parameters.items())
        return " ".join([f"member {self.number}:", *typed_without_secrets(words)])

    @property
    def unfinished(self) -> bool:
        """Whether it was interrupted, or not started yet."""
        return self.status in (WAITING, RUNNING, INTERRUPTED)

    def recorded(self) -> dict[str, Any]:
        """Return the member for ``sweep.json``, without secrets."""
        return {**asdict(self), "parameters": without_secrets(self.parameters)}


def words_of(request: Request, member: Member) -> list[str]:
    """Return what follows ``python -m`` for a member, without comment and database."""
    given = [*request.named, *(f"{key}={text}" for key, text in member.parameters.items())]
    given += [member.resumed] if member.resumed else []
    return [request.module, *(["with", *given] if given else [])]


def comment_of(member: Member, folder: Path) -> str:
    """Return the comment of a member's run."""
    return f"{folder}, member {member.number}"


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
    # -u, so that a killed member's last lines are in its log.
    command = [sys.executable, "-u", "-m", *words_of(request, member)]
    command += ["-F", request.runs, "-c", comment_of(member, folder)]
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


def shell_command(request: Request, member: Member) -> str:
    """Return a member's command for a shell, as a job array takes it: it names no password.

    A database with a password is left to the environment of the jobs.
    """
    python = Path(sys.executable)
    if Path.cwd() in python.parents:
        python = python.relative_to(Path.cwd())
    words = [str(python), "-m", *words_of(request, member)]
    words += ["-F", request.runs] if request.runs != DEFAULT_FOLDER else []
    target = parse_mongo(request.mongo) if request.mongo else None
    words += ["-m", target.shown] if target and not target.has_credentials else []
    return shlex.join(words)


def run_of_log(path: Path) -> RunId | None:
    """Return the id of the run that a member's output names at its start, or else at its end."""
    with open(path, "rb") as file:
        started = _STARTED.search(file.read(_LOG_HEAD_BYTES))
    # At its end a killed member may have named only the run of a stage that it ran first.
    told = None if started else told_run(log_tail(path))
    text = started[1].decode("utf-8", "replace") if started else told[0] if told else None
    return None if text is None else typed_id(text)


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
