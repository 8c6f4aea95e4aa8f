"""TensorBoard for a folder of a run: this Python's own, for this machine only.

Sacredboard starts whatever ``tensorboard`` is on the PATH, where that of an environment which is
not activated is missing, and leaves it running when the board ends.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO

from reproducible_ml.utils.errors import TrackingError

_PATIENCE_SECONDS = 60.0
# It ends with the board, however that ends: the pipe is closed then.
_PROGRAM = """
import os, sys, threading
from tensorboard.main import run_main
def end_with_the_board():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=end_with_the_board, daemon=True).start()
run_main()
"""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")

_lock = threading.Lock()
_started: dict[str, tuple[subprocess.Popen[bytes], str]] = {}


class TensorBoardFailed(TrackingError):
    """TensorBoard did not start; the message says why."""


def tensorboard_address(folder: str) -> str:
    """Start TensorBoard on a folder, unless it runs already.

    Args:
        folder: An existing folder of TensorFlow's event files.

    Returns:
        Its address on 127.0.0.1.

    Raises:
        TensorBoardFailed: It is not installed, ended, or did not answer within a minute.
    """
    with _lock:
        process, address = _started.get(folder, (None, ""))
        if process is None or process.poll() is not None:
            process, address = _start(folder)
            _started[folder] = process, address
        return address


def _start(folder: str) -> tuple[subprocess.Popen[bytes], str]:
    command = [sys.executable, "-c", _PROGRAM, f"--logdir={folder}"]
    command += ["--host=127.0.0.1", "--port=0"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said)
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            ended = process.poll() is not None
            found = _ADDRESS.search(_text(said))
            if ended:
                break
            if found:
                return process, found.group()
            time.sleep(0.1)
        process.kill()
        process.wait()
        lines = _text(said).strip().splitlines() or ["it said nothing"]
    if "No module named 'tensorboard'" in lines[-1]:
        raise TensorBoardFailed("TensorBoard is not installed: pip install tensorboard")
    raise TensorBoardFailed(f"TensorBoard did not start: {lines[-1]}")


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
