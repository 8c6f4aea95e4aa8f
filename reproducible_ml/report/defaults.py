"""Defaults of a run's configuration, read from its recorded source files without executing them.

A configuration function of this project assigns literals, with a comment for each::

    @ex.config
    def config():
        batch_size = 32  # images per step

So the record alone shows which values are not the default, and what they mean.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproducible_ml.tracking.reproduce import equal
from reproducible_ml.tracking.runs import flat

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Run

_CONFIG = "config"


@dataclass(frozen=True)
class Default:
    """A default of the configuration, with the comment on its line."""

    value: Any
    comment: str


@dataclass(frozen=True)
class Setting:
    """One value of a run's configuration.

    Attributes:
        name: Dotted key.
        value: The value.
        default: Default in the recorded source file; None if it has none.
        changed: Whether the value differs from the default or, without one, was given by hand.
    """

    name: str
    value: Any
    default: Default | None
    changed: bool


def settings(run: Run) -> list[Setting]:
    """Return a run's configuration, sorted by name, each value with its default."""
    defaults = config_defaults(run)
    given = flat((run.entry.get("meta") or {}).get("config_updates") or {}, "")
    found = []
    for name, value in sorted(flat(run.config, "").items()):
        default = defaults.get(name)
        changed = name in given if default is None else not equal(value, default.value)
        # Filled in for a None, so the user did not change it.
        changed = changed and name not in run.filled_in
        found.append(Setting(name, value, default, changed))
    return found


def config_defaults(run: Run) -> dict[str, Default]:
    """Read the literals of the ``@ex.config`` functions of a run's main file, by dotted key."""
    main = str((run.entry.get("experiment") or {}).get("mainfile") or "")
    source = run.sources.get(main)
    if source is None:
        return {}
    try:
        text = source.decode("utf-8")
        tree = ast.parse(text)
        comments = _comments(text)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return {}
    found: dict[str, Default] = {}
    for node in _config_assignments(tree):
        name = node.targets[0]
        assert isinstance(name, ast.Name)
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            continue  # computed from other values, so there is no default to show
        comment = comments.get(node.end_lineno or node.lineno, "")
        if isinstance(value, dict) and value:
            for key, leaf in flat(value, f"{name.id}.").items():
                found[key] = Default(leaf, comment)
        else:
            found[name.id] = Default(value, comment)
    return found


def _config_assignments(tree: ast.Module) -> Iterator[ast.Assign]:
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = [one.attr for one in function.decorator_list if isinstance(one, ast.Attribute)]
        if _CONFIG not in decorators:
            continue
        for node in function.body:
            if (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
            ):
                yield node


def _comments(text: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokens
        if token.type == tokenize.COMMENT and token.line.strip() != token.string.strip()
    }
