"""Sources of rows, in a table with one signature for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reproducible_ml.datasets.sources.base import ArraySource, Source, recorded_path
from reproducible_ml.datasets.sources.digits import digits
from reproducible_ml.datasets.sources.folder import FolderSource, folder
from reproducible_ml.datasets.sources.mnist import mnist
from reproducible_ml.datasets.sources.npz import NpzArraySource, npz
from reproducible_ml.utils.errors import chosen

# Name -> function of keyword arguments; each ignores the arguments of the others.
SOURCES: dict[str, Callable[..., Source]] = {
    "digits": digits,
    "folder": folder,
    "mnist": mnist,
    "npz": npz,
}

__all__ = [
    "SOURCES",
    "ArraySource",
    "FolderSource",
    "NpzArraySource",
    "Source",
    "digits",
    "folder",
    "make_source",
    "mnist",
    "npz",
    "recorded_path",
]


def make_source(name: str, **arguments: Any) -> Source:
    """Open a source by name.

    Args:
        name: A name in ``SOURCES``, or the one that a manifest records.
        **arguments: ``npz_file`` for mnist and npz, ``image_dir`` and ``image_shape`` for folder.

    Raises:
        ConfigError: There is no such source.
        DataError: Its data can't be read.
    """
    if name == NpzArraySource.name:
        # Not in the table, since it needs a key, for which commands have no option. `repair` and
        # the check of a named source open it with the arguments that the manifest records.
        return NpzArraySource(**arguments)
    return chosen(SOURCES, name, "source")(**arguments)
