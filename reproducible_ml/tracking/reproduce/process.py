"""The process of a rerun: recorded variables that change results, and nothing else on the path."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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
) -> tuple[int, Path | None]:
    """Run ``python -m module`` and wait for its end.

    Args:
        module: The experiment's module.
        arguments: Its arguments.
        cwd: Working directory, from which the module is imported.
        environment: The process's environment variables.
        echo: Called with each line that the process prints.

    Returns:
        The exit code and the folder of the new run, None if the process named none.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    directory = None
    assert process.stdout is not None
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
