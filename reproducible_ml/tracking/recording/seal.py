"""The seal of a record: digests of its parts, by which a later change is seen and named.

The seal stands in the run itself (``info["seal"]``), so it finds what was changed by accident or in
passing: an edited metric, a replaced source, another configuration. Whoever rewrites the seal too
is found only by executing the run again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from reproducible_ml.tracking.runs import source_name

# (step, value) in the order in which they were logged.
Points = Iterable[tuple[int, float]]
SEALED_FACTS = ("dataset", "determinism", "digest", "stage", "upstream")


def record_stage(
    run: Any,
    inputs: Iterable[str],
    outputs: Iterable[str],
    again: Mapping[str, Any] | None = None,
    scheduled: Iterable[str] = (),
) -> None:
    """Record what a later execution needs to know of a stage's configuration.

    Args:
        run: The running Sacred run.
        inputs: Keys of the configuration that name what the stage reads.
        outputs: Keys that name what it writes; a later execution writes elsewhere.
        again: Values that a later execution takes instead, with the same bits.
        scheduled: Keys whose value at a step depends on the last step, ``max_steps``, such as a
            learning rate that decays to 0 at the end. Such a run can't be reproduced in part.
    """
    stage: dict[str, Any] = {
        "cwd": os.getcwd(),
        "inputs": list(inputs),
        "outputs": list(outputs),
        "scheduled": list(scheduled),
    }
    run.info["stage"] = {**stage, "again": dict(again)} if again else stage


def seal_run(run: Any, metrics: Mapping[str, Points]) -> None:
    """Put the seal into a run that is about to end.

    Args:
        run: The running Sacred run.
        metrics: Every point that it has logged.
    """
    experiment = run.experiment_info
    sources = {
        source_name(name, experiment["base_dir"], experiment.get("library_dir")) or name: digest
        for name, digest in experiment.get("sources", [])
    }
    run.info["seal"] = make_seal(run.config, sources, metrics, run.info)


def seal_of(run: Any) -> dict[str, Any]:
    """Make the seal that a recorded run should have.

    Args:
        run: A run as ``runs.load_run`` gives it.
    """
    sources = {name: hashlib.md5(content).hexdigest() for name, content in run.sources.items()}
    metrics = {
        name: list(zip(points["steps"], points["values"])) for name, points in run.points.items()
    }
    return make_seal(run.entry.get("config") or {}, sources, metrics, run.info)


def make_seal(
    config: Mapping[str, Any],
    sources: Mapping[str, str],
    metrics: Mapping[str, Points],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Digest the parts of a record.

    Args:
        config: The run's configuration.
        sources: Path -> digest of the recorded source files.
        metrics: Metric name -> its points.
        facts: The run's ``info``, of which ``SEALED_FACTS`` are taken.

    Returns:
        Part -> digest (16 hexadecimal digits); sources and metrics by their own names.
    """
    return {
        "config": _digest(config),
        "sources": _digest(sources),
        "metrics": {
            # A database that takes no NaN gives None in its place.
            name.replace(".", "_"): _digest(
                [[int(step), float("nan" if value is None else value)] for step, value in points]
            )
            for name, points in metrics.items()
        },
        "facts": {name: _digest(facts[name]) for name in SEALED_FACTS if name in facts},
    }


def broken_parts(seal: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Name the parts of a record that are not those that were sealed.

    Args:
        seal: The seal in the record.
        found: The seal of the record as it is now.

    Returns:
        Sentences' subjects, such as "metric critic_loss"; empty when the record is as it was.
    """
    broken = []
    for part, words in (("config", "the configuration"), ("sources", "the sources")):
        if seal.get(part) != found.get(part):
            broken.append(words)
    for group, word in (("metrics", "metric"), ("facts", "entry")):
        sealed, now = seal.get(group, {}), found.get(group, {})
        broken += [f"{word} {name}" for name in sorted(sealed) if sealed[name] != now.get(name)]
    return broken


def _digest(value: Any) -> str:
    # Through JSON and back: what a store gives back are lists and strings, not tuples and numbers.
    plain = json.loads(json.dumps(value, default=str))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
