"""A recorded run, prepared for running again: its module, paths, source files and inputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from reproducible_ml.tracking.folder import EXACT_CONFIG, with_exact
from reproducible_ml.tracking.packing import packed, unpacked
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.reproduce.origin import check_names
from reproducible_ml.tracking.reproduce.request import NotComparable
from reproducible_ml.tracking.reproduce.stage import Stage
from reproducible_ml.tracking.runs import (
    TOLD_FILLED_IN,
    Run,
    flat,
    load_run,
    recorded_marks,
    resume_command_of,
)
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.text import SHORT_DIGEST, counted, shown


class Recorded:
    """A recorded run, and everything that its rerun needs to know of it.

    Args:
        run: The run.
        place: Folder that stands for its working directory; None for that directory itself.

    Attributes:
        run: The run.
        module: Name of its experiment's module.
        command: The experiment's command that ran; None for its main function.
        is_plain: Whether plain Sacred recorded it: without environment, seal and module.
        stage: Its paths.

    Raises:
        NotComparable: The record doesn't say which module ran.
    """

    def __init__(self, run: Run, place: Path | None = None) -> None:
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
        check_names(run, self.module, self.command)
        self.stage = Stage(run, self.is_plain, place)

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
        for what in run.facts.get("unrecorded") or ():
            echo(f"Not in the record of run {run.id}: {what}")
        seal = run.facts.get("seal")
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
        scheduled = [key for key in self.stage.scheduled if key in self.run.config]
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
            raise NotComparable(self.stage.is_gone(key, path))
        fingerprint = self._fingerprints.get(self.stage.inputs.get(key, ""))
        if fingerprint is not None:
            echo(f"Verifying {path}.")
            self._check_data_set(key, path, fingerprint)

    def check_unnamed_data_sets(self, echo: Callable[[str], None]) -> None:
        """Check the data sets that the run read without naming them in its configuration.

        Args:
            echo: Called with a line before something that takes time.

        Raises:
            NotComparable: One is gone or holds other records; the message says what to do.
        """
        for record_dir in self.stage.unnamed_data_sets():
            path = self.stage.absolute(record_dir)
            if not os.path.exists(path):
                raise NotComparable(self.stage.is_gone("record_dir", path))
            echo(f"Verifying {path}.")
            self._check_data_set("record_dir", path, self._fingerprints[path])

    @property
    def _fingerprints(self) -> dict[str, str]:
        return {
            self.stage.absolute(facts["record_dir"]): facts["fingerprint"]
            for facts in (self.run.facts.get("dataset") or {}).values()
        }

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
        told = {**self.stage.again, **inputs, **outputs, **changes}
        # Values that a default filled in stay marked as such.
        recorded = recorded_marks(self.run.entry)
        marks = {key: why for key, why in recorded.items() if key not in told}
        config = _with_values(config, told)
        return {**config, **({TOLD_FILLED_IN: marks} if marks else {})}

    def in_types(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ``config_with`` returned with its values in their types, for Sacred to read.

        Raises:
            NotComparable: The run used a value that can't be read back.
        """
        recorded = self.run.config
        config, lost = with_exact(config, recorded, self._exact_texts())
        for key in lost:
            raise NotComparable(
                f"Run {self.run.id} used {shown(flat(config, '').get(key))} as {key}, an object "
                "that no record can hold. Let the experiment make it from a name or numbers, and "
                "record it anew."
            )
        try:
            # Packed anew, because plain Sacred reads the file by jsonpickle.
            again: dict[str, Any] = packed(
                unpacked(config, f"The configuration of run {self.run.id}", members=False)
            )
        except (ConfigError, TypeError) as error:
            raise NotComparable(str(error)) from None
        return again

    def _exact_texts(self) -> list[tuple[str, str]]:
        pairs = (self.run.entry.get("meta") or {}).get(EXACT_CONFIG) or []
        try:
            texts = [(key, text) for key, text in pairs if json.loads(text or "0") is not None]
            for key, _ in texts:
                key.split(".")
        except (TypeError, ValueError, AttributeError, RecursionError):
            raise NotComparable(
                f"The record of run {self.run.id} holds {shown(pairs)} as meta.{EXACT_CONFIG}, "
                "expected pairs of a configuration key and JSON; it is damaged or forged."
            ) from None
        return texts

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

    def import_roots(self, folder: Path) -> list[str]:
        """Return the folders of restored source files that modules are imported from, in order.

        Args:
            folder: What ``restore_sources`` wrote to, which itself is not among them.
        """
        roots = self.run.facts.get("import_roots")
        if roots is None:
            # An earlier version: only packages tell where they were imported from.
            names = [PurePosixPath(name) for name in self.run.sources]
            packages = {one.parent for one in names if one.name == "__init__.py"}
            found = {one.parent for one in packages} - packages
            roots = sorted(str(one) for one in found if one.parts)
        return [str(folder / str(root)) for root in roots]

    def upstream(self) -> Iterator[Run]:
        """Yield the runs that wrote the data, earliest first.

        Raises:
            NotComparable: One of them is not in the run's store.
        """
        for one in self.run.facts.get("upstream") or ():
            if one.get("run_id") is None:
                raise NotComparable(
                    f"Run {self.run.id} reads data written by a run of {one.get('stage')} that is "
                    "not recorded here. Leave out --upstream to start from the data."
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
