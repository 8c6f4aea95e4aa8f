"""Signals by which a scheduler asks a run to end, such as SIGTERM before a node is taken away.

While a run listens, such a signal raises ``Stopped`` in its main function; a training that makes
steps finishes the present one and writes a checkpoint before (``between_steps``). What is being
recorded is recorded first (``undisturbed``). A run that has not ended when its time is up, as its
step takes longer, is ended by another thread, which hears of the signal at once even if the main
thread computes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from reproducible_ml.utils.errors import ConfigError

GRACE_SECONDS = 10.0
# That of a process which SIGTERM ends, whichever signal it was: schedulers know it.
STOPPED_EXIT = 128 + signal.SIGTERM
# Those that ask; the others mean something else, or can't be heard.
_STOPPING = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGXCPU")


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; Sacred records the run as INTERRUPTED."""

    STATUS = "INTERRUPTED"


class _State:
    """What the process was asked, and whether it may be interrupted now."""

    asked = ""
    listening = False
    # A run's main function is executed, which the signal may interrupt.
    interruptible = False
    steps = False
    undisturbed = 0
    raised = False


_state = _State()


def stop_signals(names: Sequence[str] | str) -> list[signal.Signals]:
    """Return signals by their names, with or without "SIG", separated by commas in a string.

    Raises:
        ConfigError: There is no such signal, or it can't ask a process to end.
    """
    parts = names.split(",") if isinstance(names, str) else names
    found = []
    for part in parts:
        name = part.strip().upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        if name not in _STOPPING:
            raise ConfigError(
                f"{part.strip()!r} is no signal that can end a run; expected some of "
                f"{', '.join(_STOPPING)}."
            )
        found.append(signal.Signals[name])
    return found


def grace_seconds(given: Any) -> float:
    """Return the seconds between a signal and the end of the process.

    Raises:
        ConfigError: It is not a number from 0.
    """
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ConfigError(f"The grace period is {given!r}; expected a number of seconds from 0.")
    return seconds


@contextmanager
def listening(
    signals: Sequence[signal.Signals], grace: float, when_time_is_up: Callable[[], None]
) -> Iterator[None]:
    """Listen to signals while a run's main function is executed.

    Args:
        signals: Those that ask the run to end. One that the program handles itself is left alone.
        grace: Seconds until ``when_time_is_up`` is called in another thread, if the block has not
            ended by then.
        when_time_is_up: Records the end of the run; the process exits after it.
    """
    if _state.listening or threading.current_thread() is not threading.main_thread():
        # A run within a run, or one in a thread, which gets no signals.
        before = _state.interruptible
        _state.interruptible = _state.listening
        try:
            yield
        finally:
            _state.interruptible = before
        return
    watch = _Watch(grace, when_time_is_up)
    handlers = {}
    for number in signals:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            handlers[number] = signal.signal(number, _hear)
    watch.start(list(handlers))
    _state.asked, _state.raised = "", False
    _state.listening = _state.interruptible = True
    try:
        yield
    finally:
        _state.listening = _state.interruptible = False
        watch.end()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _hear(number: int, frame: Any) -> None:
    del frame
    _state.asked = signal.Signals(number).name
    _raise_now()


def _raise_now() -> None:
    ready = _state.interruptible and not (_state.steps or _state.undisturbed or _state.raised)
    if _state.asked and ready:
        _state.raised = True
        raise Stopped(_state.asked)


def listen_again() -> None:
    """Take back the signals that are listened to from native code that handles them by now."""
    if _state.listening and threading.current_thread() is threading.main_thread():
        for name in _STOPPING:
            if signal.getsignal(signal.Signals[name]) is _hear:
                signal.signal(signal.Signals[name], _hear)


def asked_to_stop() -> str:
    """Return the name of the signal that asked the process to end; "" without one."""
    return _state.asked


def stop_if_asked() -> None:
    """End here if a signal has asked for it.

    Raises:
        Stopped: It has.
    """
    if _state.asked and _state.listening:
        _state.raised = True
        raise Stopped(_state.asked)


def main_has_returned() -> None:
    """Let a run whose main function has returned be completed, whatever signals come."""
    _state.interruptible = False


@contextmanager
def between_steps() -> Iterator[Callable[[], None]]:
    """Be interrupted between steps alone, by whoever makes them, once they have begun.

    Yields:
        What to call when the first step is about to begin.
    """

    def begin() -> None:
        _state.steps = threading.current_thread() is threading.main_thread()

    try:
        yield begin
    finally:
        _state.steps = False


@contextmanager
def undisturbed() -> Iterator[None]:
    """Finish the block before a signal interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.undisturbed += 1
    try:
        yield
    finally:
        _state.undisturbed -= 1
    _raise_now()


# For the record of the end, after the grace period.
_LAST_SECONDS = 5.0


class _Watch:
    """Ends the process when its time is up."""

    def __init__(self, grace: float, when_time_is_up: Callable[[], None]) -> None:
        self._grace = grace
        self._when_time_is_up = when_time_is_up
        self._ended = threading.Event()
        self._read = self._write = self._before = -1

    def start(self, numbers: list[int]) -> None:
        if not numbers:
            return
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        # Written by the system's own handler, so also while the main thread computes.
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if self._before != -1:
            signal.set_wakeup_fd(self._before)  # an event loop's
        watched = frozenset(numbers)
        threading.Thread(
            target=self._watch, args=(watched,), name="stop-signals", daemon=True
        ).start()

    def _watch(self, numbers: frozenset[int]) -> None:
        heard = b""
        with open(self._read, "rb", buffering=0) as pipe:
            while not numbers.intersection(heard):
                heard = pipe.read(64)
                if not heard:
                    return
        if not self._ended.wait(self._grace):
            # Whatever it does, the process ends.
            threading.Timer(_LAST_SECONDS, os._exit, (STOPPED_EXIT,)).start()
            try:
                self._when_time_is_up()
            finally:
                os._exit(STOPPED_EXIT)

    def end(self) -> None:
        self._ended.set()
        if self._write < 0:
            return
        if self._before == -1:
            signal.set_wakeup_fd(-1)
        # The thread reads the end of the pipe, and closes the other.
        os.close(self._write)


def _start_anew() -> None:
    """Leave signals to themselves in a forked child."""
    if _state.listening:
        for name in _STOPPING:
            number = signal.Signals[name]
            if signal.getsignal(number) is _hear:
                signal.signal(number, signal.SIG_DFL)
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)
    _state.listening = _state.interruptible = _state.steps = False
    _state.asked = ""


os.register_at_fork(after_in_child=_start_anew)
