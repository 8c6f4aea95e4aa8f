"""Folders and the paths in them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

PathLike = Union[str, "os.PathLike[str]"]


def mkdir_and_join(folder: PathLike, *names: str) -> str:
    """Make a folder, and its parents, unless it is there; return the path of a name in it.

    Args:
        folder: The folder.
        names: What follows it in the path.
    """
    os.makedirs(folder, exist_ok=True)
    return os.path.join(os.fspath(folder), *names)


def complete_folder(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Have the shell complete a folder: the ``shell_complete`` of a command's parameter.

    The type ``click.Path`` would complete it too, but also refuse values, and in other words than
    the commands do.
    """
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="dir")]


def own_command() -> str:
    """Return how ``reproducible-ml`` of this environment is typed in the working directory."""
    own = Path(sys.executable).with_name("reproducible-ml")
    found = shutil.which("reproducible-ml")
    if found and Path(found) == own:
        return "reproducible-ml"
    if not own.exists():
        return f"{sys.executable} -m reproducible_ml.cli"
    try:
        return str(own.relative_to(Path.cwd()))
    except ValueError:
        return str(own)
