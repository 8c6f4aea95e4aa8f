"""Files with settings, named after ``with`` on a command line, checked before Sacred reads them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.sacred_parts import load_config_file
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.text import suggestion

_SUFFIXES = (".json", ".yaml", ".yml", ".pickle")
_EXAMPLES = {
    ".json": '{"seed": 1}',
    ".yaml": "seed: 1",
    ".yml": "seed: 1",
    ".pickle": "the dictionary {'seed': 1}",
}
_KINDS = {list: "a list", str: "a string", int: "an integer", float: "a number", bool: "a boolean"}


def check_config_file(name: str, presets: Collection[str]) -> None:
    """Check what a command line names after ``with``: a preset, or a file with settings.

    Args:
        name: The word without "=".
        presets: The experiment's named configurations.

    Raises:
        ConfigError: There is neither, or the file doesn't hold a mapping of names to values.
    """
    path = Path(name)
    is_file_name = path.suffix in _SUFFIXES or len(path.parts) > 1
    if not path.exists() and not is_file_name and name not in presets:
        raise ConfigError(
            f"There is no named configuration {name!r}{suggestion(name, sorted(presets))}"
        )
    if not path.is_file():
        if name in presets:
            return
        if path.exists():
            raise ConfigError(f"{name} is not a file with settings ({' or '.join(_SUFFIXES)}).")
        there = [one.name for one in path.parent.glob("*") if one.suffix in _SUFFIXES]
        raise ConfigError(
            f"There is no file {name} with settings{suggestion(path.name, sorted(there))}"
        )
    if path.suffix not in _SUFFIXES:
        hidden = (
            f" It hides the named configuration {name!r}: rename it." if name in presets else ""
        )
        raise ConfigError(
            f"The file {name} must end with {' or '.join(_SUFFIXES)} to be read as settings."
            f"{hidden}"
        )
    found = _content(path)
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"{name} must hold settings by name, such as {_EXAMPLES[path.suffix]}; found "
            f"{'nothing' if found is None else _KINDS.get(type(found), type(found).__name__)}."
        )
    for key in found:
        if not isinstance(key, str):
            raise ConfigError(f"{name} has a key that is not a string: {key!r}.")


def _content(path: Path) -> Any:
    """Read a file as Sacred will; raise ``ConfigError`` if it can't be read."""
    try:
        return load_config_file(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{path} is not valid JSON: {error.msg} at {where}.") from error
    except Exception as error:  # YAML's and pickle's have no common class, and neither is imported
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        kind = "YAML" if path.suffix in (".yaml", ".yml") else path.suffix[1:]
        raise ConfigError(f"{path} is not valid {kind}: {what}{where}.") from error
