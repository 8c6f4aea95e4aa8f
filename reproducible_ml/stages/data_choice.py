"""Checks that the source which a run names is that of its data set.

An existing data set is read whatever ``source`` says, since trainings must resume where the raw
data is gone. So it is an error to ask for another source than the data set's: the record would
state the wrong one. Values of a named configuration count as defaults, not as asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from reproducible_ml.datasets.serialize import Manifest
from reproducible_ml.datasets.sources import (
    SOURCES,
    Source,
    is_name_of,
    is_path,
    is_source,
    make_source,
    recorded_path,
    reopen,
    source_keys,
)
from reproducible_ml.tracking.runs import as_typed, source_text
from reproducible_ml.utils.errors import ConfigError, DataError

# What a stage writes or reads that is no raw data.
_PLACES = ("record_dir", "model_dir", "classifier_dir", "evaluation_dir")


def open_source(config: Mapping[str, Any]) -> Source:
    """Open the source that a configuration names, with all arguments of its that are there."""
    name = str(config["source"])
    return make_source(name, **{key: config[key] for key in source_keys(name) if key in config})


def source_config(config: Mapping[str, Any], serialize: Any) -> dict[str, Any]:
    """Return what a stage passes on to the experiment that writes its data set.

    Args:
        config: The stage's configuration.
        serialize: The Sacred experiment that writes the data set.

    Returns:
        The source and all arguments of its that the configuration has. Without a key ``source``,
        the paths and the arguments of any source that both configurations have.
    """
    if "source" in config:
        keys = ("source", *source_keys(str(config["source"])))
        return {key: config[key] for key in keys if key in config}
    shared = [key for key in _config_keys(serialize) if key in config and key not in _PLACES]
    return {key: config[key] for key in shared if is_path(key) or key in _all_keys()}


def source_inputs(config: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    """List the keys of a configuration that name the raw data of a source.

    Args:
        config: The configuration.
        source: The source as a manifest records it; empty if it is not open yet.
    """
    arguments = source.get("arguments") or {}
    named = source_keys(str(config["source"])) if "source" in config else _all_keys()
    paths = [value for key, value in arguments.items() if is_path(key)]
    return [
        key
        for key, value in config.items()
        if (is_path(key) and (key in named or key in arguments))
        # An experiment may have its own name for the path that it opens a source with.
        or (isinstance(value, str) and value and recorded_path(value) in paths)
    ]


def raw_digests(source: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of a source's raw data, under the argument that names the data.

    Args:
        source: What the manifest records of the source.
    """
    paths = [key for key in source.get("arguments") or {} if is_path(key)]
    return {paths[0] if len(paths) == 1 else "source": str(source["digest"])}


def check_place(run: Any, config: Mapping[str, Any]) -> None:
    """Refuse to write a source to the default folder of another.

    Args:
        run: The running Sacred run.
        config: The run's configuration; nothing is checked without the key ``source``.

    Raises:
        ConfigError: ``source`` was set without ``record_dir``, or a path was set that the source
            does not take.
    """
    if "source" not in config:
        return
    source, given = str(config["source"]), _given(run)
    for key in _all_keys() if is_source(source) else ():
        # A path has no default, so any was asked for; other keys have one for their own source.
        asked = config.get(key) if is_path(key) else given.get(key)
        if asked is not None and asked != "" and key not in source_keys(source):
            raise ConfigError(
                f"source={source} takes no {key}, which is {asked!r}: name the source that "
                f"does, {_takers(key)}, or leave {key} out."
            )
    changed = run.config_modifications.modified
    of_another = "source" in changed and "record_dir" not in changed
    # "with digits source=folder" would write photographs to the folder of digits.
    of_preset = "source" in given and "record_dir" not in given and "record_dir" in changed
    # But "with digits source=digits" only repeats what digits sets.
    own = source.replace(":", "-").replace("/", "-")
    is_its_own = os.path.basename(str(config["record_dir"])) == own
    if (of_another or of_preset) and not is_its_own:
        raise ConfigError(
            f"{config['record_dir']} is where the data set of another source goes. Name a folder "
            f"for source={source} too, for example record_dir=data/{own}."
        )


def check_source(run: Any, config: Mapping[str, Any], manifest: Manifest) -> None:
    """Refuse a source that was asked for if the data set was written from another.

    Args:
        run: The running Sacred run.
        config: The run's configuration.
        manifest: Manifest of the existing data set.

    Raises:
        ConfigError: The sources differ.
    """
    choices = ("source", *_all_keys())
    given = {key: value for key, value in _given(run).items() if key in choices}
    asked = {key: value for key, value in given.items() if value is not None and key in config}
    written = manifest.source
    if not asked or not written.get("name"):
        return
    arguments = written.get("arguments") or {}
    if is_name_of(str(asked.pop("source", written["name"])), written) and (
        all(_same(key, value, arguments) for key, value in asked.items())
        or _same_rows(manifest, {**arguments, **asked})
    ):
        return
    wanted = " ".join(f"{key}={as_typed(given[key])}" for key in choices if given.get(key))
    raise ConfigError(
        f"{manifest.record_dir} was written from {source_text(written)}, not with {wanted}. "
        f"Name another record_dir, or leave {', '.join(k for k in choices if given.get(k))} out."
    )


def _given(run: Any) -> dict[str, Any]:
    return dict(run.meta_info.get("config_updates") or {})


def _all_keys() -> tuple[str, ...]:
    """Return the arguments of all sources, each once."""
    return tuple(dict.fromkeys(key for name in SOURCES for key in source_keys(name)))


def _config_keys(experiment: Any) -> Iterator[str]:
    """Yield the keys of an experiment's configuration."""
    found: dict[str, Any] = {}
    for one in experiment.configurations:
        found.update(one(preset=found))
    yield from found


def _takers(key: str) -> str:
    return " or ".join(f"source={name}" for name in SOURCES if key in source_keys(name))


def _same(key: str, value: Any, arguments: Mapping[str, Any]) -> bool:
    if is_path(key):
        return bool(recorded_path(value) == arguments.get(key))
    return bool(_plain(value) == _plain(arguments.get(key)))


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def _same_rows(manifest: Manifest, arguments: Mapping[str, Any]) -> bool:
    """Tell whether rows at another path are the same: the file moved, or the machine is another."""
    recorded = manifest.source
    try:
        source = reopen({**recorded, "arguments": arguments}, manifest.record_dir)
        found = source.digest()
    except (ConfigError, DataError):
        return False
    if not set(arguments) <= set(source.arguments):
        return False
    before, now = (
        {key: value for key, value in one.items() if not is_path(key)}
        for one in (recorded.get("arguments") or {}, source.arguments)
    )
    return bool(found == recorded.get("digest") and _plain(now) == _plain(before))
