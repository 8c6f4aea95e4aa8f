"""Resuming of a stopped training: the command, and the checkpoint that it resumes from.

A training records its folder of checkpoints before its first step (``info["model_dir"]``), so that
the run of a killed training names it too.
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from reproducible_ml.tracking.mongo import MONGO_FROM
from reproducible_ml.tracking.runs.status import NOT_ENDED
from reproducible_ml.tracking.runs.store import DEFAULT_FOLDER, FOLDER_OPTION, MONGO_OPTION

_COMPLETED = "COMPLETED"
# A run that failed with this error would be refused again.
_REFUSED = "ConfigError"


def record_model_dir(run: Any, model_dir: Path) -> None:
    """Record the folder of checkpoints in a run, and write it to disk at once.

    Args:
        run: The running Sacred run.
        model_dir: The folder, as the training names it.
    """
    run.info["model_dir"] = str(model_dir)
    run._emit_heartbeat()


def resume_command(
    experiment: Mapping[str, Any],
    meta: Mapping[str, Any],
    info: Mapping[str, Any],
    status: str,
    trace: Sequence[Any] = (),
) -> str:
    """Return the command that resumes a stopped training.

    Args:
        experiment: The run's ``experiment``.
        meta: Its ``meta``: how it was called.
        info: Its ``info``.
        status: Its status.
        trace: Its ``fail_trace``.

    Returns:
        The command; empty if the run is completed, still running, was refused or is no training.
    """
    model_dir = info.get("model_dir")
    if not model_dir or status == _COMPLETED or status in NOT_ENDED:
        return ""
    if _REFUSED in "".join(map(str, trace)).strip().rpartition("\n")[2]:
        return ""
    module = experiment.get("module")
    if not module:
        return f"run the experiment again with model_dir={model_dir}"
    words = [word for word in _updates(meta) if not word.startswith("model_dir=")]
    for key, value in (info.get("resume_with") or {}).items():
        if not any(word.startswith(f"{key}=") for word in words):
            words.append(f"{key}={as_typed(value)}")
    options = meta.get("options") or {}
    where = []
    if options.get(FOLDER_OPTION) not in (None, DEFAULT_FOLDER):
        where += ["-F", str(options[FOLDER_OPTION])]
    where += _database(options)
    command = ["python", "-m", str(module), "with", *words, f"model_dir={model_dir}", *where]
    return " ".join(map(shlex.quote, command))


def _database(options: Mapping[str, Any]) -> list[str]:
    """Return how to name the database again; nothing where a variable names it.

    A recorded address holds no credentials, so it is only used where there were none.
    """
    origin, address = options.get(MONGO_FROM), options.get(MONGO_OPTION)
    if origin is not None:
        return [] if str(origin).startswith("$") else [MONGO_FROM, str(origin)]
    return [] if address is None else ["-m", str(address)]


def newest_checkpoint(info: Mapping[str, Any]) -> tuple[Path, int] | None:
    """Return prefix and step of the newest checkpoint in a stopped training's folder.

    Args:
        info: The run's ``info``.

    Returns:
        None if the folder is gone or holds no checkpoint.
    """
    if not info.get("model_dir"):
        return None
    folder = Path((info.get("stage") or {}).get("cwd", "."), str(info["model_dir"]))
    steps = [path.name[len("model.ckpt-") : -len(".index")] for path in _indices(folder)]
    newest = max((int(step) for step in steps if step.isdecimal()), default=None)
    return None if newest is None else (folder / f"model.ckpt-{newest}", newest)


def _indices(folder: Path) -> list[Path]:
    return list(folder.glob("model.ckpt-*.index"))


def _updates(meta: Mapping[str, Any]) -> list[str]:
    """Return the words after ``with``: as typed, or rebuilt from the updates of a notebook."""
    typed = (meta.get("options") or {}).get("UPDATE")
    if typed:
        return [str(word) for word in typed]
    named = [str(name) for name in meta.get("named_configs") or []]
    return [*named, *_pairs(meta.get("config_updates") or {}, "")]


def _pairs(updates: Mapping[str, Any], prefix: str) -> list[str]:
    words = []
    for name, value in updates.items():
        if isinstance(value, Mapping) and value:
            words += _pairs(value, f"{prefix}{name}.")
        else:
            words.append(f"{prefix}{name}={as_typed(value)}")
    return words


def read_typed(text: str) -> Any:
    """Return a value as Sacred reads it from the command line: a literal, else the string."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def as_typed(value: Any) -> str:
    """Return a value as typed after ``with key=``; a string that reads as a literal is quoted."""
    value = str(value) if isinstance(value, PurePath) else value
    if not isinstance(value, str):
        return repr(value).replace(" ", "")
    return value if read_typed(value) == value else repr(value)
