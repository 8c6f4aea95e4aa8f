"""The identity of a process: what tells it from any other, on this host and elsewhere.

A process number alone is used again. With the time at which the process started, the number of the
host's start (``boot_id``) and the namespace of process numbers (a container has its own), it is
not.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: The host's name.
        boot: Identifies the start of the host; "" where the system has no such number.
        namespace: The namespace of the process number; "" where there are none.
        pid: The process number.
        started: When the process started, in the system's own form.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    def is_visible(self) -> bool:
        """Tell whether this process can see the other one, if it lives."""
        mine = this_process()
        return (self.host, self.boot, self.namespace) == (mine.host, mine.boot, mine.namespace)

    def lives(self) -> bool:
        """Tell whether a visible process lives; a killed one that nobody waited for does not."""
        return _started(self.pid) == self.started

    @property
    def label(self) -> str:
        """What names the process in the name of a file, in at most 28 characters."""
        host = _digest("\n".join((self.host, self.boot, self.namespace)))
        return f"{host}-{self.pid}-{_digest(self.started)}"


def this_process() -> Owner:
    """Return the present process, which after a fork is another one."""
    pid = os.getpid()
    return Owner(socket.gethostname(), _boot(), _namespace(), pid, _started(pid))


def is_visibly_gone(label: str) -> bool:
    """Tell whether a process that ``Owner.label`` named can be seen to live no longer."""
    host, pid, started = label.split("-")
    mine = this_process().label.split("-")[0]
    return host == mine and _digest(_started(int(pid))) != started


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.lru_cache(maxsize=1)
def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return ""


def _namespace() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _started(pid: int) -> str:
    """Return when a process started; "" if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else _started_by_ps(pid)
    # After the command's name in parentheses, which may hold spaces: the state, and the start in
    # ticks since the host's.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZXx" else fields[19]


def _started_by_ps(pid: int) -> str:
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    state, _, started = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else re.sub(r"\s+", " ", started.strip())
