"""Facts that a stage records in its run: data, earlier stages, digests, images, checkpoints.

They are in the run's ``info`` under fixed keys, which docs/tracking-records.md lists.
"""

from __future__ import annotations

import mimetypes
import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import read_json, run_directories
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.recording.options import FOLDER, MONGO
from reproducible_ml.utils.digests import checkpoint_files
from reproducible_ml.utils.errors import TrackingError

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def record_dataset(run: Any, key: str, manifest: Any) -> None:
    """Record the data set that a run reads or writes, and keep its manifest as a resource.

    Args:
        run: The running Sacred run.
        key: The role of the data set in the run, such as "records".
        manifest: The data set's ``Manifest``.
    """
    facts = {
        "record_dir": str(manifest.record_dir),
        "fingerprint": manifest.fingerprint,
        "records": {name: split.records for name, split in manifest.splits.items()},
        "source": manifest.source,
    }
    run.info["dataset"] = {**run.info.get("dataset", {}), key: facts}
    run.add_resource(str(manifest.path))


def record_upstream(run: Any, stage: str, origin: Any) -> None:
    """Record the run of an earlier stage that this run builds on.

    Args:
        run: The running Sacred run.
        stage: Name of the earlier stage.
        origin: The earlier run's id, or the fingerprint of the data set that it wrote. For a
            fingerprint the newest completed run in the same folder that wrote it is recorded; None
            if there is none.
    """
    entry: dict[str, Any] = {"stage": stage, "run_id": origin}
    if isinstance(origin, str) and _FINGERPRINT.fullmatch(origin):
        entry = {"stage": stage, "run_id": _writer_of(run, origin), "fingerprint": origin}
    known = [
        one
        for one in run.info.get("upstream", [])
        if (one["stage"], one["run_id"]) != (stage, entry["run_id"])
    ]
    run.info["upstream"] = [*known, entry]


def _writer_of(run: Any, fingerprint: str) -> int | str | None:
    store = local_store(run)
    if store is None or not store.runs_dir.is_dir():
        return None
    for directory in reversed(run_directories(store.runs_dir)):
        try:
            digest = (read_json(directory / "info.json", {}) or {}).get("digest")
            if not isinstance(digest, dict) or digest.get("data") != fingerprint:
                continue
            if read_json(directory / "run.json", {}).get("status") == "COMPLETED":
                return int(directory.name) if directory.name.isdecimal() else directory.name
        except TrackingError:
            continue  # a damaged file of another run must not stop this one
    return None


def run_stage(run: Any, experiment: Any, **config: Any) -> Any:
    """Run another experiment as a separate stage, recorded in the same place as this run.

    Args:
        run: The running Sacred run; the new run becomes its upstream.
        experiment: The experiment to run.
        **config: Its configuration updates.

    Returns:
        The finished Sacred run.
    """
    store = local_store(run)
    options: dict[str, Any] = {"--unobserved": store is None}
    if store is not None:
        options.update({FOLDER: str(store.runs_dir), MONGO: store.mirror})
    stage_run = experiment.run(config_updates=config, options=options)
    if store is not None:
        record_upstream(run, experiment.path, stage_run._id)
    return stage_run


def record_digest(run: Any, digests: Mapping[str, Any]) -> None:
    """Record digests of the result by name; a later digest replaces an earlier one of its name."""
    run.info["digest"] = {**run.info.get("digest", {}), **digests}


def record_determinism(run: Any, settings: Any) -> None:
    """Record the settings that the bits depend on: threads, kernels, and measurements of them."""
    facts = settings.as_dict() if hasattr(settings, "as_dict") else dict(settings)
    run.info["determinism"] = {**run.info.get("determinism", {}), **facts}


def record_checkpoint(run: Any, path: str | Path | None, step: int) -> None:
    """Record the path of the last checkpoint, with size and SHA-256 of each of its files.

    Args:
        run: The running Sacred run.
        path: The checkpoint's prefix in TensorFlow's sense, or its file; None for no checkpoint.
        step: The checkpoint's global step.
    """
    if path is None:
        run.info["checkpoint"] = None
        return
    prefix = Path(path).absolute()
    files = checkpoint_files(prefix)
    if not files:
        raise TrackingError(f"There is no checkpoint {prefix} to record.")
    run.info["checkpoint"] = {
        "path": str(prefix),
        "step": int(step),
        "files": files,
    }


def record_image(
    run: Any, path: str | Path, name: str | None = None, step: int | None = None
) -> None:
    """Keep an image as an artifact with its content type.

    Args:
        run: The running Sacred run.
        path: The image file.
        name: Name of the artifact; the file's name by default.
        step: The global step that it shows.

    Raises:
        TrackingError: The name does not end in the suffix of an image.
    """
    name = name or Path(path).name
    content_type = mimetypes.guess_type(name)[0] or ""
    if not content_type.startswith("image/"):
        raise TrackingError(f"{name!r} is not an image's name; end it in .png or another suffix.")
    metadata = None if step is None else {"step": int(step)}
    run.add_artifact(str(path), name=name, metadata=metadata, content_type=content_type)


def record_scalar(run: Any, name: str, value: Any, step: Any) -> None:
    """Log one point of a metric at its true step.

    Without a step Sacred counts calls, which is wrong after a resume. So here a step is required.
    """
    step = operator.index(step)
    run.log_scalar(name, value, step)


def local_store(run: Any) -> LocalStore | None:
    """Return the observer that writes a run to its folder; None if the run is not recorded."""
    for observer in run.observers:
        if isinstance(observer, LocalStore):
            return observer
    return None
