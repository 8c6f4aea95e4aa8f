"""The paths of a recorded run: what it read and wrote, and where its rerun finds and puts that.

A rerun works in a folder with the recorded source files. Paths that the experiment has named, and
absolute ones, are replaced in its configuration. Relative ones that it has not named stay as they
are, since such a string may be more than a path: what they name is put into the folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.recording import FILE, FOLDER
from reproducible_ml.tracking.reproduce.request import NotComparable
from reproducible_ml.tracking.runs import Run, flat

# Runs of version 1.0 don't record it; of its stages only the classifier's has a schedule.
_SCHEDULED_BEFORE = {("classifier_dir",): ("learning_rate",)}
# Each is a process that loads TensorFlow.
_MOST_WORKERS = 32
# A larger file is linked into a rerun's folder and not copied.
_LARGEST_COPY_BYTES = 64 << 20


@dataclass(frozen=True)
class _Recorded:
    """What the run recorded: the arguments of ``record_stage``, and what ``finishing`` found."""

    cwd: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    # Keys, each with what its path was when the run began; outputs of the experiment included.
    found_inputs: dict[str, str]
    found_outputs: dict[str, str]


class Stage:
    """The paths of a recorded run.

    Args:
        run: The run.
        is_plain: Whether plain Sacred recorded it.
        place: Folder that stands for its working directory; None for that directory itself.

    Attributes:
        again: Values that a rerun uses instead of the recorded ones, with the same bits.
        scheduled: Keys whose value at a step depends on the last step.
        workers: Number of processes that trained together, from 1.

    Raises:
        NotComparable: The record names no such number.
    """

    def __init__(self, run: Run, is_plain: bool, place: Path | None = None) -> None:
        self.run = run
        # Plain Sacred records no working directory: most likely it was that of the main file.
        base_dir = (run.entry.get("experiment") or {}).get("base_dir")
        stage = run.facts.get("stage") or {"cwd": base_dir or os.sep}
        outputs = tuple(stage.get("outputs", ()))
        self._stage = _Recorded(
            cwd=str(place or stage["cwd"]),
            inputs=tuple(stage.get("inputs", ())),
            outputs=outputs,
            found_inputs=dict(stage.get("found_inputs", ())),
            found_outputs=dict(stage.get("found_outputs", ())),
        )
        self.again: dict[str, Any] = dict(stage.get("again") or {})
        self.scheduled = tuple(stage.get("scheduled", _SCHEDULED_BEFORE.get(outputs, ())))
        self.workers = stage.get("workers", 1)
        if not isinstance(self.workers, int) or not 1 <= self.workers <= _MOST_WORKERS:
            raise NotComparable(
                f"Run {run.id} was recorded by {self.workers!r} workers; a rerun starts 1 to "
                f"{_MOST_WORKERS} processes on this machine."
            )
        # The outputs of this library's stages are folders, which may be anywhere.
        self._folders = () if "found_outputs" in stage else outputs
        self._values = flat(run.config, "")
        if is_plain:
            self._stage.found_inputs.update(self._likely_inputs())

    @property
    def inputs(self) -> dict[str, str]:
        """Absolute path of each input that the experiment named, by configuration key."""
        return self._paths(self._stage.inputs)

    @property
    def outputs(self) -> dict[str, str]:
        """Absolute path of each output that the experiment named, by configuration key."""
        return self._paths(self._stage.outputs)

    def read_paths(self) -> dict[str, tuple[str, str | None]]:
        """Return where all that the run read lies.

        Returns:
            Absolute path, and the path within the working directory if it was named by that; by
            configuration key, or by its own path for a data set that no key names.
        """
        keys = (*self._stage.inputs, *self._stage.found_inputs)
        within = self._relative(keys)
        named = {key: (path, within[key]) for key, path in self._paths(keys).items()}
        return {**named, **{one: (self.absolute(one), one) for one in self.unnamed_data_sets()}}

    def _paths(self, keys: tuple[str, ...]) -> dict[str, str]:
        given = (key for key in keys if self._values.get(key))
        return {key: self.absolute(str(self._values[key])) for key in given}

    def absolute(self, path: str) -> str:
        """Return the path that a recorded one meant."""
        # One spelling of each path, so that inputs are found among outputs and data sets.
        return os.path.normpath(os.path.join(self._stage.cwd, path))

    def new_outputs(self, folder: Path, everything: bool) -> dict[str, str]:
        """Return a path in a folder for each output that goes there, by configuration key.

        Args:
            folder: Where outputs go.
            everything: Whether the rerun's working directory must stay as it is, so that outputs
                with relative paths go to the folder, too.
        """
        found = {
            # The name of a file may be recorded, as an artifact's.
            key: os.path.join(key, os.path.basename(os.path.normpath(str(self._values[key]))))
            for key, path in self._relative(self._stage.found_outputs).items()
            if everything or path is None
        }
        places = {**dict(zip(self._folders, self._folders)), **found}
        return {key: str(folder / path) for key, path in places.items()}

    def _relative(self, keys: Iterable[str]) -> dict[str, str | None]:
        """Return the path of each key within the working directory; None if it leads out of it."""
        values = {key: self._values[key] for key in keys if self._values.get(key)}
        return {key: _within(str(value)) for key, value in values.items()}

    def furnish(self, folder: Path, given: Collection[str]) -> None:
        """Put what the run found in its working directory into that of its rerun.

        These are the files and folders that its configuration names with relative paths, and the
        recorded copies of its resources.

        Args:
            folder: The rerun's working directory, with the source files in it.
            given: Keys of inputs whose present paths the configuration names.

        Raises:
            NotComparable: One of them does not exist any more.
        """
        for key, path in self._relative(self._stage.found_outputs).items():
            if path is not None:
                was_folder = self._stage.found_outputs[key] == FOLDER
                made = folder / path if was_folder else (folder / path).parent
                made.mkdir(parents=True, exist_ok=True)
        for key, path in self._relative(self._stage.found_inputs).items():
            if key not in given:
                source = Path(self.absolute(str(self._values[key])))
                if not source.exists():
                    raise NotComparable(self.is_gone(key, source))
                if path is not None:
                    _place(source, folder / path)
        for record_dir in self.unnamed_data_sets():
            source = Path(self.absolute(record_dir))
            if not source.exists():
                raise NotComparable(self.is_gone("a data set", source))
            _place(source, folder / record_dir)
        self._restore_resources(folder)

    def _restore_resources(self, folder: Path) -> None:
        kept = self.run.store.resources(self.run.id)
        for name in map(str, dict(self.run.entry.get("resources") or ())):
            resource = _within(os.path.relpath(name, self._stage.cwd))
            if not os.path.isabs(name) or resource is None:
                continue
            if name in kept:
                _write_new(folder / resource, kept[name], folder)
            elif os.path.isfile(name):  # plain Sacred stores only a digest in MongoDB
                _place(Path(name), folder / resource)

    def unnamed_data_sets(self) -> list[str]:
        """Return the relative paths of data sets that the configuration does not name."""
        named = set(self._paths(tuple(self._values)).values()) if self._values else set()
        datasets = (self.run.facts.get("dataset") or {}).values()
        paths = [_within(str(facts["record_dir"])) for facts in datasets]
        return [path for path in paths if path is not None and self.absolute(path) not in named]

    def _likely_inputs(self) -> dict[str, str]:
        """Return the files that the configuration of a run of plain Sacred names."""
        return {
            key: FILE
            for key, value in self._values.items()
            if isinstance(value, str) and value and os.path.isfile(self.absolute(value))
        }

    def is_gone(self, key: str, path: object) -> str:
        """Return the sentence about an input that does not exist."""
        return (
            f"{path}, which run {self.run.id} read as {key}, does not exist. Give its present "
            f"path: --input {key}=PATH; or write it again: --upstream."
        )


def _within(path: str) -> str | None:
    """Return a relative path in its shortest form; None if it leads out of its folder or is it."""
    path = os.path.normpath(path)
    return None if os.path.isabs(path) or path.split(os.sep)[0] in ("..", ".") else path


def _write_new(path: Path, content: bytes, folder: Path) -> None:
    # Below a link lies what the recorded run read, which must stay as it is.
    inside = folder.resolve() in path.resolve().parents
    if inside and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _place(source: Path, target: Path) -> None:
    """Make an input appear in a rerun's folder; large ones are links."""
    if target.exists():  # restored from the record
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file() and source.stat().st_size <= _LARGEST_COPY_BYTES:
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source.resolve())
