"""Checks that the source which a run names is that of its data set.

An existing data set is read whatever ``source`` says, since trainings must resume where the raw
data is gone. So it is an error to ask for another source than the data set's: the record would
state the wrong one. Values of a named configuration count as defaults, not as asked for.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

from reproducible_ml.datasets.serialize import Manifest
from reproducible_ml.datasets.sources import SOURCES, make_source, recorded_path
from reproducible_ml.tracking.runs import as_typed, source_text
from reproducible_ml.utils.errors import ConfigError, DataError

# Keys of the paths of a source's rows, and all keys of a source's arguments.
SOURCE_PATHS = ("npz_file", "image_dir")
SOURCE_KEYS = (*SOURCE_PATHS, "image_shape")
_CHOICES = ("source", *SOURCE_KEYS)


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
    for key in SOURCE_PATHS if source in SOURCES else ():
        if config.get(key) and key not in inspect.signature(SOURCES[source]).parameters:
            raise ConfigError(
                f"source={source} takes no {key}, which is {config[key]!r}: name the source that "
                f"does, {_takers(key)}, or leave {key} out."
            )
    changed = run.config_modifications.modified
    of_another = "source" in changed and "record_dir" not in changed
    # "with digits source=folder" would write photographs to the folder of digits.
    of_preset = "source" in given and "record_dir" not in given and "record_dir" in changed
    # But "with digits source=digits" only repeats what digits sets.
    is_its_own = os.path.basename(str(config["record_dir"])) == source
    if (of_another or of_preset) and not is_its_own:
        raise ConfigError(
            f"{config['record_dir']} is where the data set of another source goes. Name a folder "
            f"for source={source} too, for example record_dir=data/{source}."
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
    given = {key: value for key, value in _given(run).items() if key in _CHOICES}
    asked = {key: value for key, value in given.items() if value is not None and key in config}
    written = manifest.source
    if not asked or not written.get("name"):
        return
    arguments = written.get("arguments") or {}
    if asked.pop("source", written["name"]) == written["name"] and (
        all(_same(key, value, arguments) for key, value in asked.items())
        or _same_rows(written, {**arguments, **asked})
    ):
        return
    wanted = " ".join(f"{key}={as_typed(given[key])}" for key in _CHOICES if given.get(key))
    raise ConfigError(
        f"{manifest.record_dir} was written from {source_text(written)}, not with {wanted}. "
        f"Name another record_dir, or leave {', '.join(k for k in _CHOICES if given.get(k))} out."
    )


def _given(run: Any) -> dict[str, Any]:
    return dict(run.meta_info.get("config_updates") or {})


def _takers(key: str) -> str:
    names = [
        name for name, opened in SOURCES.items() if key in inspect.signature(opened).parameters
    ]
    return " or ".join(f"source={name}" for name in names)


def _same(key: str, value: Any, arguments: Mapping[str, Any]) -> bool:
    if key not in SOURCE_PATHS:
        return bool(list(value) == arguments.get(key))
    return bool(recorded_path(value) == arguments.get(key))


def _same_rows(written: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Tell whether rows at another path are the same: the file moved, or the machine is another."""
    recorded = written.get("arguments") or {}
    if any(
        not _same(key, arguments[key], recorded) for key in arguments if key not in SOURCE_PATHS
    ):
        return False
    if set(arguments) != set(recorded):
        return False
    try:
        return bool(make_source(written["name"], **arguments).digest() == written.get("digest"))
    except DataError:
        return False
