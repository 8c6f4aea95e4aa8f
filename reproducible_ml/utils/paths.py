"""Helpers for folders, their completion, and the path of this project's command."""

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
    """Create a folder and its parents if needed, and return a path in it.

    Args:
        folder: The folder.
        names: The parts of the path after the folder.
    """
    os.makedirs(folder, exist_ok=True)
    return os.path.join(os.fspath(folder), *names)


def cache_folder() -> Path:
    """Return the folder of what can be made again, in the user's cache."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(folder) / "reproducible-ml"


def complete_folder(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Let the shell complete a folder; passed as ``shell_complete`` of a command's parameter.

    The type ``click.Path`` would do this, too, but it would also refuse values, with messages that
    differ from those of the commands.
    """
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="dir")]


def own_command() -> str:
    """Return what to type in the working directory to run this environment's command."""
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
