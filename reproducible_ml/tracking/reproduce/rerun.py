"""One rerun of a recorded run: its folder, inputs, configuration, environment and process.

The recorded source files are restored into a folder, which becomes the working directory of the
process, so that ``python -m module`` imports them and nothing else of that name. Inputs are read
where they are, outputs go to new places, and the variables that change results are set as recorded.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import TF_CONFIG
from reproducible_ml.tracking.folder import highest_id
from reproducible_ml.tracking.mongo import environment_for
from reproducible_ml.tracking.recording import RERUN_VARIABLE
from reproducible_ml.tracking.reproduce.comparison import (
    changed_lines,
    compare_runs,
    facts_of,
    plain_environment,
)
from reproducible_ml.tracking.reproduce.environments import (
    EnvironmentDifference,
    environment_differences,
    hash_seed_remark,
    library_differences,
    other_tensorflow,
)
from reproducible_ml.tracking.reproduce.evidence import Evidence, needed_evidence
from reproducible_ml.tracking.reproduce.origin import agree
from reproducible_ml.tracking.reproduce.process import process_environment, run_module
from reproducible_ml.tracking.reproduce.recorded import Recorded
from reproducible_ml.tracking.reproduce.recorded_environment import described_by, recorded_python
from reproducible_ml.tracking.reproduce.request import RECORDED, NotComparable, Request
from reproducible_ml.tracking.reproduce.verdict import IDENTICAL, Verdict
from reproducible_ml.tracking.runs import Run, flat, load_run
from reproducible_ml.utils.environment import describe_environment
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import counted

# A recorded run prints these lines at its end, in this version or in earlier ones ("Go on").
_NEXT_STEPS = ("Look at it: ", "Prove it: ", "Resume: ", "Go on: ")

# Folder of the restored source files, in which the rerun's process runs.
_SOURCES = "sources"


class Rerun:
    """A rerun of a recorded run, from its preparation to the new run.

    Args:
        run: The recorded run.
        request: How to run it again.
        work: A new folder for its source files, configuration and outputs.
        echo: Called with each line of progress.

    Attributes:
        recorded: The recorded run.
        request: How to run it again.
        work: Folder of its source files, configuration and outputs.
        echo: Called with each line of progress.
        inputs: Configuration key -> path that it reads.

    Raises:
        NotComparable: The record doesn't say which module ran, or what it reads and writes.
    """

    def __init__(self, run: Run, request: Request, work: Path, echo: Callable[[str], None]) -> None:
        self.recorded = Recorded(run, request.place)
        self.request = request
        self.work = work
        self.echo = echo
        self.inputs = {**self.recorded.stage.inputs, **request.inputs}

    def prepare(self) -> Evidence:
        """Check the record, list what differs in the environment, and make the folder.

        Returns:
            The evidence that the rerun must give again.

        Raises:
            NotComparable: The record is incomplete or altered, or the request doesn't fit it.
        """
        self.recorded.check(self.request.allow_altered, self.echo)
        if self.request.steps is not None:
            self.recorded.check_steps(self.request.steps)
        # Before anything is started, because a rerun with nothing to compare is useless.
        evidence = needed_evidence(self.recorded.run, self.request.steps)
        # Refused here rather than after the question.
        self.recorded.in_types(self.recorded.config_with({}, {}, self.request.changes))
        agree(self.recorded.run, self.request.sources, self.request.confirm)
        for difference in self.environment:
            self.echo(difference.describe())
        if expected := other_tensorflow(
            self.recorded.run.environment, self._environment_now, self.recorded.run.config
        ):
            self.echo(expected)
        try:
            self.work.mkdir()
        except FileExistsError:
            raise NotComparable(
                f"{self.work} is left from an earlier rerun. Remove it, or name another folder: "
                "--keep DIR."
            ) from None
        return evidence

    @cached_property
    def _variables(self) -> dict[str, str]:
        return process_environment(self.recorded.run.environment.get("variables") or {})

    @cached_property
    def _python(self) -> str:
        if self.request.environment != RECORDED:
            return sys.executable
        return recorded_python(self.recorded.run, self.echo, self.request.wheels)

    @cached_property
    def _environment_now(self) -> dict[str, Any]:
        if self.request.environment == RECORDED:
            return described_by(self._python, self._variables)
        return describe_environment(self._variables)

    @cached_property
    def environment(self) -> tuple[EnvironmentDifference, ...]:
        """What differs between the recorded environment and that of the rerun."""
        now: Mapping[str, Any] = self._environment_now
        recorded = self.recorded.run.environment
        if self.recorded.is_plain:
            recorded = plain_environment(self.recorded.run)
            now = facts_of(now, recorded)
        found = environment_differences(recorded, now)
        if self.recorded.stage.workers > 1:
            # The rerun makes a cluster of its own.
            found = [one for one in found if one.name != f"variables.{TF_CONFIG}"]
        return tuple(found)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration; raises ``NotComparable`` if the run lacks a key to be changed."""
        changes = dict(self.request.changes)
        if self.request.steps is not None:
            changes["max_steps"] = self.request.steps
        outputs = self.recorded.stage.new_outputs(self.work, self.request.sources != RECORDED)
        for path in outputs.values():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        return self.recorded.config_with(self.inputs, outputs, changes)

    @property
    def outputs(self) -> dict[str, str]:
        """Absolute path that the recorded run wrote -> path that this one writes."""
        values = flat(self.config, "")
        return {
            path: str(self.work / _SOURCES / values[key])
            for key, path in self.recorded.stage.outputs.items()
        }

    def read_outputs_of(self, outputs: dict[str, str]) -> None:
        """Read what the rerun of an earlier stage has written.

        Args:
            outputs: Recorded path -> new path.
        """
        self.inputs = {key: outputs.get(path, path) for key, path in self.inputs.items()}

    def check_inputs(self) -> None:
        """Check that everything that the run read exists and is the same.

        Raises:
            NotComparable: It isn't; the message says what to do.
        """
        for key, path in self.inputs.items():
            self.recorded.check_input(key, path, self.echo)
        self.recorded.check_unnamed_data_sets(self.echo)

    def execute(self) -> Run:
        """Run the stage in a process of its own, wait for it and load the new run.

        Raises:
            NotComparable: It can't be started, or its process failed.
        """
        run = self.recorded.run
        for key in self.request.changes:
            values = (without_secrets(one.get(key), key) for one in (run.config, self.config))
            self.echo("{}: recorded {}, now {} (--set)".format(key, *values))
        cwd = self._working_directory()
        workers = self.recorded.stage.workers
        on = f", on {workers} workers of this machine" if workers > 1 else ""
        on += ", in its recorded environment" if self.request.environment == RECORDED else ""
        self.echo(f"Executing run {run.id} ({run.experiment}) again{on}.")
        file = self.work / "config.json"
        file.write_text(json.dumps(self.recorded.in_types(self.config), indent=1), encoding="utf-8")
        folder = self.request.folder.resolve()
        arguments = [self.recorded.command] if self.recorded.command else []
        arguments += ["with", str(file), "-F", str(folder), "-c", f"executes run {run.id} again"]
        if not self.request.changes:
            # The values were those of a run: no check of today's defaults need accept them.
            arguments += ["--force"]
        told = None
        if self.recorded.is_plain:
            # Plain Sacred tells no id on stdout, so it is told one.
            folder.mkdir(parents=True, exist_ok=True)
            told = folder / str(highest_id(folder) + 1)
            arguments += ["--id", told.name]
        # Not on the command line, which others can read.
        mongo = None if self.recorded.is_plain else self.request.mongo
        own = {**self._variables, RERUN_VARIABLE: run.experiment, **self._import_path(cwd)}
        variables = environment_for(mongo, own)
        code, directory = run_module(
            *(self.recorded.module, arguments, cwd, variables, self._echo_output),
            workers=workers,
            python=self._python,
        )
        directory = told if told is not None and (told / "run.json").is_file() else directory
        if code != 0:
            raise NotComparable(
                f"The rerun of run {run.id} ended with exit code {code}; its messages are printed "
                "above" + (f" and recorded in {directory}." if directory else ".")
            )
        if directory is None or directory.parent.resolve() != folder:
            raise NotComparable(
                f"{self.recorded.module} recorded no run in {folder}, as it was told: it doesn't "
                "read its command line. Let the file end with @ex.automain or "
                "ex.run_commandline()."
            )
        return load_run(directory.name, directory.parent)

    def _import_path(self, cwd: Path) -> dict[str, str]:
        """Return the variable that makes modules come from the source files to execute."""
        if self.request.sources == RECORDED:
            roots = self.recorded.import_roots(cwd)
        else:
            roots = [one for one in (os.environ.get("PYTHONPATH"),) if one]
        return {"PYTHONPATH": os.pathsep.join(roots)} if roots else {}

    def _working_directory(self) -> Path:
        """Return the folder that holds the source files to execute."""
        if self.request.sources == RECORDED:
            restored = self.work / _SOURCES
            restored.mkdir()
            self.recorded.restore_sources(restored)
            self.recorded.stage.furnish(restored, self.request.inputs)
            return restored
        here = Path.cwd()
        module = self.recorded.module
        if not (here / (module.replace(".", "/") + ".py")).is_file():
            raise NotComparable(
                f"--sources current needs {module} in the working directory {here}; change to the "
                "folder that holds it."
            )
        return here

    def libraries(self, again: Run) -> list[EnvironmentDifference]:
        """List the differences in the numeric libraries that both runs have loaded."""
        return library_differences(self.recorded.run.environment, again.environment)

    def remarks(self, again: Run, verdict: Verdict) -> tuple[str, ...]:
        """Return what a reader of the verdict must know beside it.

        Args:
            again: The new run.
            verdict: The verdict.
        """
        left, right = self.recorded.run.environment, again.environment
        differences = [one.describe() for one in self.libraries(again)]
        explained = self.request.changes or self.request.sources != RECORDED or verdict.other_inputs
        if verdict.word == IDENTICAL or explained:
            return tuple(differences)
        hash_seed = hash_seed_remark(left, right)
        return (*differences, *([hash_seed] if hash_seed else []))

    def _echo_output(self, line: str) -> None:
        # Paths in a folder that is removed lead nowhere, and the verdict comes from here.
        removed = self.request.keep is None and str(self.work) in line
        if not removed and not line.startswith(_NEXT_STEPS):
            self.echo(f"  {line}")

    def check_sources(self, again: Run) -> None:
        """Name the source files that differ from the recorded ones.

        Args:
            again: The new run.

        Raises:
            NotComparable: There are such files although the recorded ones were asked for.
        """
        run = self.recorded.run
        changed = compare_runs(run, again).of("sources")
        if self.request.sources == RECORDED:
            for one in changed:
                # What is not imported again, such as an editor's module, was not executed.
                if one.b is not None:
                    raise NotComparable(
                        f"Run {again.id} executed a different {one.name} from the one that run "
                        f"{run.id} recorded: something comes before the recorded files where "
                        "modules are found, such as an absolute path that the code adds to "
                        "sys.path. Make it relative to the file, and record the run anew."
                    )
            return
        for one in changed:
            added, removed = changed_lines(one.detail)
            lines = f"{counted(added, 'line')} added, {removed} removed"
            self.echo(f"{one.name} is not the recorded one: {lines}.")
