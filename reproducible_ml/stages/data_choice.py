"""Whether the source that a run names is the one that its data set was, or may be, written from.

A data set that is there is read whatever ``source`` says, since trainings go on where the raw data
is gone. So a source that was asked for by hand, and isn't what the data set holds, is an error: the
record would state it. What a preset brings along counts as a default.
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

# What says where a source's rows lie; and with them, what a source takes.
SOURCE_PATHS = ("npz_file", "image_dir")
SOURCE_KEYS = (*SOURCE_PATHS, "image_shape")
_CHOICES = ("source", *SOURCE_KEYS)


def check_place(run: Any, config: Mapping[str, Any]) -> None:
    """Refuse to write a source into the folder that is the default of another.

    Args:
        run: The running Sacred run.
        config: Its configuration; without ``source`` there is nothing to check.

    Raises:
        ConfigError: ``source`` was set and ``record_dir`` was not, or a path was set that the
            source does not take.
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
    # "with digits source=folder" would put photographs into what digits names.
    of_preset = "source" in given and "record_dir" not in given and "record_dir" in changed
    # But "with digits source=digits" says twice what digits names.
    is_its_own = os.path.basename(str(config["record_dir"])) == source
    if (of_another or of_preset) and not is_its_own:
        raise ConfigError(
            f"{config['record_dir']} is where the data set of another source goes. Name a folder "
            f"for source={source} too, for example record_dir=data/{source}."
        )


def check_source(run: Any, config: Mapping[str, Any], manifest: Manifest) -> None:
    """Refuse a source that was asked for where the data set was written from another.

    Args:
        run: The running Sacred run.
        config: Its configuration.
        manifest: Of the data set that is there.

    Raises:
        ConfigError: They are not the same.
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
    """Tell whether rows that lie elsewhere now are the same: a moved file, or another machine."""
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
