"""What a recorded run does right before and right after its main function.

``TrackedExperiment`` calls ``at_start`` before all hooks of the experiment, and ``at_end`` after
all of them if none raised. Both are plain functions and no hooks of Sacred: it seeds every captured
function in the order of their definition, hooks included, so hooks of ours would give the
experiment's own functions other seeds than they have in plain Sacred.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timezone
from pathlib import Path
from typing import Any

from reproducible_ml.process import main_has_returned
from reproducible_ml.tracking.recording.facts import local_store
from reproducible_ml.tracking.recording.found_paths import (
    ABSENT,
    FILE,
    found_paths,
    input_digests,
    note_start,
    start_of,
)
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.recording.seal import seal_run, seal_sources
from reproducible_ml.tracking.recording.source_files import late_sources
from reproducible_ml.tracking.recording.threads import describe_pools
from reproducible_ml.tracking.runs import flat
from reproducible_ml.utils import environment
from reproducible_ml.utils.digests import file_digest


def at_start(run: Any) -> None:
    """Begin the record of a run.

    Args:
        run: The running Sacred run.
    """
    note_start(run)
    # A run that is killed before its first heartbeat still records its environment.
    run._emit_heartbeat()


def at_end(run: Any, source_files: Callable[[], Iterable[Path]]) -> None:
    """Complete the record of a run whose main function has returned.

    Args:
        run: The running Sacred run.
        source_files: Returns the files that the run depends on, as it is called.
    """
    main_has_returned()
    store = local_store(run)
    if store is not None and store.is_forked:
        return  # a fork that has returned from the main function, too
    _complete_environment(run)
    if store is None or store.directory is None:
        return
    added = _add_late_sources(run, store, source_files)
    _note_refused(run, store)
    if "seal" not in run.info:
        _complete_facts(run, store)
        seal_run(run, store.points(), run.result)
    elif added:
        # The stage has sealed the run, when it did not know these files.
        seal_sources(run)


def at_broken_end(run: Any, source_files: Callable[[], Iterable[Path]]) -> None:
    """Complete the record of a run that failed or was stopped: it has no result to seal.

    Args:
        run: The running Sacred run.
        source_files: Returns the files that the run depends on, as it is called.
    """
    store = local_store(run)
    if store is not None and store.directory is not None and not store.is_forked:
        _add_late_sources(run, store, source_files)
        _note_refused(run, store)


def _complete_environment(run: Any) -> None:
    """Record what is known only once the run has loaded its libraries."""
    if "environment" in run.info:
        run.info["environment"]["tensorflow"] = environment.describe_tensorflow()
        threads = {**environment.describe_threads(), "pools": describe_pools()}
        # In one order, since MongoDB keeps it and a folder sorts.
        run.info["environment"]["threads"] = dict(sorted(threads.items()))


def _add_late_sources(
    run: Any, store: LocalStore, source_files: Callable[[], Iterable[Path]]
) -> bool:
    """Record the source files that were imported since the start; tell whether there are any."""
    experiment = run.experiment_info
    base_dir = experiment["base_dir"]
    # Sacred's times are in UTC, without a zone.
    start = run.start_time.replace(tzinfo=timezone.utc).timestamp()
    added, changed = late_sources(experiment["sources"], source_files(), Path(base_dir), start)
    if added or changed:
        store.add_sources([name for name, _ in added], changed, base_dir)
        experiment["sources"] = [*experiment["sources"], *added]
    if changed:
        run.run_logger.warning(
            "Source files changed during the run: %s. The record holds what they were at its start "
            "(those imported late: at its end).",
            ", ".join(changed),
        )
    return bool(added)


def _note_refused(run: Any, store: LocalStore) -> None:
    """Say in the run what processes that were forked from this one tried to record."""
    refused = store.refused()
    if refused:
        what = f"what forked processes tried to record: {', '.join(sorted(refused))}"
        run.info["unrecorded"] = [*run.info.get("unrecorded", ()), what]
        run.run_logger.warning("The record does not hold %s.", what)


def _complete_facts(run: Any, store: LocalStore) -> None:
    """Record what a rerun needs, beside what the experiment has recorded itself."""
    start = start_of(run)
    stage = {"cwd": start.cwd, "inputs": [], "outputs": [], **(run.info.get("stage") or {})}
    declared = [*stage["inputs"], *stage["outputs"]]
    read, written = found_paths(run.config, start, declared)
    values = flat(run.config, "")
    files = {key: os.path.join(start.cwd, values[key]) for key, kind in read if kind == FILE}
    written += [[key, start.paths.get(key, (ABSENT,))[0]] for key in stage["outputs"]]
    run.info["stage"] = {**stage, "found_inputs": read, "found_outputs": written}
    digests = [*run.info.get("inputs", ()), *input_digests(files)]
    if digests:
        run.info["inputs"] = digests
    # A list, since names of files have dots, which MongoDB takes in no key.
    artifacts = [
        [name, file_digest(path), path.stat().st_size]
        for name, path in sorted(store.artifacts().items())
    ]
    if artifacts:
        run.info["artifacts"] = artifacts
