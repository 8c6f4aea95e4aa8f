"""Plans the members of a sweep without running them.

The experiment is imported in a separate process (``python -m reproducible_ml.tracking.sweep.plan
MODULE``), which answers with the complete configuration of each member, the digests of the
source files on disk, and the metrics as far as the experiment names them beforehand.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import plain
from reproducible_ml.tracking.runs import read_typed, source_name
from reproducible_ml.tracking.sweep.values import Parameters
from reproducible_ml.utils.errors import ConfigError, ReproducibleMLError
from reproducible_ml.utils.text import suggestion

_ANSWER = "reproducible-ml-sweep-plan "
# Up to here each float that is an integer is one integer.
_EXACT = 2**53


@dataclass(frozen=True)
class Plan:
    """The members of a sweep as they would run now.

    Attributes:
        experiment: The experiment's name.
        sources: Path -> MD5 of the present source files.
        configs: The complete configuration of each member.
        metrics: The names that ``--metric`` can take for each member; None where only a run tells.
    """

    experiment: str
    sources: dict[str, str]
    configs: list[dict[str, Any]]
    metrics: list[list[str] | None]

    def check_metric(self, metric: str | None) -> None:
        """Check the metric before anything runs, as far as the experiment names its metrics.

        Raises:
            ConfigError: No member has it; the message suggests those that there are.
        """
        if metric is None or not self.metrics:
            return
        known: set[str] = set()
        for names in self.metrics:
            if names is None:
                return
            known.update(names)
        if metric not in known:
            raise ConfigError(
                f"--metric: {self.experiment} has no number {metric!r}"
                f"{suggestion(metric, sorted(known))} Nothing was started."
            )

    def without_repetitions(self) -> list[int]:
        """Return for each member the first one with the same configuration, maybe itself.

        Written values may differ: 1e-4 and 0.0001, or a key's default and no value at all.
        """
        first: dict[str, int] = {}
        return [first.setdefault(mark_of(config), n) for n, config in enumerate(self.configs)]


def mark_of(config: Mapping[str, Any]) -> str:
    """Return a text that two configurations share if they are the same: 1 is 1.0, but not True."""
    return json.dumps(_by_value(config), sort_keys=True)


def _by_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _by_value(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_by_value(one) for one in value]
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT
    return int(value) if whole else value


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
    return Plan(answer["experiment"], answer["sources"], answer["configs"], answer["metrics"])


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
    answer: dict[str, Any] = {"configs": [], "metrics": []}
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
        names = None if experiment.metrics is None else sorted(experiment.metrics(run.config))
        answer["metrics"].append(names)
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
