"""The identity of a training: what a run must share with the one that it resumes.

``training.json`` in the ``model_dir`` states the settings, data and code that made the weights
there. Resuming with anything else would give a result that no uninterrupted run gives.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.models.exact.code import parsed_code
from reproducible_ml.models.exact.known_code import KNOWN_EQUAL, code_digest
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.files import write_json

IDENTITY_FILE = "training.json"
# The steps of each call of ``train``; only a training of an Estimator of one's own writes it.
CALLS_FILE = "calls.json"
_LOOK_SECONDS = 0.2
# What the bits of a training can depend on, below the package. The code that wrote the data is not
# among it: the data's fingerprint stands for its bytes.
_COMPUTES = (
    "datasets/rows.py",
    "datasets/serialize/manifest.py",
    "datasets/serialize/shard",
    "datasets/serialize/wire",
    "handlers",
    "input_fn",
    "models/exact",
    "models/gan",
    "utils",
)
_CODE, _OWN_CODE = "code", "own_code"
# As many changed definitions are named.
_MOST_NAMED = 5


def code_digests() -> dict[str, str]:
    """Digest the parsed code of this library that the bits of a training can depend on.

    Returns:
        As ``parsed_code`` does.
    """
    root = Path(reproducible_ml.__file__).parent
    parts = [root / part for part in _COMPUTES]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*.py"))]
    # An editor's link to nothing holds no code.
    return parsed_code(sorted(filter(Path.exists, files)), reproducible_ml.__name__)


def checkpoint_step(model_dir: str | Path) -> int | None:
    """Return the step of the checkpoint that a training would resume from; None without one.

    A training writes one before its first step, so step 0 is a checkpoint like any other: its
    weights are those of a seed, a GAN type and a data set's size.
    """
    import tensorflow as tf

    checkpoint = tf.train.latest_checkpoint(str(model_dir))
    if checkpoint is None:
        return None
    found = re.search(r"-(\d+)$", checkpoint)
    return int(found.group(1)) if found else 0


def check_identity(
    model_dir: str | Path,
    identity: dict[str, Any],
    restored_step: int | None,
    allow_changed: bool,
) -> None:
    """Compare with the identity of the run that is resumed, then write the present one.

    Args:
        model_dir: Folder of the checkpoints.
        identity: Groups of named values, JSON-able: ``settings``, ``data`` and ``code``, and for a
            model that is not the library's ``own_code``.
        restored_step: Step of the checkpoint to resume from; None without one.
        allow_changed: Resume in spite of differences.

    Raises:
        ConfigError: Something differs and ``allow_changed`` is not set; the differences are named.
        DataError: The description of the run that is resumed is damaged.
    """
    path = Path(model_dir) / IDENTITY_FILE
    if restored_step is not None and not allow_changed:
        if not path.exists():
            raise ConfigError(
                f"{model_dir} holds a checkpoint of step {restored_step} but no {IDENTITY_FILE}, "
                "so nothing tells what it was trained with. Choose another model_dir, or set "
                "allow_changed=True to resume from it all the same."
            )
        differences = _differences(_read(model_dir), identity)
        if differences:
            untrained = (
                "" if restored_step else f" Step 0 is untrained: {model_dir} can be deleted."
            )
            raise ConfigError(
                f"{model_dir} was trained up to step {restored_step} with other values: "
                f"{'; '.join(differences)}. Give the same, choose another model_dir, or set "
                f"allow_changed=True to resume all the same.{untrained}"
            )
    write_json(path, identity, indent=1)


def read_identity(model_dir: str | Path) -> dict[str, Any]:
    """Return the settings, data and code that ``training.json`` states.

    Raises:
        DataError: It is missing or damaged, or does not determine the networks.
    """
    if (Path(model_dir) / CALLS_FILE).exists():
        raise DataError(
            f"{model_dir} holds the training of an Estimator that only its own code can build: its "
            "settings do not tell what its networks are. Export it from there, with export_dir in "
            "the configuration of stages.train or by export_estimator; an evaluation takes GANs "
            "whose configuration names all of it (docs/how-to/own-gan.md)."
        )
    path = Path(model_dir) / IDENTITY_FILE
    try:
        identity = _load(path)
        found = identity["data"]["fingerprint"], identity["settings"]["gan_type"]
    except FileNotFoundError as error:
        raise DataError(
            f"{model_dir} holds checkpoints but no {IDENTITY_FILE}, so nothing tells what network "
            "they are of. Name the model_dir of a training of this project."
        ) from error
    except KeyError as error:
        raise _damaged(path, error) from error
    if not all(found):
        raise _damaged(path, ValueError("empty values"))
    return identity


def _read(model_dir: str | Path) -> dict[str, Any]:
    path = Path(model_dir) / IDENTITY_FILE
    identity = _load(path)
    missing = [group for group in ("settings", "data", _CODE) if group not in identity]
    if missing:
        raise _damaged(path, KeyError(missing[0]))
    return identity


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise _damaged(path, TypeError("no groups of values"))
    return found


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} does not describe a training ({error!r}). Restore it from a backup.")


def wait_for_identity(model_dir: str | Path, identity: dict[str, Any], seconds: float) -> None:
    """Wait until the chief has begun, and check that this worker does the same as the chief.

    Args:
        model_dir: The chief's folder of checkpoints.
        identity: This worker's, see ``check_identity``.
        seconds: How long to wait.

    Raises:
        ConfigError: The chief's identity differs or is missing.
        DataError: Its description is damaged.
    """
    path = Path(model_dir) / IDENTITY_FILE
    until = time.monotonic() + seconds
    while True:
        try:
            found = _load(path)
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
        if group in (_CODE, _OWN_CODE):
            found += _code_differences(old, new)
            continue
        for name in sorted(set(old) | set(new)):
            if old.get(name) != new.get(name):
                found.append(f"{name} was {old.get(name)!r}, is {new.get(name)!r}")
    return found


def _code_differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    if old == new or code_digest(old) in KNOWN_EQUAL:
        return []
    if any("/" in name for name in old):
        return ["the code was that of an earlier version of this library, or changed by hand"]
    changed = [
        f"{name} was {'added' if name not in old else 'removed' if name not in new else 'changed'}"
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name)
    ]
    more = len(changed) - _MOST_NAMED
    changed[_MOST_NAMED:] = [f"{more} more"] if more > 0 else []
    return [f"code: {', '.join(changed)}"]
