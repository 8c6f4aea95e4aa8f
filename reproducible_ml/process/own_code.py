"""The user's own code that this process has loaded, wherever it lies.

Own is what is neither in the standard library nor installed: the files beside the experiment, a
``src`` folder that is installed editable, a folder on PYTHONPATH. A rerun imports such files from
the same folders again, so these are noted too, and so is code that is in no file.
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import reproducible_ml

LIBRARY = Path(reproducible_ml.__file__).resolve().parent
# Where package managers put what they install.
_INSTALLED = frozenset({"site-packages", "dist-packages", "node_modules"})
# Modules that an editor or debugger puts into the process.
_TOOLS = ("debugpy", "pydevd", "_pydev", "pydev_")
_ARCHIVE_SUFFIXES = (".zip", ".egg", ".pyz", ".whl")
_MAPS = Path("/proc/self/maps")


@dataclass
class LoadedCode:
    """Code that is neither part of Python nor installed.

    Attributes:
        files: Its files: source files, compiled modules, archives.
        roots: The folders and archives that its modules are imported from, in order.
        without_file: What is executed but in no file, in words.
        unreadable: Files of its modules that are gone by now or can't be read.
    """

    files: set[Path] = field(default_factory=set)
    roots: list[Path] = field(default_factory=list)
    without_file: list[str] = field(default_factory=list)
    unreadable: set[Path] = field(default_factory=set)


def loaded_code(base_dir: Path) -> LoadedCode:
    """Return the user's own code that this process has loaded.

    Args:
        base_dir: The directory that holds the experiment's top-level package.
    """
    found = LoadedCode()
    roots: set[Path] = set()
    for name, module, path in _modules(base_dir):
        root = _root(name, module, path)
        if root is not None and _holds_installed(root):
            continue
        roots.update([root] if root is not None else [])
        if not is_readable(path):
            found.unreadable.add(path)
            continue
        found.files.add(path)
        if path.suffix != ".py" and path.suffix not in _ARCHIVE_SUFFIXES:
            found.without_file.append(f"the source code of {path.name} (the file is recorded)")
        _add_functions(name, module, found)
    for path in _mapped(base_dir) - found.files:
        found.files.add(path)
        found.without_file.append(f"the source code of {path.name} (the file is recorded)")
    order = {
        os.path.realpath(one or os.getcwd()): at for at, one in reversed([*enumerate(sys.path)])
    }
    found.roots = sorted(roots, key=lambda one: (order.get(str(one), len(order)), str(one)))
    found.without_file = sorted(set(found.without_file))
    return found


def is_readable(path: Path) -> bool:
    """Tell whether a path is that of a file that this process may read."""
    return path.is_file() and os.access(path, os.R_OK)


def _modules(base_dir: Path) -> Iterator[tuple[str, Any, Path]]:
    """Yield name, module and file of each of the user's own modules."""
    for name, module in list(sys.modules.items()):
        path = _file_of(module)
        if path is None or name.startswith(_TOOLS) or os.path.basename(path).startswith("__auto"):
            continue
        if not _is_installed(os.path.dirname(path), base_dir):
            file = Path(path)
            # The library is recorded whole.
            if LIBRARY not in file.parents:
                yield name, module, file


def _file_of(module: Any) -> str | None:
    name = getattr(module, "__file__", None)
    if not isinstance(name, str):
        return None
    archive = getattr(getattr(module, "__loader__", None), "archive", None)
    if isinstance(archive, str):
        name = archive
    if not os.path.isabs(name):
        return os.path.realpath(name)
    # The same result with one lookup per folder: TensorFlow alone has 3,000 modules in 500 folders.
    file = os.path.join(_real_folder(os.path.dirname(name)), os.path.basename(name))
    return os.path.realpath(file) if os.path.islink(file) else file


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


@cache
def _is_installed(folder: str, base_dir: Path) -> bool:
    """Tell whether a folder holds modules of Python itself or of installed packages.

    The environment may lie in the checkout, and (rarely) the checkout in the environment.
    """
    path, root = Path(folder), base_dir.resolve()
    if _INSTALLED.intersection(path.parts):
        return True
    python = [one for one in _python_folders() if one not in (root, *root.parents)]
    return any(one in (path, *path.parents) for one in python)


@cache
def _python_folders() -> frozenset[Path]:
    paths = sysconfig.get_paths()
    names = [paths[name] for name in ("stdlib", "platstdlib")]
    # Without an environment of its own, Python may share its prefix with everything: /usr.
    names += [sys.prefix] if sys.prefix != sys.base_prefix else []
    return frozenset(Path(os.path.realpath(name)) for name in names)


@cache
def _holds_installed(root: Path) -> bool:
    """Tell whether ``pip install --target`` made a folder."""
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(root))
    except OSError:  # an archive
        return False


def _root(name: str, module: Any, path: Path) -> Path | None:
    """Return the folder or archive that a module is imported from; None if it isn't by its name."""
    if path.suffix in _ARCHIVE_SUFFIXES:
        return path
    if name == "__main__":
        name = getattr(getattr(module, "__spec__", None), "name", None) or path.stem
        name = name.removesuffix(".__main__") if path.stem != "__main__" else name
    parts = name.split(".")
    stem = path.name.partition(".")[0]
    tail = [*path.parts[:-1], *([stem] if stem != "__init__" else [])]
    if len(tail) <= len(parts) or tail[-len(parts) :] != parts:
        return None
    return Path(*tail[: -len(parts)])


def _add_functions(name: str, module: Any, found: LoadedCode) -> None:
    """Find functions of a module whose code is elsewhere: in another file, or in none."""
    values = getattr(module, "__dict__", None) or {}
    for key, value in list(values.items()):
        if type(value) is not FunctionType or value.__module__ != name:
            continue
        file = inspect.unwrap(value).__code__.co_filename
        if file.startswith("<"):
            found.without_file.append(f"{name}.{key}, which was made by exec or typed")
        elif file.endswith(".py") and os.path.isfile(file):
            path = Path(os.path.realpath(file))
            if not _is_installed(str(path.parent), path.parent):
                (found.files if is_readable(path) else found.unreadable).add(path)


def _mapped(base_dir: Path) -> set[Path]:
    """Return libraries below the experiment's folder that the process has loaded without import."""
    try:
        lines = _MAPS.read_text("utf-8", "replace").splitlines()
    except OSError:  # another system than Linux
        return set()
    root = base_dir.resolve()
    names = {line.split(maxsplit=5)[5] for line in lines if " r-xp " in line and line.count("/")}
    paths = {Path(name) for name in names if name.startswith("/") and os.path.isfile(name)}
    return {
        path
        for path in paths
        if root in path.parents and not _is_installed(str(path.parent), base_dir)
    }
