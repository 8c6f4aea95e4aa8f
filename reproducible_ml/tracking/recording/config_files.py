"""Files with settings, named after ``with`` on a command line, read as plain values.

Sacred reads JSON through jsonpickle and ``.pickle`` files through pickle, both of which run what
the file names. ``read_safely`` replaces that, for plain Sacred in this process too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

from reproducible_ml.tracking.packing import unpacked
from reproducible_ml.tracking.sacred_parts import arg_parser, config_files
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.text import suggestion

_SUFFIXES = (".json", ".yaml", ".yml")
_PICKLE = ".pickle"
_EXAMPLES = {".json": '{"seed": 1}', ".yaml": "seed: 1", ".yml": "seed: 1"}
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
    is_file_name = path.suffix in (*_SUFFIXES, _PICKLE) or len(path.parts) > 1
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
    if path.suffix not in (*_SUFFIXES, _PICKLE):
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
        return config_files.load_config_file(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error


def read_safely() -> None:
    """Make Sacred read configuration files and arguments as plain values."""
    handlers = config_files.HANDLER_BY_EXT
    handlers[".json"].load = _read_json
    handlers[_PICKLE].load = _refuse_pickle
    for extension in (".yaml", ".yml"):
        if extension in handlers:
            handlers[extension].load = _read_yaml
    arg_parser.restore = _read_argument  # type: ignore[attr-defined]
    config_files.restore = unpacked  # type: ignore[attr-defined]


def _read_json(file: IO[str]) -> Any:
    return _read(file, json.load, "JSON")


def _read_yaml(file: IO[str]) -> Any:
    import yaml  # type: ignore[import-untyped]

    return _read(file, yaml.safe_load, "YAML")


def _read(file: IO[str], load: Callable[[IO[str]], Any], kind: str) -> Any:
    name = file.name
    try:
        values = load(file)
    except RecursionError:
        raise ConfigError(f"{name} is nested too deep; flatten it.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{name} is not valid JSON: {error.msg} at {where}.") from error
    except Exception as error:  # YAML's have a class of their own, which need not be imported
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        if "could not determine a constructor for the tag" in what and "python" in what:
            what += "; such a tag would run code: write a number, string, list or mapping"
        raise ConfigError(f"{name} is not valid {kind}: {what}{where}.") from error
    return unpacked(values, name)


def _refuse_pickle(file: IO[bytes]) -> Any:
    raise ConfigError(
        f"{file.name} is a pickle, which can run any code when it is read; write the settings as "
        "JSON or YAML."
    )


def _read_argument(value: Any) -> Any:
    """Unpack a literal of the command line, which Sacred gives to jsonpickle."""
    try:
        return unpacked(value, "The command line")
    except ConfigError as error:
        # Sacred takes a ValueError, which this is, for a string that is no literal.
        raise TrackingError(str(error)) from None
