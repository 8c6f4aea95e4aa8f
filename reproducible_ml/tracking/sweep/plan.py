"""Plans the members of a sweep without running them, and finds those that are recorded already.

The experiment is imported in a separate process (``python -m reproducible_ml.tracking.sweep.plan
MODULE``), which answers with the complete configuration of each member and the digests of the
source files on disk. A recorded run counts as a member if it has completed and its configuration,
source files and data fingerprints are the same.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.tracking.folder import plain
from reproducible_ml.tracking.runs import Run, Store, iterate_runs, read_typed, source_name
from reproducible_ml.tracking.sweep.values import Parameters
from reproducible_ml.utils.errors import ConfigError, DataError, ReproducibleMLError

_ANSWER = "reproducible-ml-sweep-plan "
_STORED_MD5 = re.compile(r"_([0-9a-f]{32})(\.[^/]*)?$")


@dataclass(frozen=True)
class Plan:
    """The members of a sweep as they would run now.

    Attributes:
        experiment: The experiment's name.
        sources: Path -> MD5 of the present source files.
        configs: The complete configuration of each member.
    """

    experiment: str
    sources: dict[str, str]
    configs: list[dict[str, Any]]


def make_plan(module: str, named: Sequence[str], members: Sequence[Parameters]) -> Plan:
    """Plan the members in a process that imports the experiment's module.

    Args:
        module: Dotted name that ``python -m`` takes in the working directory.
        named: Named configurations.
        members: Parameters of each member.

    Raises:
        ConfigError: The module can't be imported or holds no experiment, or a value is invalid.
    """
    question = json.dumps({"named": list(named), "members": list(members)})
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, module],
        input=question,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode != 0 or not lines:
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ConfigError(f"{module} can't be imported as an experiment:\n{last}")
    answer = json.loads(lines[-1][len(_ANSWER) :])
    if "error" in answer:
        raise ConfigError(answer["error"])
    return Plan(answer["experiment"], answer["sources"], answer["configs"])


class Recorded:
    """The completed runs of an experiment, among which members may be."""

    def __init__(self, store: Store, experiment: str) -> None:
        self._runs = list(iterate_runs(store, experiment, "COMPLETED"))

    def find(self, config: Mapping[str, Any], sources: Mapping[str, str]) -> Run | None:
        """Return the newest run with this configuration, these source files and today's data."""
        for run in reversed(self._runs):
            # Compared as recorded: if the experiment fills nothing in, both hold None.
            same = run.entry.get("config") == config
            if same and recorded_sources(run) == sources and same_data(run):
                return run
        return None


def recorded_sources(run: Run) -> dict[str, str]:
    """Return path -> MD5 of a run's source files; empty if the run doesn't record them so."""
    experiment = run.entry.get("experiment", {})
    found = {}
    for recorded, kept in experiment.get("sources") or []:
        name = source_name(
            str(recorded), str(experiment.get("base_dir", "/")), experiment.get("library_dir")
        )
        md5 = _STORED_MD5.search(str(kept))
        if name is None or md5 is None:
            return {}
        found[name] = md5.group(1)
    return found


def same_data(run: Run) -> bool:
    """Tell whether the data sets of a run are still in their places and unchanged."""
    for facts in (run.info.get("dataset") or {}).values():
        path = Path(facts["record_dir"])
        started_in = (run.info.get("stage") or {}).get("cwd")
        if started_in and path.is_absolute() and Path(started_in) in path.parents:
            path = path.relative_to(started_in)
        try:
            if read_manifest(path).fingerprint != facts["fingerprint"]:
                return False
        except (DataError, OSError):
            return False
    return True


def _answer(module: str, question: Mapping[str, Any]) -> dict[str, Any]:
    from reproducible_ml.tracking.recording import TrackedExperiment

    sys.path.insert(0, str(Path.cwd()))
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return {
            "error": f"There is no module {module} in {Path.cwd()}; name it as for python -m, in "
            "the folder that holds it."
        }
    own = [one for one in vars(loaded).values() if isinstance(one, TrackedExperiment)]
    defined = [one for one in own if one.origin.module == module]
    if len(defined) != 1:
        return {"error": f"{module} defines {len(defined)} experiments; a sweep needs exactly one."}
    experiment = defined[0]
    answer: dict[str, Any] = {"configs": []}
    for member in question["members"]:
        updates = {key: read_typed(text) for key, text in member.items()}
        try:
            run = experiment._create_run(
                config_updates=updates,
                named_configs=question["named"],
                options={"--unobserved": True, "--loglevel": "ERROR"},
            )
        except ReproducibleMLError as error:
            return {"error": str(error)}
        info = run.experiment_info
        # Source files and git state are the same for all members, so they are read once.
        vars(experiment)["get_experiment_info"] = partial(dict, info)
        answer["experiment"] = info["name"]
        answer["sources"] = dict(_named(info))
        # Through JSON, like a recorded configuration, so that both compare equal.
        answer["configs"].append(json.loads(json.dumps(plain(dict(run.config)))))
    return answer


def _named(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for recorded, md5 in info["sources"]:
        name = source_name(recorded, info["base_dir"], info["library_dir"])
        if name is not None:
            yield name, md5


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        result = _answer(sys.argv[1], json.load(sys.stdin))
    print(_ANSWER + json.dumps(result))
