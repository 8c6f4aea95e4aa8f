"""Package namespaces that load a module when one of its names is first used."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package whose public names load on first use.

    The package lists its names once, as imports under ``if TYPE_CHECKING:``. Type checkers and the
    import contract read these lines, and so does this function. TensorFlow, Sacred and pymongo are
    then loaded only if they are needed, and packages may refer to each other as long as their
    modules do so in one direction.

    Args:
        package: The package's ``__name__``; call this at the end of its ``__init__``.
    """
    homes = _homes(inspect.getsource(sys.modules[package]))

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes[name]
        value = getattr(importlib.import_module(module), original)
        # Python calls ``__getattr__`` only for missing names, so this is the last call for it.
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        # Completion in a notebook and the documentation list names that have not been loaded yet.
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names


def _homes(text: str) -> dict[str, tuple[str, str]]:
    """Read public name -> (module, name in it) from the imports under ``if TYPE_CHECKING:``."""
    return {
        alias.asname or alias.name: (str(statement.module), alias.name)
        for block in ast.parse(text).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
