"""What ends a step that waits for a worker which is gone.

TensorFlow notices a lost worker when it asks that worker for a value. A worker that has all values
it needs, and waits until its own are fetched, would wait for ever.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import tensorflow as tf

from reproducible_ml.models.exact.distribution import Task

# How long a step may continue after a worker is lost: it may not need that worker again.
_PATIENCE_SECONDS = 15.0
# A connection is replaced at this age: TensorFlow's server closes one that says nothing for 120 s.
_RENEW_SECONDS = 30.0
_CONNECT_SECONDS = 10.0


class WatchedWorkersHook(tf.estimator.SessionRunHook):
    """Closes the session of a step that is still running long after another worker was lost.

    The step then ends with ``tf.errors.CancelledError``.

    Args:
        task: The cluster, and which of its workers this process is.
        patience: Seconds between the loss of a worker and the end of the step.

    Attributes:
        said: What was found of a lost worker whose loss ended a step; empty otherwise.
    """

    def __init__(self, task: Task, patience: float = _PATIENCE_SECONDS) -> None:
        self.said = ""
        self._others = [
            _Worker(address) for index, address in enumerate(task.addresses) if index != task.index
        ]
        self._patience = patience
        self._session: Any = None
        self._step_began: float | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch, in a thread."""
        threading.Thread(target=self._watch, name="watched-workers", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Keep the session."""
        del coord
        self._session = session

    def before_run(self, run_context: Any) -> None:
        """Note that a step begins."""
        del run_context
        self._step_began = time.monotonic()

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Note that it has ended."""
        del run_context, run_values
        self._step_began = None

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            for worker in self._others:
                worker.look()
                if worker.lost_at is not None and self._has_waited_since(worker.lost_at):
                    self.said = f"{worker.address} does not answer, and a step waits for it"
                    self._session.close()
                    self._stopped.set()
        for worker in self._others:
            worker.close()

    def _has_waited_since(self, lost_at: float) -> bool:
        began = self._step_began
        return began is not None and time.monotonic() - max(began, lost_at) > self._patience


class _Worker:
    """Another worker, and a connection to it, which the end of its process closes.

    Attributes:
        address: Its HOST:PORT.
        lost_at: When it was found to be gone; None while it is there or has not started yet.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.lost_at: float | None = None
        self._connection: socket.socket | None = None
        self._opened = 0.0

    def look(self) -> None:
        """Find out whether it is there."""
        if self.lost_at is not None:
            return
        if self._connection is None or time.monotonic() - self._opened > _RENEW_SECONDS:
            self._connect()
        elif _is_closed(self._connection):
            self.lost_at = time.monotonic()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> None:
        host, _, port = self.address.rpartition(":")
        try:
            opened = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS)
        except (OSError, ValueError):
            if self._connection is not None:
                self.lost_at = time.monotonic()
            return
        opened.setblocking(False)
        self.close()
        self._connection, self._opened = opened, time.monotonic()


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the other end has closed; what it sends is read and dropped."""
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
