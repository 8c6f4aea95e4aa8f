"""Digests of parsed code, which change with what the code does and not with where it lies.

A definition (a function, a class, a constant of a module) is known by its name alone and digested
as Python parses it. So these are the same code: a definition in another module, in another order
or on other lines; other comments, docstrings, blank lines, quotes and line breaks; another text of
an error that is raised. These are changes: another value, operation, argument, default, decorator,
name or annotation; a definition that came or went; an import of something else from a package
outside this one.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SHOWN_DIGITS = 16
# Where a module's statements that define nothing are counted.
STATEMENTS = "statements of modules"
# How a value is used or was written, which its place in the tree says already.
_SAYS_NOTHING = ("ctx", "kind", "type_comment")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parsed_code(files: Iterable[Path], package: str | None = None) -> dict[str, str]:
    """Digest every definition of some source files.

    Args:
        files: Python files; their order and their folders do not matter.
        package: From which module of this package a name is imported does not matter either, since
            imports follow every move; None counts all imports.

    Returns:
        Name of the definition -> the first 16 hexadecimal digits of its SHA-256. Definitions of
        one name in several modules are digested together.

    Raises:
        SyntaxError: A file is not of a Python that this one parses.
    """
    reader = _Reader(package)
    found: dict[str, set[str]] = {}
    for file in files:
        for name, text in reader.definitions(ast.parse(file.read_bytes(), str(file))):
            found.setdefault(name, set()).add(text)
    return {
        name: hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:SHOWN_DIGITS]
        for name, texts in sorted(found.items())
    }


class _Reader:
    """Writes definitions as text that is the same in every Python."""

    def __init__(self, package: str | None) -> None:
        self._package = package

    def definitions(self, tree: ast.Module) -> Iterator[tuple[str, str]]:
        """Yield name and text of what a module defines, imports and does."""
        for node in _without_docstring(tree.body):
            if isinstance(node, _DEFINITIONS):
                yield node.name, self._text(node)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                for name, text in self._imports(node):
                    yield f"import {name}", text
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = ", ".join(ast.unparse(target) for target in targets)
                # What a package calls public computes nothing.
                if names != "__all__":
                    yield names, self._text(node)
            elif not _is_for_type_checkers(node):
                yield STATEMENTS, self._text(node)

    def _imports(self, node: Any) -> Iterator[tuple[str, str]]:
        """Yield each name that an import binds, with where it comes from."""
        module = getattr(node, "module", None) or ""
        if module == "__future__":
            return
        own = f"{module}.".startswith(f"{self._package}.")
        for alias in node.names:
            # A name from the same package is digested where it is defined.
            if not own or alias.asname:
                yield alias.asname or alias.name, f"{'' if own else module} {alias.name}"

    def _text(self, node: Any) -> str:
        if isinstance(node, list):
            return f"[{' '.join(map(self._text, node))}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return f"Import({sorted(self._imports(node))})"
        if isinstance(node, ast.Raise):
            # The message ends a computation and changes none.
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            return f"Raise({self._text(raised)})"
        parts = []
        for name, value in ast.iter_fields(node):
            # Pythons differ in which empty fields a node has.
            if name in _SAYS_NOTHING or value is None or value == []:
                continue
            if name == "body" and isinstance(node, _DEFINITIONS):
                value = _without_docstring(value)
            parts.append(f"{name}={self._text(value)}")
        return f"{type(node).__name__}({' '.join(parts)})"


def _is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    return body[1:] if isinstance(first, ast.Constant) and isinstance(first.value, str) else body
