"""The seal of a run: digests of its parts, which show and name later changes.

The seal is in the run itself (``info["seal"]``), so it finds accidental and careless changes: an
edited metric, a replaced source file, another configuration. Someone who rewrites the seal too can
only be found out by executing the run again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from reproducible_ml.process import LIBRARY
from reproducible_ml.tracking.folder import plain
from reproducible_ml.tracking.recording.facts import local_store
from reproducible_ml.tracking.runs import source_name, without_pickle_tag
from reproducible_ml.utils.redaction import redact_tree

# (step, value) in the order in which they were logged.
Points = Iterable[tuple[int, float]]
SEALED_FACTS = (
    *("arrays", "artifacts", "dataset", "determinism", "digest", "ignored", "inputs"),
    *("stage", "upstream"),
)
FORM = 2
_PARTS = {"config": "the configuration", "sources": "the sources", "result": "the result"}


def record_stage(
    run: Any,
    inputs: Iterable[str],
    outputs: Iterable[str],
    again: Mapping[str, Any] | None = None,
    scheduled: Iterable[str] = (),
) -> None:
    """Record what a rerun needs to know of a stage's configuration.

    Args:
        run: The running Sacred run.
        inputs: Configuration keys that name what the stage reads.
        outputs: Keys that name what it writes; a rerun writes elsewhere.
        again: Values that a rerun uses instead, with the same bits.
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


def seal_run(run: Any, metrics: Mapping[str, Points], result: Any = None) -> None:
    """Seal a run that is about to end.

    A run that its main function has not sealed is sealed after it, with everything that it logged.

    Args:
        run: The running Sacred run.
        metrics: Every point that it has logged, by metric.
        result: What the main function returned; None seals no result.
    """
    info, result = _recorded(run.info), _recorded(result)
    # The main function may have changed an object in its configuration since that was recorded.
    store = local_store(run)
    config = store.config if store else None
    config = _recorded(run.config) if config is None else config
    if store is not None and store.resumed:
        # Of all processes; some points are those of the machine's speed at the time.
        metrics = store.points()
    run.info["seal"] = make_seal(config, _sources(run), metrics, info, result)


def seal_sources(run: Any) -> None:
    """Seal the source files of a run anew that came to depend on more of them."""
    run.info["seal"] = {**run.info["seal"], "sources": _digest(_sources(run))}


def _sources(run: Any) -> dict[str, str]:
    experiment = run.experiment_info
    store = local_store(run)
    kept = store.sources if store else None
    # What is stored: a file may change between its digest and its copy, and a name be redacted.
    found = (
        experiment.get("sources", [])
        if kept is None
        else [(name, Path(copy).stem.rpartition("_")[2]) for name, copy in kept]
    )
    return {
        source_name(name, experiment["base_dir"], experiment.get("library_dir")) or name: digest
        for name, digest in found
    }


def _recorded(value: Any) -> Any:
    """Return a value in the form that the record holds it in."""
    return redact_tree(plain(value))


def seal_of(run: Any) -> dict[str, Any]:
    """Make the seal that a recorded run should have.

    Args:
        run: A run that ``runs.load_run`` returned.
    """
    sources = {name: hashlib.md5(content).hexdigest() for name, content in run.sources.items()}
    metrics = {
        name: list(zip(points["steps"], points["values"])) for name, points in run.points.items()
    }
    recorded = run.info.get("seal") or {}
    form = int(recorded.get("form", 1))
    older = _named_as_before(run, sources)
    if recorded.get("sources") == _digest(older):
        sources = older
    config = run.entry.get("config") or {}
    return make_seal(config, sources, metrics, run.info, run.result, form)


def _named_as_before(run: Any, sources: Mapping[str, str]) -> dict[str, str]:
    """Name the library's files as version 1.0 did if it lay within the experiment's folder."""
    experiment = run.entry.get("experiment") or {}
    base, library = (str(experiment.get(name) or "") for name in ("base_dir", "library_dir"))
    inside = PurePosixPath(base) in PurePosixPath(library).parents
    prefix = f"{PurePosixPath(library).relative_to(base)}/" if base and inside else ""
    return {
        prefix + name if name.startswith(f"{LIBRARY.name}/") else name: digest
        for name, digest in sources.items()
    }


def make_seal(
    config: Mapping[str, Any],
    sources: Mapping[str, str],
    metrics: Mapping[str, Points],
    facts: Mapping[str, Any],
    result: Any = None,
    form: int = FORM,
) -> dict[str, Any]:
    """Digest the parts of a run.

    Args:
        config: The run's configuration.
        sources: Path -> digest of the recorded source files.
        metrics: Metric name -> its points.
        facts: The run's ``info``, of which ``SEALED_FACTS`` are sealed.
        result: The run's result; None for none.
        form: 1 for the seal of an earlier version, which took a configuration as a folder holds it.

    Returns:
        Part -> digest of 16 hexadecimal digits; metrics and facts have one for each name.
    """
    seal = {
        **({"form": form} if form > 1 else {}),
        "config": _digest(_portable(config) if form > 1 else config),
        "sources": _digest(sources),
        "metrics": {
            # MongoDB takes neither character in a key.
            name.replace(".", "_").replace("$", "@"): _digest(
                [[_step(step), _value(value)] for step, value in points]
            )
            for name, points in metrics.items()
        },
        "facts": {name: _digest(facts[name]) for name in SEALED_FACTS if name in facts},
    }
    return seal if result is None else {**seal, "result": _digest(_portable(result))}


def _step(step: Any) -> int | float:
    """Return a step in one form, whichever a store gives back."""
    return int(step) if step == int(step) else float(step)


def _value(value: Any) -> float | str:
    """Return a point's value in one form; None stands for NaN in databases that refuse NaN."""
    return value if isinstance(value, str) else float("nan" if value is None else value)


def _portable(value: Any) -> Any:
    """Return a value as every store gives it back: see ``mongo.documents.mongo_value``."""
    if isinstance(value, Mapping):
        return {
            str(key).replace(".", ",").replace("$", "@"): _portable(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_portable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def broken_parts(seal: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Name the parts of a run that were changed after it was sealed.

    Args:
        seal: The recorded seal.
        found: The seal of the run as it is now.

    Returns:
        Subjects for a sentence, such as "metric loss"; empty if nothing was changed.
    """
    broken = []
    for part, words in _PARTS.items():
        # A seal of an earlier version, or of a stage, leaves the result to the digests.
        if (part in seal or part != "result") and seal.get(part) != found.get(part):
            broken.append(words)
    for group, word in (("metrics", "metric"), ("facts", "entry")):
        sealed, now = seal.get(group, {}), found.get(group, {})
        broken += [f"{word} {name}" for name in sorted(sealed) if sealed[name] != now.get(name)]
    return broken


def _digest(value: Any) -> str:
    # As a store's reader returns it: tuples as lists, numeric keys as strings.
    plain = json.loads(json.dumps(value, default=str), object_hook=without_pickle_tag)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
