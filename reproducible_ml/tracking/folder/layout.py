"""The files of one run, in the layout of Sacred's FileStorageObserver.

==================  ===============================================================
``run.json``        experiment, host, times, status, result; replaced as a whole
``config.json``     the configuration
``info.json``       the experiment's ``info``
``cout.txt``        captured output, appended to
``metrics.json``    all points; rewritten at growing intervals and at the end
``journal.log``     every event as it happens (see ``journal.py``)
``delivery.json``   the databases that have the run, and its id in each
``pending/``        artifacts that a database has yet to receive
``.lease``          the process that writes the run, while it does (see ``process/lease.py``)
``….damaged``       a journal as it was before its gaps were filled (see ``salvage.py``)
==================  ===============================================================

Besides these, the folder holds the run's artifacts under their names. Source files and resources
are kept once for all runs, in ``_sources`` and ``_resources``. Files that are replaced as a whole
are written to a temporary name and renamed, so that neither readers nor kills leave half a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder.journal import JOURNAL_NAME
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.files import copy_whole, md5_of, open_file, write_json

DELIVERY_NAME = "delivery.json"
PENDING_NAME = "pending"
RESOURCES_NAME = "_resources"
OWN_FILES = frozenset(
    {"run.json", "config.json", "info.json", "cout.txt", "metrics.json"}
    | {JOURNAL_NAME, DELIVERY_NAME, PENDING_NAME, ".lease", f"{JOURNAL_NAME}.damaged"}
)
# A million points of a metric take some 70 MB.
MOST_JSON_BYTES = 1 << 30
# The line in which a tracked run prints its id and folder, and by which the process that started it
# finds the run. A stage within the run prints its own line first.
RUN_LINE = "Run {id}: {directory}"
_RUN_LINE = re.compile(
    "^" + RUN_LINE.format(id=r"(?P<id>\S+)", directory="(?P<directory>.+)") + "$", re.MULTILINE
)


def told_run(text: str) -> tuple[str, str] | None:
    """Return id and folder from the last ``RUN_LINE`` of an output; None without one."""
    found = _RUN_LINE.findall(text)
    return found[-1] if found else None


def read_json(
    path: Path, default: Any = None, object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> Any:
    """Return the content of a JSON file, or a default if there is no such file.

    Args:
        path: the file.
        default: the value for a missing file.
        object_hook: returns the value that replaces a JSON object.

    Raises:
        TrackingError: the file is not JSON, too large, or no file of this folder of runs.
    """
    try:
        with open_file(path, path.parent.parent) as file:
            content = file.read(MOST_JSON_BYTES + 1)
        if len(content) > MOST_JSON_BYTES:
            raise TrackingError(f"{path} has more than {MOST_JSON_BYTES:,} bytes; remove the run.")
        return json.loads(content, object_hook=object_hook)
    except FileNotFoundError:
        return default
    except OSError as error:
        raise TrackingError(
            f"{path} cannot be read ({error.strerror or error}). Restore it from a copy, or "
            "remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise TrackingError(
            f"{path} is not JSON ({reason}); restore it from a backup, or let reproducible-ml sync "
            "write it again from the run's journal."
        ) from error


class Deliveries:
    """What a run's ``delivery.json`` says of each database.

    Args:
        directory: the run's folder.

    Attributes:
        path: the file; there is none before the first delivery.
        targets: a database's address as ``MongoTarget.shown`` -> run_id, sequence and complete.

    Raises:
        TrackingError: the file is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / DELIVERY_NAME
        found = read_json(self.path, {"targets": {}})
        targets = found.get("targets") if isinstance(found, dict) else None
        if not isinstance(targets, dict) or not all(
            isinstance(one, dict) for one in targets.values()
        ):
            raise TrackingError(
                f"{self.path} does not list databases as this program does; restore it from a "
                "copy, or remove it and name the run's database with -m: what is there is not "
                "delivered twice."
            )
        self.targets: dict[str, dict[str, Any]] = targets

    def write(self) -> None:
        """Replace the file."""
        write_json(self.path, {"targets": self.targets})


def store_once(path: Path, directory: Path, name: str | None = None) -> tuple[Path, str]:
    """Copy a file to ``directory/<stem>_<md5><suffix>`` unless that exists.

    Args:
        path: the file.
        directory: directory of the copies of all runs.
        name: name that gives the copy's stem and suffix; None for the file's own.

    Returns:
        The path of the copy, and the MD5.
    """
    digest = md5_of(path)
    copy = directory / _copy_name(name or path, digest)
    if not copy.exists():
        directory.mkdir(parents=True, exist_ok=True)
        copy_whole(path, copy)
    return copy, digest


def resource_copy(runs_dir: Path, name: str, md5: str) -> Path:
    """Return the path of the copy of a resource; see ``store_once``."""
    return runs_dir / RESOURCES_NAME / _copy_name(name, md5)


def _copy_name(name: str | Path, md5: str) -> str:
    path = Path(name)
    return f"{path.stem}_{md5}{path.suffix}"


def artifact_path(directory: Path, name: str) -> Path:
    """Return the path of an artifact of this name.

    Raises:
        TrackingError: the name is that of one of the run's own files, or leads out of the run.
    """
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise TrackingError(f"the name {name!r} leads out of the run; use a plain file name")
    if parts[0] in OWN_FILES:
        raise TrackingError(f"{parts[0]!r} is a file of the run itself; use another name")
    return directory / name


def keep_for_delivery(file: Path, directory: Path, sequence: int) -> str:
    """Keep an artifact under a second name, so that one of the same name can replace it.

    Returns:
        The second name, relative to the run's folder.
    """
    pending = directory / PENDING_NAME
    pending.mkdir(exist_ok=True)
    kept = pending / f"{sequence}_{file.name}"
    try:
        os.link(file, kept)
    except OSError:  # a file system without hard links
        copy_whole(file, kept)
    return str(kept.relative_to(directory))
