"""A recorded run, prepared for running again: its module, paths, source files and inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.recording import FILE, FOLDER, broken_parts, seal_of
from reproducible_ml.tracking.reproduce.request import NotComparable
from reproducible_ml.tracking.runs import (
    TOLD_FILLED_IN,
    Run,
    flat,
    load_run,
    recorded_marks,
    resume_command_of,
)
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.text import SHORT_DIGEST, counted


@dataclass(frozen=True)
class _Stage:
    """What ``record_stage`` wrote into the run; its arguments are described there."""

    cwd: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    again: Mapping[str, Any]
    scheduled: tuple[str, ...]
    # Keys that the experiment didn't name, each with what its path was when the run began.
    found_inputs: tuple[tuple[str, str], ...]
    found_outputs: tuple[tuple[str, str], ...]


# A larger file is linked into a rerun's folder and not copied.
_LARGEST_COPY_BYTES = 64 << 20
# Runs of version 1.0 don't record it; of its stages only the classifier's has a schedule.
_SCHEDULED_BEFORE = {("classifier_dir",): ("learning_rate",)}


class Recorded:
    """A recorded run, and everything that its rerun needs to know of it.

    Args:
        run: The run.

    Attributes:
        run: The run.
        module: Name of its experiment's module.
        command: The experiment's command that ran; None for its main function.
        is_plain: Whether plain Sacred recorded it: without environment, seal and module.

    Raises:
        NotComparable: The record doesn't say which module ran.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        experiment = run.entry.get("experiment") or {}
        self.is_plain = not run.environment
        module = experiment.get("module") or _module_of(experiment.get("mainfile"))
        if not module:
            raise NotComparable(
                f"Run {run.id} was started in a notebook or at a prompt, so there is no module to "
                "run. Put the experiment into a file and record it from there."
            )
        self.module = str(module)
        command = (run.entry.get("meta") or {}).get("command")
        self.command = str(command) if command else None
        # Plain Sacred records no working directory: most likely it was that of the main file.
        stage = run.info.get("stage") or {"cwd": experiment.get("base_dir") or os.sep}
        outputs = tuple(stage.get("outputs", ()))
        self._stage = _Stage(
            cwd=str(stage["cwd"]),
            inputs=tuple(stage.get("inputs", ())),
            outputs=outputs,
            again=dict(stage.get("again") or {}),
            scheduled=tuple(stage.get("scheduled", _SCHEDULED_BEFORE.get(outputs, ()))),
            found_inputs=tuple((key, kind) for key, kind in stage.get("found_inputs", ())),
            found_outputs=tuple((key, kind) for key, kind in stage.get("found_outputs", ())),
        )

    @property
    def inputs(self) -> dict[str, str]:
        """Absolute path of each input, by configuration key."""
        return self._paths(self._stage.inputs)

    @property
    def outputs(self) -> dict[str, str]:
        """Absolute path of each output, by configuration key."""
        return self._paths(self._stage.outputs)

    def _paths(self, keys: tuple[str, ...]) -> dict[str, str]:
        values = flat(self.run.config, "")
        return {key: self._absolute(str(values[key])) for key in keys if values.get(key)}

    def _absolute(self, path: str) -> str:
        # One spelling of each path, so that inputs are found among outputs and data sets.
        return os.path.normpath(os.path.join(self._stage.cwd, path))

    def check(self, allow_altered: bool, echo: Callable[[str], None]) -> None:
        """Check that the record is complete and unaltered.

        Args:
            allow_altered: Accept a record that was altered after the run.
            echo: Called with a line on what can't be checked.

        Raises:
            NotComparable: It isn't; the message says what to do.
        """
        run = self.run
        if run.status != "COMPLETED":
            command = resume_command_of(run)
            raise NotComparable(
                f"Run {run.id} is {run.status}, not COMPLETED: there is no result to compare with."
                + (f" Resume it with: {command}; then reproduce that run." if command else "")
            )
        if self.is_plain:
            echo(
                f"Run {run.id} was recorded by plain Sacred: it has its source files and its "
                "configuration, but neither its environment nor a seal."
            )
        for name in (run.entry.get("experiment") or {}).get("changed_sources") or ():
            echo(
                f"{name} changed while run {run.id} was running; the record holds what it was at "
                "the start (or at the end, if it was imported late)."
            )
        seal = run.info.get("seal")
        if not seal:
            if not self.is_plain:
                echo(f"Run {run.id} has no seal: changes of its record would not be noticed.")
            return
        broken = broken_parts(seal, seal_of(run))
        if broken and not allow_altered:
            raise NotComparable(
                f"The record of run {run.id} was altered after the run: {', '.join(broken)}. "
                "Restore it from a copy, or use it as it is now: --allow-altered."
            )

    def check_steps(self, steps: int) -> None:
        """Check that a rerun may end after so many steps.

        Raises:
            NotComparable: It may not; the message says why.
        """
        last = self.run.config.get("max_steps")
        if last is None:
            raise NotComparable(
                f"Run {self.run.id} has no setting max_steps, so --steps can't shorten it."
            )
        if not 1 <= steps <= last:
            raise NotComparable(f"--steps must be 1 to {last}, the steps of run {self.run.id}.")
        scheduled = [key for key in self._stage.scheduled if key in self.run.config]
        if scheduled and steps < last:
            raise NotComparable(
                f"--steps can't shorten run {self.run.id}: the value of {' and '.join(scheduled)} "
                f"at a step depends on the last step (max_steps={last}), so a shorter training has "
                "other bits."
            )

    def check_input(self, key: str, path: str, echo: Callable[[str], None]) -> None:
        """Check that an input exists and, if it is a data set, holds the recorded records.

        Args:
            key: Its configuration key.
            path: Where it is now.
            echo: Called with a line before something that takes time.

        Raises:
            NotComparable: It doesn't; the message says what to do.
        """
        if not os.path.exists(path):
            raise NotComparable(self._is_gone(key, path))
        fingerprints = {
            self._absolute(facts["record_dir"]): facts["fingerprint"]
            for facts in (self.run.info.get("dataset") or {}).values()
        }
        fingerprint = fingerprints.get(self.inputs.get(key, ""))
        if fingerprint is not None:
            echo(f"Verifying {path}.")
            self._check_data_set(key, path, fingerprint)

    def _check_data_set(self, key: str, path: str, fingerprint: str) -> None:
        from reproducible_ml.datasets.serialize import read_manifest
        from reproducible_ml.datasets.serialize.checking import verify

        damaged = f"The data of run {self.run.id} is damaged"
        try:
            manifest = read_manifest(path)
            defects = verify(path, schema=False)
        except DataError as error:
            raise NotComparable(f"{damaged}: {error}") from error
        if defects:
            more = f" and {counted(len(defects) - 1, 'more defect')}" if len(defects) > 1 else ""
            raise NotComparable(
                f"{damaged}: {defects[0]}{more}. Repair it with reproducible-ml repair {path}, or "
                "write it again: --upstream."
            )
        if manifest.fingerprint != fingerprint:
            raise NotComparable(
                f"{path} is not the data set of run {self.run.id}: its fingerprint is "
                f"{manifest.fingerprint[:SHORT_DIGEST]}, the recorded one is "
                f"{fingerprint[:SHORT_DIGEST]}. Give the path of the recorded one: "
                f"--input {key}=PATH; or write it again: --upstream."
            )

    def config_with(
        self, inputs: Mapping[str, str], outputs: Mapping[str, str], changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the configuration of a rerun.

        Args:
            inputs: Configuration key -> path to read.
            outputs: Configuration key -> path to write.
            changes: Configuration keys with values that replace the recorded ones.

        Raises:
            NotComparable: ``changes`` has a key that the run doesn't have.
        """
        config = self.run.config
        unknown = sorted(set(changes) - set(config) - set(flat(config, "")))
        if unknown:
            raise NotComparable(
                f"Run {self.run.id} has no configuration key {unknown[0]!r}; it has "
                f"{', '.join(sorted(config))}."
            )
        if changes:
            # A change may choose other defaults: what an old record leaves open stays open.
            config = dict(self.run.entry["config"])
        told = {**self._stage.again, **inputs, **outputs, **changes}
        # Values that a default filled in stay marked as such.
        recorded = recorded_marks(self.run.entry)
        marks = {key: why for key, why in recorded.items() if key not in told}
        config = _with_values(config, told)
        return {**config, **({TOLD_FILLED_IN: marks} if marks else {})}

    def new_outputs(self, folder: Path, everything: bool) -> dict[str, str]:
        """Return a path in a folder for each output, by configuration key.

        Args:
            folder: Where outputs go.
            everything: Whether the rerun's working directory must stay as it is, so that outputs
                with relative paths go to the folder, too.
        """
        found = {
            key: path
            for key, path in self._relative(self._stage.found_outputs).items()
            if everything or path is None
        }
        return {key: str(folder / key) for key in (*self._stage.outputs, *found)}

    def _relative(self, found: Iterable[tuple[str, str]]) -> dict[str, str | None]:
        """Return the path of each key within the working directory; None if it leads out of it."""
        values = flat(self.run.config, "")
        paths = {key: os.path.normpath(str(values[key])) for key, _ in found if values.get(key)}
        return {
            key: None if os.path.isabs(path) or path.split(os.sep)[0] in ("..", ".") else path
            for key, path in paths.items()
        }

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
        for name, content in self.run.store.resources(self.run.id).items():
            path = os.path.relpath(name, self._stage.cwd)
            if os.path.isabs(name) and path.split(os.sep)[0] != "..":
                _write_new(folder / path, content)
        kinds = dict(self._stage.found_outputs)
        for key, relative in self._relative(self._stage.found_outputs).items():
            if relative is not None:
                made = folder / relative
                (made if kinds[key] == FOLDER else made.parent).mkdir(parents=True, exist_ok=True)
        found = self._stage.found_inputs or self._likely_inputs()
        for key, relative in self._relative(found).items():
            if key not in given:
                source = Path(self._absolute(str(flat(self.run.config, "")[key])))
                if not source.exists():
                    raise NotComparable(self._is_gone(key, source))
                if relative is not None:
                    _place(source, folder / relative)

    def _likely_inputs(self) -> tuple[tuple[str, str], ...]:
        """Return the files that the configuration of a run of plain Sacred names."""
        values = flat(self.run.config, "").items() if self.is_plain else ()
        return tuple(
            (key, FILE)
            for key, value in values
            if isinstance(value, str) and value and os.path.isfile(self._absolute(value))
        )

    def _is_gone(self, key: str, path: object) -> str:
        return (
            f"{path}, which run {self.run.id} read as {key}, does not exist. Give its present "
            f"path: --input {key}=PATH; or write it again: --upstream."
        )

    def restore_sources(self, folder: Path) -> None:
        """Write the recorded source files into a folder.

        Raises:
            NotComparable: The run has no source files, or one of them lies outside the folder.
        """
        sources = self.run.sources
        if not sources:
            raise NotComparable(
                f"Run {self.run.id} holds no source files, so it can't be run again."
            )
        root = folder.resolve()
        for name, content in sources.items():
            path = (root / name).resolve()
            if root not in path.parents:
                raise NotComparable(
                    f"The source file {name!r} of run {self.run.id} leads out of its folder."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def upstream(self) -> Iterator[Run]:
        """Yield the runs that wrote the data, earliest first.

        Raises:
            NotComparable: One of them is not in the run's store.
        """
        for one in self.run.info.get("upstream") or ():
            if one["run_id"] is None:
                raise NotComparable(
                    f"Run {self.run.id} reads data written by a run of {one['stage']} that is not "
                    "recorded here. Leave out --upstream to start from the data."
                )
            yield load_run(one["run_id"], self.run.store)


def _module_of(mainfile: Any) -> str | None:
    """Return the module of a main file that plain Sacred recorded, relative to its folder."""
    if not isinstance(mainfile, str) or not mainfile.endswith(".py"):
        return None
    return mainfile.removesuffix(".py").replace("/", ".")


def _with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with other values, given by dotted key."""
    changed = dict(config)
    for key, value in values.items():
        group, dot, rest = key.partition(".")
        if dot and key not in config and isinstance(changed.get(group), Mapping):
            changed[group] = _with_values(changed[group], {rest: value})
        else:
            changed[key] = value
    return changed


def _write_new(path: Path, content: bytes) -> None:
    if not path.exists():
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
