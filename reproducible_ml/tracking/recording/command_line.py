"""The words of an experiment's command line, checked before Sacred parses them.

Sacred's parser answers most mistakes with the usage of a program named "dummy", or with a
traceback. Here each of them is one sentence with the command that was probably meant.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from reproducible_ml.tracking.runs import flat
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.text import nearest, suggestion

WITH, HELP = "with", "help"
_CAPTURES = ("no", "sys", "fd")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Sacred's option -> the package that it imports.
_NEEDS = {"--sql": "sqlalchemy", "--tiny_db": "tinydb", "--s3": "boto3"}


def program(experiment: Any, argv: Sequence[str] = ()) -> list[str]:
    """Return the words that start an experiment as this process was started.

    Args:
        experiment: The experiment.
        argv: The command line of the process.
    """
    module, file = experiment.origin.module, experiment.origin.file
    started = argv[0] if argv else ""
    by_name = getattr(sys.modules.get("__main__"), "__spec__", None) is not None
    if file is not None and not by_name and os.path.realpath(started) == str(file):
        return ["python", started]
    return ["python", "-m", module] if module else [started]


def words_of(argv: str | Sequence[Any]) -> list[str]:
    """Return a command line as words, the program first."""
    return shlex.split(argv) if isinstance(argv, str) else [str(word) for word in argv]


def mistake(experiment: Any, argv: Sequence[str]) -> str:
    """Return what is wrong with a command line.

    Args:
        experiment: The experiment.
        argv: The words of the command line, with the program first.

    Returns:
        A sentence with what was probably meant; empty if nothing is wrong.
    """
    line = _Line(experiment, argv)
    return line.unknown_option() or line.missing_value() or line.misplaced()


class _Line:
    """A command line, separated into its options with their values, and its other words."""

    def __init__(self, experiment: Any, argv: Sequence[str]) -> None:
        self.experiment = experiment
        self.program = program(experiment, argv)
        options = list(experiment.all_cli_options)
        self.long = {one.get_flag(): one for one in options}
        self.short = {one.get_short_flag(): one for one in options}
        self.commands = list(dict(experiment.gather_commands()))
        self.presets = list(dict(experiment.gather_named_configs()))
        self.options: list[str] = []
        self.others: list[str] = []
        self.unknown = ""
        self.lacking = ""
        rest = iter(argv[1:])
        for word in rest:
            if not word.startswith("-") or word in ("-", "--"):
                self.others.append(word)
                continue
            if not self._known(word):
                self.unknown = self.unknown or word
                continue
            self.options.append(word)
            if self._wants_value(word):
                value = next(rest, None)
                if value is None:
                    self.lacking = word
                else:
                    self.options.append(value)

    def _option(self, word: str) -> Any:
        if word.startswith("--"):
            name = word.partition("=")[0]
            # The parser takes the beginning of a long option too, if it is that of one only.
            begun = [one for flag, one in self.long.items() if flag.startswith(name)]
            return self.long.get(name) or (begun[0] if len(begun) == 1 else None)
        return self.short.get(word[:2])

    def _known(self, word: str) -> bool:
        option = self._option(word)
        if option is None or word.startswith("--") or option.arg is not None:
            return option is not None
        # Flags may stand together: -du.
        return len(word) == 2 or self._known(f"-{word[2:]}")

    def _wants_value(self, word: str) -> bool:
        option = self._option(word)
        if word.startswith("--"):
            return option.arg is not None and "=" not in word
        if option.arg is None:
            return len(word) > 2 and self._wants_value(f"-{word[2:]}")
        return len(word) == 2

    def unknown_option(self) -> str:
        if not self.unknown:
            return ""
        name, equals, value = self.unknown.lstrip("-").partition("=")
        near = nearest(name, self._keys())
        flag = self.unknown.partition("=")[0]
        if near and (equals or not nearest(flag, self.long)):
            meant = f"{near[0]}={value}" if equals else f"{near[0]}=VALUE"
            settings = [*self._settings(), meant]
            return f'There is no option {flag}; settings go after "with": {self._typed(settings)}'
        return f"There is no option {flag}{suggestion(flag, self.long)}"

    def missing_value(self) -> str:
        return f"{self.lacking} needs a value after it." if self.lacking else ""

    def misplaced(self) -> str:
        first, *rest = self.others or [""]
        if first == WITH:
            return "" if rest else f'"with" needs settings after it: {self._typed(["KEY=VALUE"])}'
        if first == HELP:
            unknown = rest[:1] if rest[:1] and rest[0] not in self.commands else []
            return "".join(f"There is no command {one!r}{self._commands(one)}" for one in unknown)
        if first in self.commands:
            if not rest or rest[0] == WITH:
                needs = rest == [WITH]
                return f'"with" needs settings after it: {first} with KEY=VALUE' if needs else ""
            return f'settings go after "with": {self._typed(self._settings(rest), [first])}'
        if not first:
            return ""
        if "=" in first or first in self.presets:
            return f'settings go after "with": {self._typed(self._settings())}'
        if nearest(first, [WITH]) and rest:
            return f'There is no command {first!r}; did you mean "with"? {self._typed(rest)}'
        return f"There is no command {first!r}{self._commands(first)}"

    def _commands(self, name: str) -> str:
        near = nearest(name, self.presets)
        if near and not nearest(name, self.commands):
            return f"; did you mean the settings {near[0]!r}? {self._typed([near[0]])}"
        return suggestion(name, self.commands)

    def _keys(self) -> list[str]:
        defaults: dict[str, Any] = {}
        for one in self.experiment.configurations:
            defaults.update(one(preset=defaults))
        return list(flat(defaults, ""))

    def _settings(self, words: Sequence[str] | None = None) -> list[str]:
        words = self.others if words is None else words
        return [word for word in words if word != WITH]

    def _typed(self, settings: Sequence[str], command: Sequence[str] = ()) -> str:
        return shlex.join([*self.program, *command, *self.options, WITH, *settings])


def typed_texts(words: Iterable[str]) -> dict[str, str]:
    """Return the text of each setting as it was typed, since reading 2024_01_01 changes it."""
    return {
        key.strip(): text.strip()
        for key, equals, text in (w.partition("=") for w in words)
        if equals
    }


@dataclass(frozen=True)
class _Rule:
    expected: str
    fits: Callable[[str], bool]


def _is_number(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _is_any_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_RULES = {
    "--beat-interval": _Rule("seconds above 0", _is_number),
    "--capture": _Rule(f"one of {', '.join(_CAPTURES)}", _CAPTURES.__contains__),
    "--loglevel": _Rule(
        f"a number from 0 to 50 or one of {', '.join(_LEVELS)}",
        lambda text: text in _LEVELS or (text.isdecimal() and int(text) <= 50),
    ),
    "--priority": _Rule("a number", _is_any_number),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Check the values of Sacred's own options.

    Args:
        options: Values by flag, as Sacred parses or ``ex.run`` takes them.

    Raises:
        ConfigError: A value is invalid, or an option needs a package that is not installed.
    """
    for flag, rule in _RULES.items():
        value = options.get(flag)
        if value is not None and value is not False and not rule.fits(str(value)):
            raise ConfigError(f"{flag} must be {rule.expected}, found {value!r}.")
    for flag, package in _NEEDS.items():
        if options.get(flag) and find_spec(package) is None:
            raise ConfigError(
                f"{flag} needs the package {package}, which is not installed: "
                f"python -m pip install {package}"
            )
