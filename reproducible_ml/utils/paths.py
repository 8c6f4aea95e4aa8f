"""Folders and the paths in them."""

from __future__ import annotations

import os
from typing import Union

PathLike = Union[str, "os.PathLike[str]"]


def mkdir_and_join(folder: PathLike, *names: str) -> str:
    """Make a folder, and its parents, unless it is there; return the path of a name in it.

    Args:
        folder: The folder.
        names: What follows it in the path.
    """
    os.makedirs(folder, exist_ok=True)
    return os.path.join(os.fspath(folder), *names)
