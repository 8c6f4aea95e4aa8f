"""Values that a run used although nobody configured them, and where they come from.

A default filled them in (``filled_in``), or the data set did: an existing one keeps the source that
its manifest names, whatever the default of ``source`` is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.text import shown

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs.run import Run


@dataclass(frozen=True)
class Used:
    """A value that a run used instead of the configured one.

    Attributes:
        value: The value.
        origin: Where it comes from, as the end of a sentence: "from wgan, practical".
    """

    value: Any
    origin: str


def used_values(run: Run) -> dict[str, Used]:
    """Return the values that a run used without being configured, by configuration key."""
    config = run.config
    found = {key: Used(config.get(key), f"from {why}") for key, why in run.filled_in.items()}
    return {**found, **_source(run, config)}


def used_config(run: Run) -> dict[str, Any]:
    """Return a run's configuration with the values that it actually used."""
    return {**run.config, **{key: used.value for key, used in used_values(run).items()}}


def with_origin(text: str, used: Used | None) -> str:
    """Return a value's string, followed by its origin if it was not configured."""
    return text if used is None else f"{text} ({used.origin})"


def kept_manifests(run: Run) -> dict[str, dict[str, Any]]:
    """Return the manifests among a run's resources, as JSON, by fingerprint."""
    from reproducible_ml.datasets.serialize import FORMAT_NAME

    found = {}
    try:
        contents = list(run.store.resources(run.id).values())
    except (OSError, TrackingError):
        return {}
    for content in contents:
        try:
            values = json.loads(content)
        except ValueError:
            continue  # a resource of another kind
        if isinstance(values, dict) and values.get("format") == FORMAT_NAME:
            found[str(values.get("fingerprint"))] = values
    return found


def source_text(source: Mapping[str, Any]) -> str:
    """Return the name of a data set's source, with the arguments that opened it.

    Args:
        source: The manifest's ``source``.
    """
    if not source.get("name"):
        return "not recorded"
    given = sorted((source.get("arguments") or {}).items())
    arguments = {name: value for name, value in given if value is not None}
    return f"{source['name']} ({shown(arguments)})" if arguments else str(source["name"])


def _source(run: Run, config: Mapping[str, Any]) -> dict[str, Used]:
    if "source" not in config:
        return {}
    facts = (run.facts.get("dataset") or {}).get("records") or {}
    source = facts.get("source")
    if source is None:
        # A run of an earlier version recorded no source, but its folder keeps the manifest.
        source = (kept_manifests(run).get(str(facts.get("fingerprint"))) or {}).get("source")
    if not source or not source.get("name"):
        return {}
    named = source["name"]
    if config["source"] != named:
        from reproducible_ml.datasets.sources import is_name_of

        # tfds:mnist is recorded as tfds, with the folder that it stands for.
        if is_name_of(str(config["source"]), source):
            named = config["source"]
    cwd = str((run.facts.get("stage") or {}).get("cwd") or "")
    written = {"source": named, **(source.get("arguments") or {})}
    return {
        key: Used(value, f"from {facts.get('record_dir')}")
        for key, value in written.items()
        if key in config and not _same(config[key], value, cwd)
    }


def _same(configured: Any, written: Any, cwd: str) -> bool:
    if isinstance(configured, str) and isinstance(written, str):
        return written in (configured, os.path.normpath(os.path.join(cwd, configured)))
    return bool(configured == written)
