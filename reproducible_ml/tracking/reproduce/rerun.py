"""Execute the stage of a recorded run again in a process of its own, from its record.

The sources are restored into a directory, which becomes the process's working directory, so that
``python -m module`` imports them and nothing else of that name. Inputs keep their place, outputs go
to new ones, and the variables that change results are set as they were.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Callable

from reproducible_ml.models.exact import TF_CONFIG
from reproducible_ml.tracking.folder import told_run
from reproducible_ml.tracking.runs import Run
from reproducible_ml.utils.environment import HIDDEN
from reproducible_ml.utils.errors import TrackingError

# Variables that TensorFlow and the libraries below it read; others stay as they are now.
_RESTORED = re.compile(
    r"^(TF|XLA|OMP|KMP|GOMP|MKL|OPENBLAS|BLIS|VECLIB|NUMEXPR|CUDA|CUDNN|NVIDIA|NCCL|DNNL|ONEDNN)_"
)
# What a tracked run tells its user to do next, in this version and in earlier ones.
NEXT_STEPS = ("Look at it: ", "Prove it: ", "Go on: ")


class NotComparable(TrackingError):
    """A run that cannot be executed again or compared; says what is missing."""


def restore_sources(run: Run, directory: Path) -> None:
    """Write the recorded source files below a directory.

    Raises:
        NotComparable: The run holds no sources, or one leads out of the directory.
    """
    sources = run.sources
    if not sources:
        raise NotComparable(f"Run {run.id} holds no sources, so it can't be executed again.")
    root = directory.resolve()
    for name, content in sources.items():
        path = (root / name).resolve()
        if root not in path.parents:
            raise NotComparable(f"The source {name!r} of run {run.id} leads out of its folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def stage_of(run: Run) -> tuple[str, dict[str, Any]]:
    """Return the module of a run's experiment, and what the record says of its paths.

    Raises:
        NotComparable: The record does not say it.
    """
    module = run.entry.get("experiment", {}).get("module")
    stage = run.info.get("stage")
    if not module:
        raise NotComparable(
            f"Run {run.id} was started in a notebook or at a prompt, so there is no module to run. "
            "Put the experiment into a file and record it from there."
        )
    if not stage:
        raise NotComparable(
            f"Run {run.id} says neither what it reads nor what it writes (info['stage']); its "
            "experiment must call record_stage()."
        )
    return str(module), dict(stage)


def input_paths(run: Run) -> dict[str, str]:
    """Return the absolute paths of what a run read, by configuration key."""
    _, stage = stage_of(run)
    config = run.config
    return {
        key: str(PurePosixPath(stage["cwd"]) / config[key])
        for key in stage["inputs"]
        if config.get(key)
    }


def rerun_config(
    run: Run, directory: Path, inputs: Mapping[str, str], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the configuration of the second execution.

    Args:
        run: The recorded run.
        directory: Where outputs go.
        inputs: Configuration key -> path that is read.
        changes: Configuration keys that are to differ.

    Raises:
        NotComparable: ``changes`` names a key that the run does not have.
    """
    _, stage = stage_of(run)
    config = run.config
    unknown = sorted(set(changes) - set(config))
    if unknown:
        raise NotComparable(
            f"Run {run.id} has no configuration key {unknown[0]!r}; it has "
            f"{', '.join(sorted(config))}."
        )
    outputs = {key: str(directory / key) for key in stage["outputs"]}
    return {**config, **stage.get("again", {}), **inputs, **outputs, **changes}


def result_environment(run: Run) -> dict[str, str]:
    """Return this process's environment with the recorded variables that change results."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not _RESTORED.match(name) and name not in ("PYTHONSAFEPATH", "PYTHONPATH")
    }
    recorded = run.environment.get("variables") or {}
    restored = {
        name: str(value)
        for name, value in recorded.items()
        if _RESTORED.match(name) and value != HIDDEN and name != TF_CONFIG
    }
    return {**kept, **restored}


def execute(
    run: Run,
    config: Mapping[str, Any],
    cwd: Path,
    work: Path,
    folder: Path,
    mongo: str | None,
    echo: Callable[[str], None],
) -> Path:
    """Run the stage in a process of its own and wait for it.

    Args:
        run: The recorded run.
        config: Its configuration this time.
        cwd: Working directory, which holds the sources.
        work: Directory for the configuration file.
        folder: Folder of runs that takes the new one.
        mongo: Database that takes it too.
        echo: Called with each line that the process prints.

    Returns:
        The folder of the new run.

    Raises:
        NotComparable: The process failed.
    """
    module, _ = stage_of(run)
    file = work / "config.json"
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    command = [sys.executable, "-m", module, "with", str(file), "-F", str(folder.resolve())]
    if mongo is not None:
        command += ["-m", mongo]
    command += ["-c", f"executes run {run.id} again"]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=result_environment(run),
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
            directory = told[1] if told else directory
            echo(line.rstrip("\n"))
    except BaseException:
        process.terminate()
        raise
    finally:
        code = process.wait()
    if code != 0 or directory is None:
        raise NotComparable(
            f"The second execution of run {run.id} ended with exit code {code}; its message stands "
            "above" + (f" and in {directory}." if directory else ".")
        )
    return Path(directory)
