"""The table of sources, and how one is opened: by its name, or again from what a manifest records.

A source of your own is either an entry that your module adds to ``SOURCES``, or an object of a
subclass of ``Source``. A manifest records the module and the name of what opened it.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import typing
from collections.abc import Callable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import Source, code_of, recorded_path
from reproducible_ml.datasets.sources.csv_file import csv
from reproducible_ml.datasets.sources.digits import digits
from reproducible_ml.datasets.sources.folder import folder
from reproducible_ml.datasets.sources.mnist import mnist
from reproducible_ml.datasets.sources.npz import NpzArraySource, npz
from reproducible_ml.datasets.sources.parquet import parquet
from reproducible_ml.datasets.sources.tfds import prepared_folder, tfds
from reproducible_ml.utils.errors import ConfigError, DataError, chosen
from reproducible_ml.utils.text import did_you_mean

# Name -> function of keyword arguments; it gets those that it takes.
SOURCES: dict[str, Callable[..., Source]] = {
    "csv": csv,
    "digits": digits,
    "folder": folder,
    "mnist": mnist,
    "npz": npz,
    "parquet": parquet,
    "tfds": tfds,
}
# What stands before the name of a data set that TFDS knows by it: tfds:mnist.
_TFDS_NAME = "tfds:"
_PATH_SUFFIXES = ("_file", "_dir")
# What an argument was before there was any such: a manifest that does not record it means this.
_BEFORE: dict[str, dict[str, Any]] = {"npz": {"eval_seed": None}}


def source_keys(name: str) -> tuple[str, ...]:
    """Return the arguments that a source takes; empty for an unknown source.

    ``tfds:mnist`` says which folder it is, so it takes no ``tfds_dir``.
    """
    if name.startswith(_TFDS_NAME):
        return tuple(key for key in source_keys("tfds") if key != "tfds_dir")
    return _taken(SOURCES[name])[0] if name in SOURCES else ()


def is_source(name: str) -> bool:
    """Tell whether a name stands for a source: one in ``SOURCES``, or such as ``tfds:mnist``."""
    return name in SOURCES or name.startswith(_TFDS_NAME)


def check_source_name(name: str) -> None:
    """Refuse a name that stands for no source.

    Raises:
        ConfigError: The source is unknown.
    """
    if not is_source(name):
        chosen(SOURCES, name, "source")


def is_name_of(name: str, recorded: Mapping[str, Any]) -> bool:
    """Tell whether a source's name is that of a recorded source.

    Args:
        name: A name in ``SOURCES``, or such as ``tfds:mnist``, ``tfds:mnist:3.0.1`` and
            ``tfds:glue/cola``. The data need not be there.
        recorded: The manifest's ``source``.
    """
    if not name.startswith(_TFDS_NAME):
        return bool(name == recorded.get("name"))
    wanted, _, version = name[len(_TFDS_NAME) :].partition(":")
    *parents, found = Path((recorded.get("arguments") or {}).get("tfds_dir") or ".").parts or ("",)
    dataset = wanted.split("/")
    return (
        recorded.get("name") == "tfds"
        and version in ("", found)
        # Without a name of the configuration, TFDS takes the data set's first.
        and dataset in (parents[-len(dataset) :], parents[-1 - len(dataset) : -1])
    )


def is_path(key: str) -> bool:
    """Tell whether an argument of a source names raw data: it ends in ``_file`` or ``_dir``."""
    return key.endswith(_PATH_SUFFIXES)


def _taken(opened: Callable[..., Source]) -> tuple[tuple[str, ...], bool]:
    """Return the names of a function's arguments, and whether it takes any others."""
    found = inspect.signature(opened).parameters.values()
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    names = tuple(one.name for one in found if one.kind not in several)
    return names, any(one.kind is inspect.Parameter.VAR_KEYWORD for one in found)


def make_source(name: str, **arguments: Any) -> Source:
    """Open a source by name.

    Args:
        name: A name in ``SOURCES``, or the one that a manifest records; or ``tfds:mnist`` for a
            data set that TFDS has prepared in its own folder.
        **arguments: Those of the source, such as ``npz_file`` for mnist and npz, ``image_dir`` and
            ``image_shape`` for folder, ``csv_file`` for csv; those of other sources are ignored.

    Raises:
        ConfigError: The source is unknown, or no source has an argument of that name.
        DataError: Its data can't be read.
    """
    if name == NpzArraySource.name:
        # Not in the table, since it needs a key, for which commands have no option. `repair` and
        # the check of a named source open it with the arguments that the manifest records.
        return NpzArraySource(**arguments)
    if name.startswith(_TFDS_NAME):
        arguments = {**arguments, "tfds_dir": prepared_folder(name[len(_TFDS_NAME) :])}
        name = "tfds"
    opened_by = chosen(SOURCES, name, "source")
    names, takes_all = _taken(opened_by)
    known = {*names, *(one for source in SOURCES.values() for one in _taken(source)[0])}
    # A source of one's own may take any. Those of this library take and drop what others need.
    takes_any = takes_all and not opened_by.__module__.startswith(f"{__package__}.")
    for key in arguments:
        # Dropped, a misspelt one would be its default without a word.
        if key not in known and not takes_any:
            near = did_you_mean(key, known) or "."
            raise ConfigError(
                f"No source has an argument {key!r}{near} Those of {name}: "
                f"{', '.join(names) or 'none'}."
            )
    return _opened(opened_by, arguments)


def _opened(opened_by: Callable[..., Source], arguments: Mapping[str, Any]) -> Source:
    names, takes_all = _taken(opened_by)
    source = opened_by(**{k: v for k, v in arguments.items() if takes_all or k in names})
    source.opened_by = code_of(opened_by)
    # What a source of one's own does not record itself: it can't be opened again without.
    for key in names:
        value = arguments.get(key)
        if value is not None and key not in source.arguments:
            source.arguments[key] = recorded_path(value) if is_path(key) else value
    return source


def reopen(recorded: Mapping[str, Any], record_dir: str | Path) -> Source:
    """Open the source that a manifest records.

    Args:
        recorded: The manifest's ``source``: name, arguments, and code if it is a user's own.
        record_dir: Folder of the data set; no code is imported from there.

    Raises:
        ConfigError: The source is unknown.
        DataError: Its module is not found, holds no such source, or its data can't be read.
    """
    name, code = str(recorded["name"]), recorded.get("code")
    arguments = {**_BEFORE.get(name, {}), **recorded["arguments"]}
    if not code:
        return make_source(name, **arguments)
    module, _, qualified = str(code).partition(":")
    _import(module, Path(record_dir))
    opened_by = SOURCES.get(name) or _found(module, qualified)
    try:
        return _opened(opened_by, arguments)
    except TypeError as error:
        raise DataError(
            f"The source {name} ({code}) can't be opened with the arguments that were recorded, "
            f"{dict(arguments)}: {error}. Its `arguments` must be those of its constructor."
        ) from error


def _import(module: str, record_dir: Path) -> None:
    """Import a module from an installed package or the working directory."""
    if module in sys.modules:
        return
    here = os.getcwd()
    # Found step by step, since the import itself would execute what it finds.
    path = [*sys.path, here]
    for part in module.split("."):
        spec = PathFinder.find_spec(part, path) if part.isidentifier() else None
        if spec is None:
            raise DataError(
                f"The source was opened by the module {module}, which is not found from {here}. "
                "Run this in the folder of the project, or install it."
            )
        path = list(spec.submodule_search_locations or ())
        for place in [spec.origin] if spec.origin else path:
            # A data set may come from anywhere: what it brings along is data and not code.
            if record_dir.resolve() in (Path(place).resolve(), *Path(place).resolve().parents):
                raise DataError(
                    f"{place} is in the folder of the data set; move it out to use it as code."
                )
    if here not in sys.path:
        sys.path.append(here)
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"The module of the source, {module}, can't be imported: {error}"
        ) from error


def _found(module: str, qualified: str) -> Callable[..., Source]:
    """Return a subclass of ``Source``, or a function that is annotated to return one."""
    found: Any = sys.modules[module]
    for part in qualified.split("."):
        found = getattr(found, part, None)
    try:
        made = found if isinstance(found, type) else typing.get_type_hints(found).get("return")
    except (TypeError, NameError):
        made = None
    # A name in a manifest must not call just any function.
    if not isinstance(made, type) or not issubclass(made, Source):
        raise DataError(
            f"{module} has no source {qualified}: expected a subclass of Source, a function that "
            "is annotated to return one, or one that the module adds to SOURCES."
        )
    return typing.cast("Callable[..., Source]", found)
