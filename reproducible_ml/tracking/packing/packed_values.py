"""Values that JSON does not hold, packed in jsonpickle's form and unpacked without jsonpickle.

jsonpickle imports and calls whatever a JSON object names, so a file from elsewhere would run its
author's code. Only these are unpacked here, by code of our own: tuples, sets, bytes, complex and
exact numbers, paths, dates and times, slices and ranges, and NumPy's numbers and arrays of numbers
or strings. A member of an enumeration is looked up in a module that is already imported. Anything
else is refused.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import UserDict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, EnumMeta
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

from reproducible_ml.tracking.packing.packed_leaves import NAMED, leaf, reduced
from reproducible_ml.utils.errors import ConfigError

# A deeper value can't be stored in MongoDB, and functions that call themselves would not end well.
DEEPEST = 100
# More than any configuration holds. A YAML file of ten lines can stand for more, by its aliases.
MOST_VALUES = 1_000_000
_TAG = "py/"
_KEY_TAG = "json://"
# Not one of jsonpickle's: it would import the module of the enumeration.
_MEMBER = "py/enum"
_LEAVES = (PurePath, bytes, complex, datetime, date, time, timedelta, timezone)
_NUMBERS = (Decimal, Fraction, UUID, slice, range, frozenset)


def depth_of(value: Any, limit: int = DEEPEST) -> int:
    """Return how deep dictionaries and lists are nested: 0 for a number; at most ``limit`` + 1."""
    level, depth = _nested([value]), 0
    while level and depth <= limit:
        depth += 1
        level = _nested(
            [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        )
    return depth


def _nested(values: list[Any]) -> list[Any]:
    return [one for one in values if isinstance(one, (dict, list, tuple)) and one]


def packed(value: Any) -> Any:
    """Return a value as JSON types, from which ``unpacked`` makes it again.

    Raises:
        TypeError: It is or holds a value of a type that can't be unpacked.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return {_MEMBER: [type(value).__module__, type(value).__qualname__, value.name]}
    if isinstance(value, dict):
        return {_packed_key(key): packed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [packed(item) for item in value]
    kind = type(value)
    if kind is UserDict:
        return {"py/object": "collections.UserDict", "data": packed(value.data)}
    if kind is tuple:
        return {"py/tuple": [packed(item) for item in value]}
    if kind is set:
        return {"py/set": _in_order(value)}
    if kind is frozenset:
        arguments = {"py/tuple": [_in_order(value)]}
        return {"py/reduce": [{"py/type": "builtins.frozenset"}, arguments]}
    if kind.__module__ == "numpy":
        return _packed_array(value)
    if kind in _NUMBERS or isinstance(value, _LEAVES):
        from reproducible_ml.tracking.sacred_parts import flatten

        return flatten(value)  # type: ignore[no-untyped-call]
    raise TypeError(f"a {kind.__name__} can't be packed")


def _in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    # The order of a set depends on the process.
    return sorted(map(packed, values), key=lambda one: json.dumps(one, sort_keys=True))


def _packed_key(key: Any) -> str:
    if type(key) is str and not key.startswith(_KEY_TAG):
        return key
    return _KEY_TAG + json.dumps(packed(key))


def _packed_array(value: Any) -> Any:
    from reproducible_ml.tracking.sacred_parts import flatten

    if value.dtype.kind not in "biufcSU":
        raise TypeError(f"an array of {value.dtype} can't be packed")
    # A copy, because a view would be packed with the array that it is a part of.
    return flatten(value.copy())  # type: ignore[no-untyped-call]


def unpacked(value: Any, where: str = "The configuration", members: bool = True) -> Any:
    """Return a value of JSON types, with what is packed in it unpacked.

    Args:
        value: The value as it was read.
        where: Its place for the message, such as "config.json".
        members: Look members of enumerations up; else they stay packed.

    Raises:
        ConfigError: It holds an object that can't be unpacked without running code, or is nested
            too deep.
    """
    return _Unpacking(where, members).value(value, "")


class _Unpacking:
    def __init__(self, where: str, members: bool) -> None:
        self.where = where
        self.members = members
        self.count = 0
        self.depth = 0

    def value(self, value: Any, key: str) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ConfigError(f"{self.where} is nested deeper than {DEEPEST} levels; flatten it.")
        found = self._value(value, key)
        self.depth -= 1
        return found

    def _value(self, value: Any, key: str) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise ConfigError(f"{self.where} holds more than {MOST_VALUES:,} values; shorten it.")
        if isinstance(value, dict):
            if any(isinstance(name, str) and name.startswith(_TAG) for name in value):
                return self._packed(value, key)
            found: dict[Any, Any] = {}
            for name, item in value.items():
                found[self._key(name, key)] = self.value(
                    item, f"{key}.{name}" if key else str(name)
                )
            return found
        if isinstance(value, (list, tuple)):
            items = [self.value(item, key) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        return value

    def _key(self, name: Any, key: str) -> Any:
        if not isinstance(name, str) or not name.startswith(_KEY_TAG):
            return name
        try:
            plain = self.value(json.loads(name[len(_KEY_TAG) :]), key)
            hash(plain)
        except (ValueError, TypeError, RecursionError):
            raise self._refused({name: "..."}, key) from None
        return plain

    def _packed(self, value: dict[str, Any], key: str) -> Any:
        if _MEMBER in value and set(value) == {_MEMBER}:
            return self._member(value, key)
        try:
            found = self._known(value, key)
        except ConfigError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError):
            found = None
        if found is None:
            raise self._refused(value, key)
        return found

    def _known(self, value: dict[str, Any], key: str) -> Any:
        """Return what a packed object stands for; None if it is not one of those known."""
        names = set(value)
        if names == {"py/tuple"} and isinstance(value["py/tuple"], list):
            return tuple(self.value(item, key) for item in value["py/tuple"])
        if names == {"py/set"} and isinstance(value["py/set"], list):
            return {self.value(item, key) for item in value["py/set"]}
        if names == {"py/b64"} and isinstance(value["py/b64"], str):
            return base64.b64decode(value["py/b64"], validate=True)
        if names == {"py/reduce"}:
            kind, arguments = value["py/reduce"][:2]
            if any(value["py/reduce"][2:]) or set(kind) != {"py/type"}:
                return None
            return reduced(kind["py/type"], self.value(arguments, key))
        kind = value.get("py/object")
        if kind == "collections.UserDict" and names == {"py/object", "data"}:
            data = self.value(value["data"], key)
            return UserDict(data) if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in NAMED:
            return None
        rest = {name: one for name, one in value.items() if name not in ("py/object", "__reduce__")}
        given = {name: self.value(one, key) for name, one in rest.items()}
        if "__reduce__" in value:
            type_, arguments = value["__reduce__"]
            if type_ != {"py/type": kind} or given:
                return None
            given = {"arguments": self.value(arguments, key)}
        return leaf(kind, given)

    def _member(self, value: dict[str, Any], key: str) -> Any:
        names = value[_MEMBER]
        if not (
            isinstance(names, list) and len(names) == 3 and all(isinstance(n, str) for n in names)
        ):
            raise self._refused(value, key)
        if not self.members:
            return value
        module, path, name = names
        found: Any = sys.modules.get(module)
        for part in path.split("."):
            # Not getattr, which may run the module's own function for a missing name.
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        if not isinstance(found, EnumMeta) or name not in found.__members__:
            raise self._refused(value, key)
        return found.__members__[name]

    def _refused(self, value: Any, key: str) -> ConfigError:
        text = json.dumps(value, default=repr)
        text = text if len(text) <= 80 else text[:79] + "…"
        at = f": {key}" if key else ""
        return ConfigError(
            f"{self.where}{at} holds {text}, an object packed by jsonpickle; unpacking it would "
            "run code that the file names. Write a number, string, list or dictionary instead."
        )
