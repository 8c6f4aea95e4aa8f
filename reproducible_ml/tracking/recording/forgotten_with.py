"""Advice for a command line that has settings without ``with`` before them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any


def forgotten_with(experiment: Any, argv: str | Sequence[Any]) -> str:
    """Return the error for a setting in the place where Sacred expects a command.

    Args:
        experiment: The experiment.
        argv: The command line, with the program first.

    Returns:
        A sentence with the correct command; empty if the first word is not a setting.
    """
    words = shlex.split(argv) if isinstance(argv, str) else [str(word) for word in argv]
    options, others = _separated(words[1:], experiment.all_cli_options)
    first = others[0] if others else ""
    if first in dict(experiment.gather_commands()):
        return ""
    if "=" not in first and first not in dict(experiment.gather_named_configs()):
        return ""
    module = experiment.origin.module
    program = ["python", "-m", module] if module else words[:1]
    settings = [word for word in others if word != "with"]
    return f'settings go after "with": {shlex.join([*program, *options, "with", *settings])}'


def _separated(words: Sequence[str], known: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Separate options and their values from all other words."""
    takes_value = {
        flag
        for option in known
        if option.arg is not None
        for flag in (option.get_flag(), option.get_short_flag())
    }
    options, others = [], []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            others.append(word)
            continue
        options.append(word)
        if word in takes_value:
            options += [value for value in [next(rest, None)] if value is not None]
    return options, others
