"""The process of a rerun: recorded variables that change results, and nothing else on the path."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import TF_CONFIG
from reproducible_ml.tracking.folder import told_run
from reproducible_ml.utils.environment import changes_results
from reproducible_ml.utils.redaction import HIDDEN

# Variables that change results and are set for a process of any machine; all others keep their
# present values.
_RESTORED = re.compile(
    r"^(TF|XLA|OMP|KMP|GOMP|MKL|OPENBLAS|BLIS|VECLIB|NUMEXPR|CUDA|CUDNN|NVIDIA|NCCL|DNNL|ONEDNN)_"
    r"|^PYTHONHASHSEED$"
)
# Code that a library loads, and files that it writes: no result depends on them.
_LOADING = re.compile(r"INJECTION|PLUGIN|LIBRAR|PATH|DIR\b|_DIR|FILE|DUMP|TOOL|PRELOAD")
# Either would let another module of the same name be imported in place of the restored one.
_DROPPED = ("PYTHONSAFEPATH", "PYTHONPATH")
# How long the workers of a cluster may end one after the other.
_GRACE_SECONDS = 20.0


def process_environment(variables: Mapping[str, Any]) -> dict[str, str]:
    """Return this process's environment with the recorded variables that change results.

    Args:
        variables: ``info["environment"]["variables"]`` of the recorded run.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (_RESTORED.match(name) and changes_results(name)) and name not in _DROPPED
    }
    restored = {
        name: _without_paths(str(value)) if name.endswith("FLAGS") else str(value)
        for name, value in variables.items()
        if _RESTORED.match(name)
        and changes_results(name)
        and not _LOADING.search(name)
        and value != HIDDEN
        and name != TF_CONFIG
        and "\0" not in str(value)
    }
    return {**kept, **restored}


def _without_paths(flags: str) -> str:
    """Return the flags of XLA without those that name a file or folder, such as dumps."""
    return " ".join(word for word in flags.split() if "/" not in word)


def run_module(
    module: str,
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    echo: Callable[[str], None],
    workers: int = 1,
    python: str = sys.executable,
) -> tuple[int, Path | None]:
    """Run ``python -m module`` and wait for its end.

    Args:
        module: The experiment's module.
        arguments: Its arguments.
        cwd: Working directory, from which the module is imported.
        environment: The process's environment variables.
        echo: Called with each line that the process prints.
        workers: Number of processes of this machine that make a cluster, whose first is the chief.
        python: The Python to run it with.

    Returns:
        The exit code and the folder of the new run, None if the process named none. Of several
        workers they are the chief's.
    """
    command = [python, "-m", module, *arguments]
    clusters = _clusters(workers)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**environment, **clusters[0]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    directory = None
    assert process.stdout is not None
    with _followers(command, cwd, environment, clusters[1:], process, echo):
        try:
            for line in process.stdout:
                told = told_run(line)
                # A stage that this one runs prints its own line first, so the last one counts.
                directory = told[1] if told else directory
                echo(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
        finally:
            process.stdout.close()
            code = process.wait()
    return code, None if directory is None else Path(cwd, directory)


def _clusters(workers: int) -> list[dict[str, str]]:
    """Return the variable that names the cluster for each worker; none for a single one."""
    if workers == 1:
        return [{}]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    tasks = [{"type": "worker", "index": index} for index in range(workers)]
    return [
        {TF_CONFIG: json.dumps({"cluster": {"worker": addresses}, "task": task})} for task in tasks
    ]


@contextmanager
def _followers(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    clusters: Sequence[Mapping[str, str]],
    chief: subprocess.Popen[str],
    echo: Callable[[str], None],
) -> Iterator[None]:
    """Run the other workers of a cluster while the block waits for the chief.

    What a worker that failed has printed is echoed; the chief would wait for it, so it is ended.
    """
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in clusters]
        started = [
            subprocess.Popen(
                command,
                cwd=cwd,
                env={**environment, **cluster},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for cluster, output in zip(clusters, outputs)
        ]

        def watch(worker: subprocess.Popen[bytes]) -> None:
            if worker.wait() != 0:
                try:
                    chief.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    chief.terminate()

        watching = [threading.Thread(target=watch, args=(one,), daemon=True) for one in started]
        for thread in watching:
            thread.start()
        try:
            yield
        finally:
            for number, (worker, output) in enumerate(zip(started, outputs), start=1):
                try:
                    worker.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    worker.kill()
                if worker.wait() != 0:
                    output.seek(0)
                    for line in output.read().decode("utf-8", "replace").splitlines():
                        echo(f"worker {number}: {line}")
