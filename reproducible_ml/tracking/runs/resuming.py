"""Resuming of a stopped training: the command, and the checkpoint that it resumes from.

A training records its folder of checkpoints before its first step (``info["model_dir"]``), so that
the run of a killed training names it too.
"""

from __future__ import annotations

import ast
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from reproducible_ml.process import hold_until_end
from reproducible_ml.tracking.folder import KILLED_STATUS
from reproducible_ml.tracking.mongo import MONGO_FROM
from reproducible_ml.tracking.runs.folder_store import FolderStore
from reproducible_ml.tracking.runs.run import flat
from reproducible_ml.tracking.runs.status import NOT_ENDED
from reproducible_ml.tracking.runs.store import (
    DEFAULT_FOLDER,
    FOLDER_OPTION,
    MONGO_OPTION,
    RunId,
)
from reproducible_ml.utils.errors import TrackingError

_COMPLETED = "COMPLETED"
# A run that failed with this error would be refused again.
_REFUSED = ("ConfigError", "Held")


def hold_folder(run: Any, folder: Path) -> None:
    """Hold a folder that a run writes until its end, so that no other process writes it.

    Args:
        run: The Sacred run.
        folder: The folder, which need not exist.

    Raises:
        Held: Another process writes it.
    """
    identity = "" if run._id is None else f" run {run._id}"
    hold_until_end(run, folder, f"{run.experiment_info['name']}{identity}")


def record_model_dir(run: Any, model_dir: Path) -> None:
    """Hold and record the folder of checkpoints of a run, and write it to disk at once.

    Args:
        run: The running Sacred run.
        model_dir: The folder, as the training names it.

    Raises:
        Held: Another process trains there.
    """
    hold_folder(run, model_dir)
    run.info["model_dir"] = str(model_dir)
    # Where the board looks for the logs of TensorBoard.
    run.info["tensorflow"] = {"logdirs": [os.path.abspath(model_dir)]}
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
    last = "".join(map(str, trace)).strip().rpartition("\n")[2]
    if last.partition(":")[0].rpartition(".")[2] in _REFUSED:
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
    for name in ("--grace", "--stop-on"):
        if options.get(name) is not None:
            where += [name, str(options[name])]
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


@dataclass(frozen=True)
class Interrupted:
    """A stopped or killed run that the same command resumes.

    Attributes:
        run_id: Its id.
        seed: The seed that was drawn for it, if this start has drawn another one; else None.
    """

    run_id: RunId
    seed: int | None


def interrupted_run(
    folder: Path,
    experiment: Mapping[str, Any],
    config: Mapping[str, Any],
    updates: Mapping[str, Any],
) -> Interrupted | None:
    """Find the run that a new start with these values resumes.

    It is the newest one that trained in the ``model_dir`` of the configuration, if it was stopped
    or killed and if experiment, configuration, source files and packages are the same.

    Args:
        folder: The folder of runs.
        experiment: ``experiment_info`` of the new start.
        config: Its configuration, in the form to record.
        updates: The values that the user gave.

    Returns:
        None if there is none: a new run starts.
    """
    model_dirs = {
        os.path.realpath(value)
        for key, value in flat(config, "").items()
        if _names_model(key) and isinstance(value, str) and os.path.isdir(value)
    }
    if not model_dirs or not folder.is_dir():
        return None
    store = FolderStore(folder)
    for run_id in reversed(store.ids()):
        entry = _training(store, run_id)
        if entry is None or _place(entry) not in model_dirs:
            continue
        drawn = "seed" not in updates and "seed" in (entry["info"].get("resume_with") or {})
        same = (
            entry["status"] == KILLED_STATUS
            and entry["experiment"].get("name") == experiment["name"]
            and entry["experiment"].get("dependencies") == experiment["dependencies"]
            and _compared(entry["config"], drawn) == _compared(config, drawn)
            and _has_sources(entry["experiment"], experiment)
        )
        if not same:
            return None
        seed = entry["config"].get("seed") if drawn else None
        return Interrupted(run_id, seed if seed != config.get("seed") else None)
    return None


def _training(store: FolderStore, run_id: RunId) -> dict[str, Any] | None:
    """Return a run's document if it is readable and a training."""
    try:
        # Most runs are passed over by this alone.
        if b'"model_dir"' not in (store.folder / str(run_id) / "info.json").read_bytes():
            return None
        return store.entry(run_id)
    except (OSError, TrackingError):
        return None


def _names_model(key: str) -> bool:
    return key.rpartition(".")[2] == "model_dir"


def _place(entry: Mapping[str, Any]) -> str | None:
    model_dir, started_in = entry["info"].get("model_dir"), entry["info"].get("stage") or {}
    if not isinstance(model_dir, str):
        return None
    return os.path.realpath(os.path.join(started_in.get("cwd", "."), model_dir))


def _compared(config: Mapping[str, Any], drawn: bool) -> dict[str, Any]:
    """Return a configuration without what names the folder, and without a seed that was drawn."""
    values = flat(config, "").items()
    return {
        key: value
        for key, value in values
        if not _names_model(key) and not (drawn and key == "seed")
    }


def _has_sources(recorded: Mapping[str, Any], experiment: Mapping[str, Any]) -> bool:
    """Tell whether a run recorded these source files; it may have imported more since."""
    kept = {str(name): str(copy) for name, copy in recorded.get("sources") or ()}
    return not recorded.get("changed_sources") and all(
        f"_{md5}." in f"{kept.get(name, '')}." for name, md5 in experiment["sources"]
    )


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
