"""The arguments of a sweep: named configurations, and the values of each key.

gen_lr=1e-4,5e-5 seed=1..5     the product: ten members
image_shape=[64,64,3]          one value, because its commas are in brackets
name="a,b",c                   two values
gen_lr=log:1e-5..1e-3          only in a search: any number in between, uniform in the logarithm
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproducible_ml.tracking.runs import read_typed
from reproducible_ml.utils.errors import ConfigError

# Each member is a training, so more of them are surely a typing error.
MOST_MEMBERS = 10_000
SEED = "seed"
_RANGE = re.compile(r"(?P<log>log:)?(?P<low>[^.\s]?.*?)\.\.(?P<high>.+)")
_OPENING, _CLOSING = "([{", ")]}"

# Configuration key -> value as a string, as it is passed after ``with``.
Parameters = dict[str, str]


@dataclass(frozen=True)
class Interval:
    """The numbers that a search draws from.

    Attributes:
        low: The least number.
        high: The greatest number.
        whole: Whether only integers are drawn.
        log: Whether they are drawn uniformly in the logarithm.
    """

    low: float
    high: float
    whole: bool
    log: bool


@dataclass(frozen=True)
class Space:
    """The space of a sweep's members.

    Attributes:
        named: Names of the named configurations of all members.
        values: Key -> its values as strings, in the order of the command line.
        intervals: Key -> the interval that a search draws it from.
    """

    named: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    intervals: Mapping[str, Interval]

    @property
    def varied(self) -> list[str]:
        """The keys that differ between members."""
        several = [key for key, texts in self.values.items() if len(texts) > 1]
        return [*several, *self.intervals]


def parse_space(arguments: Sequence[str], search: bool = False) -> Space:
    """Parse the arguments of a sweep.

    Args:
        arguments: Named configurations and ``key=values``, in any order.
        search: Treat ranges as intervals to search. Otherwise ranges of integers are expanded, and
            other ranges refused. ``seed`` is always expanded: a search judges each trial by the
            mean over all seeds.

    Raises:
        ConfigError: An argument can't be parsed; the message names it.
    """
    named: list[str] = []
    values: dict[str, tuple[str, ...]] = {}
    intervals: dict[str, Interval] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            named.append(argument)
            continue
        if not key or not text:
            raise ConfigError(f"{argument!r} must be KEY=VALUES, such as gen_lr=1e-4,5e-5.")
        if key in values or key in intervals:
            raise ConfigError(f"{key} is given twice; give all its values at once: {key}=A,B.")
        interval = _interval(key, text)
        if interval is not None and search and key != SEED:
            intervals[key] = interval
            continue
        texts = [one for part in split_values(key, text) for one in _listed(key, part)]
        # Values that are written alike; others may give the same configuration all the same.
        values[key] = tuple(dict.fromkeys(texts))
    return Space(tuple(named), values, intervals)


def product(space: Space) -> list[Parameters]:
    """Return the parameters of all members, the last key varying fastest.

    Raises:
        ConfigError: There are too many members.
    """
    count = 1
    for texts in space.values.values():
        count *= len(texts)
    if count > MOST_MEMBERS:
        raise ConfigError(f"That makes {count:,} members; at most {MOST_MEMBERS:,} are allowed.")
    keys = list(space.values)
    return [dict(zip(keys, texts)) for texts in itertools.product(*space.values.values())]


def split_values(key: str, text: str) -> list[str]:
    """Split at the commas outside brackets and quotes.

    Raises:
        ConfigError: A value is empty, or a bracket or quote is not closed.
    """
    parts, start, quote = [], 0, ""
    open_: list[str] = []
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _OPENING:
            open_.append(_CLOSING[_OPENING.index(sign)])
        elif sign in _CLOSING:
            if not open_ or open_.pop() != sign:
                raise ConfigError(f"{key}={text}: the {sign} closes nothing.")
        elif sign == "," and not open_:
            parts.append(text[start:place])
            start = place + 1
    if quote or open_:
        raise ConfigError(f"{key}={text}: a {quote or open_[-1]} is missing at the end.")
    parts.append(text[start:])
    parts = [part.strip() for part in parts]
    if "" in parts:
        raise ConfigError(f"{key}={text}: a value is empty; remove the extra comma.")
    return parts


def _listed(key: str, text: str) -> list[str]:
    """Return the integers of a range, or the value itself."""
    interval = _interval(key, text)
    if interval is None:
        return [text]
    if not interval.whole or interval.log:
        raise ConfigError(
            f"{key}={text}: a logarithmic or non-integer range is only for --search; list the "
            f"values: {key}={interval.low:g},{interval.high:g}."
        )
    low, high = int(interval.low), int(interval.high)
    if high - low >= MOST_MEMBERS:
        raise ConfigError(
            f"{key}={text} has {high - low + 1:,} values; at most {MOST_MEMBERS:,} are allowed."
        )
    return [str(number) for number in range(low, high + 1)]


def _interval(key: str, text: str) -> Interval | None:
    """Return the interval that a string denotes; None for any other string, such as a path."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    low, high = (read_typed(found[name]) for name in ("low", "high"))
    numbers = [one for one in (low, high) if type(one) in (int, float)]
    if len(numbers) < 2:
        if found["log"]:
            raise ConfigError(f"{key}={text} must be log:LOW..HIGH with two numbers.")
        return None
    whole = isinstance(low, int) and isinstance(high, int)
    if not low < high:
        raise ConfigError(f"{key}={text}: a range goes from the lesser to the greater number.")
    if found["log"] and low <= 0:
        raise ConfigError(f"{key}={text}: a logarithmic range must begin above 0.")
    return Interval(low, high, whole, bool(found["log"]))
