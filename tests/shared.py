"""What the processes of one test session share: folders that one of them makes, and turns.

pytest-xdist runs a session in several processes. Locks of files keep them apart, which the system
takes back from a process that is killed.
"""

import contextlib
import fcntl
import os
import shutil


@contextlib.contextmanager
def locked(path, how=fcntl.LOCK_EX):
    """Hold the lock of a file, which appears if it is not there."""
    with open(path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, how)
        yield


def made_once(tmp_path_factory, name, make):
    """Return a folder that ``make`` has filled, called by the first process that asks for it.

    Tests must leave it as it is, or work on a copy: others read it at the same time.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, made = root / name, root / f"{name}.made"
    with locked(root / f"{name}.lock"):
        if not made.exists():
            # A process that failed to fill it leaves it half full.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@contextlib.contextmanager
def turn(folder, alone):
    """Wait until a test may run: alone, or beside others that need not be alone."""
    # Who waits to be alone holds the gate shut, or tests of the others would come for ever.
    with locked(folder / "gate.lock"):
        running = open(folder / "running.lock", "w", encoding="utf-8")  # noqa: SIM115
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    with running:
        yield
