"""What a run must have in common with the one that it continues.

``training.json`` in the model's folder says with which settings, data and code the weights there
were made. Continuing with anything else would give a result that no uninterrupted run gives.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.utils.errors import ConfigError

IDENTITY_FILE = "training.json"
_LOOK_SECONDS = 0.2
# What a training's bits can depend on; tracking and commands only look at it.
_PACKAGES = ("handlers", "datasets", "input_fn", "models", "utils")


def code_digests() -> dict[str, str]:
    """Digest every module that training may depend on, as it lies on the disk.

    Returns:
        Path below the package, with slashes, -> first 16 hexadecimal digits of its SHA-256.
    """
    root = Path(reproducible_ml.__file__).parent
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for package in _PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }


def check_identity(
    model_dir: str | Path, identity: dict[str, Any], restored_step: int, allow_changed: bool
) -> None:
    """Compare with the identity of the run that is continued, then write the present one.

    Args:
        model_dir: Folder of the checkpoints.
        identity: Groups (settings, data, code) of named values, JSON-able.
        restored_step: Step of the checkpoint to continue from, 0 for a fresh start.
        allow_changed: Continue in spite of differences.

    Raises:
        ConfigError: Something differs and ``allow_changed`` is not set; the differences are named.
    """
    path = Path(model_dir) / IDENTITY_FILE
    if restored_step and not allow_changed:
        if not path.exists():
            raise ConfigError(
                f"{model_dir} holds a checkpoint of step {restored_step} but no {IDENTITY_FILE}, "
                "so nothing tells what it was trained with. Choose another model_dir, or set "
                "allow_changed=True to go on from it all the same."
            )
        differences = _differences(json.loads(path.read_text(encoding="utf-8")), identity)
        if differences:
            raise ConfigError(
                f"{model_dir} was trained up to step {restored_step} with other values: "
                f"{'; '.join(differences)}. Give the same, choose another model_dir, or set "
                "allow_changed=True to go on all the same."
            )
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(identity, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(temporary, path)


def wait_for_identity(model_dir: str | Path, identity: dict[str, Any], seconds: float) -> None:
    """Wait until the chief has begun, and make sure that this worker does the same as it.

    Args:
        model_dir: The chief's folder of checkpoints.
        identity: This worker's, see ``check_identity``.
        seconds: How long to wait.

    Raises:
        ConfigError: The chief's identity is another, or there is none.
    """
    path = Path(model_dir) / IDENTITY_FILE
    until = time.monotonic() + seconds
    while True:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            found = None
        differences = [] if found is None else _differences(found, identity)
        if found is not None and not differences:
            return
        if time.monotonic() > until:
            break
        time.sleep(_LOOK_SECONDS)
    if found is None:
        raise ConfigError(
            f"{path} did not appear within {seconds:.0f} s. Start the chief (the first worker of "
            "TF_CONFIG), and give all workers one model_dir that they share, such as on NFS."
        )
    raise ConfigError(
        f"This worker does not do what the chief does, by {path}: {'; '.join(differences)} here. "
        "Give all workers the same settings, data and code."
    )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = []
    for group in sorted(set(before) | set(now)):
        old, new = before.get(group, {}), now.get(group, {})
        for name in sorted(set(old) | set(new)):
            if old.get(name) != new.get(name):
                found.append(_describe(group, name, old.get(name), new.get(name)))
    return found


def _describe(group: str, name: str, old: Any | None, new: Any | None) -> str:
    if group == "code":
        how = "added" if old is None else "removed" if new is None else "changed"
        return f"source {name} was {how}"
    return f"{name} was {old!r}, is {new!r}"
