"""Search for the recorded run that wrote the model or the classifier which a stage reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import read_json, run_directories
from reproducible_ml.tracking.recording import LocalStore, record_upstream
from reproducible_ml.utils.errors import TrackingError

# Key of what a stage reads -> the experiment to name if no recorded run wrote it.
WRITTEN_BY = {"model_dir": "mnist_wgan", "classifier_dir": "mnist_classifier"}


def record_origin(run: Any, key: str, path: Path, covers: str, digest: str | None) -> None:
    """Record the run that wrote what a configuration key names, found by a digest of its result.

    If several runs have the same bits, the one that wrote this path is preferred, then the first,
    since later ones may be reproductions whose folders are gone.

    Args:
        run: The running Sacred run.
        key: ``model_dir`` or ``classifier_dir``.
        path: Value of the key.
        covers: Name of the digest in the other run's ``info["digest"]``.
        digest: Value of the digest; None if the result may be incomplete.
    """
    name: str = WRITTEN_BY[key]
    origin: int | str | None = None
    store = next((one for one in run.observers if isinstance(one, LocalStore)), None)
    if store is not None and digest is not None and store.runs_dir.is_dir():
        for directory in run_directories(store.runs_dir):
            try:
                info = read_json(directory / "info.json", {}) or {}
                entry = read_json(directory / "run.json", {}) or {}
                written = (read_json(directory / "config.json", {}) or {}).get(key)
            except TrackingError:
                continue  # another run's damaged file is not this run's business
            found = (info.get("digest") or {}).get(covers) == digest
            if not found or entry.get("status") != "COMPLETED":
                continue
            cwd = str((info.get("stage") or {}).get("cwd", ""))
            here = written and os.path.normpath(os.path.join(cwd, written)) == str(path.absolute())
            if origin is None or here:
                name = str(entry["experiment"]["name"])
                origin = int(directory.name) if directory.name.isdecimal() else directory.name
            if here:
                break
    record_upstream(run, name, origin)
