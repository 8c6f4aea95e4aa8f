"""Filters on runs, as a query to MongoDB and as a test on one run of a folder.

A filter has the form that Sacredboard's page sends, ``{"type": "and" | "or", "filters": [clause,
...]}``; a clause is another filter or ``{"field": "config.lr", "operator": "<", "value": 0.1}``.
Both forms follow MongoDB: values of different types never match, a list matches if one of its items
does, and ``!=`` also finds runs without the field. A status is compared as ``current_status``
returns it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from reproducible_ml.tracking.folder import now
from reproducible_ml.tracking.runs.document import TIMES
from reproducible_ml.tracking.runs.expressions import Expression, QueryError
from reproducible_ml.tracking.runs.status import RUNNING, SILENT, SILENT_AFTER_SECONDS

# The page's operators -> MongoDB's.
OPERATORS = {
    "==": "$eq",
    "!=": "$ne",
    "<": "$lt",
    "<=": "$lte",
    ">": "$gt",
    ">=": "$gte",
    "regex": "$regex",
}
# A status has no order.
STATUS_OPERATORS = ("==", "!=", "regex")

Query = dict[str, Any]


# Deeper or longer filters than these are made by nobody who looks for a run.
DEEPEST, MOST_CLAUSES, LONGEST_EXPRESSION = 10, 100, 1000


def checked(query: Any, depth: int = 0) -> Query:
    """Return a filter, if it has only parts that the page can make.

    Raises:
        QueryError: It has others, or more than anybody needs. A field such as ``$where`` would run
            the visitor's JavaScript in the database server.
    """
    if depth > DEEPEST:
        raise QueryError(f"Groups of filters may lie at most {DEEPEST} deep in each other.")
    if not isinstance(query, dict):
        raise QueryError(f"A filter must be an object, not {query!r}.")
    if "filters" in query:
        if query.get("type") not in ("and", "or") or not isinstance(query["filters"], list):
            raise QueryError('A group of filters needs the type "and" or "or", and a list of them.')
        if len(query["filters"]) > MOST_CLAUSES:
            raise QueryError(f"A group may hold at most {MOST_CLAUSES} filters.")
        for clause in query["filters"]:
            checked(clause, depth + 1)
        return query
    field, operator, value = (query.get(key) for key in ("field", "operator", "value"))
    if not isinstance(field, str) or not field or field.startswith("$") or ".$" in field:
        raise QueryError(f"{field!r} is not a field of a run; write for example config.seed.")
    if operator not in OPERATORS:
        raise QueryError(
            f"The operator {operator!r} is unknown; use one of {', '.join(OPERATORS)}."
        )
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise QueryError(f"The value of {field} must be a string or a number, not {value!r}.")
    if operator == "regex":
        _check_expression(value)
    if field == "status" and operator not in STATUS_OPERATORS:
        raise QueryError(
            f"A status can only be compared with {', '.join(STATUS_OPERATORS)}, not {operator}."
        )
    _typed(field, value)
    return query


def _check_expression(value: Any) -> None:
    if isinstance(value, str) and len(value) > LONGEST_EXPRESSION:
        raise QueryError(f"An expression may have at most {LONGEST_EXPRESSION} characters.")
    try:
        re.compile(value if isinstance(value, str) else "(")
    except (re.error, RecursionError, OverflowError) as error:
        raise QueryError(f"{value!r} is not a regular expression: {error}.") from error


def fields(query: Query) -> Iterator[str]:
    """Yield the fields that a checked filter compares, at any depth."""
    for clause in query.get("filters", [query]):
        if "filters" in clause:
            yield from fields(clause)
        else:
            yield clause["field"]


def to_mongo(query: Query) -> dict[str, Any]:
    """Return the MongoDB query of a checked filter."""
    if "filters" in query:
        clauses = [to_mongo(clause) for clause in query["filters"]]
        return {f"${query['type']}": clauses} if clauses else {}
    field, operator, value = query["field"], query["operator"], query["value"]
    compared = {field: {OPERATORS[operator]: _typed(field, value)}}
    return _status_to_mongo(operator, value, compared) if field == "status" else compared


def _status_to_mongo(operator: str, value: Any, compared: dict[str, Any]) -> dict[str, Any]:
    """Distinguish RUNNING from DEAD, both recorded as RUNNING, as ``current_status`` does.

    Sacredboard uses ``$where``, which servers disable, and negates with a top-level ``$not``, which
    MongoDB refuses.
    """
    limit = now() - timedelta(seconds=SILENT_AFTER_SECONDS)
    alive: dict[str, Any] = {
        "status": RUNNING,
        "$or": [{"heartbeat": {"$gt": limit}}, {"heartbeat": None, "start_time": {"$gt": limit}}],
    }
    value = Expression(value) if operator == "regex" else value
    found: list[dict[str, Any]] = [{"$and": [compared, {"status": {"$ne": RUNNING}}]}]
    if _matches([RUNNING], operator, value):
        found.append(alive)
    if _matches([SILENT], operator, value):
        found.append({"$and": [{"status": RUNNING}, {"$nor": [alive]}]})
    return {"$or": found}


def matches(run: dict[str, Any], query: Query) -> bool:
    """Tell whether one run satisfies a checked filter."""
    return matcher(query)(run)


def matcher(query: Query) -> Callable[[dict[str, Any]], bool]:
    """Return a test of whether a run satisfies a checked filter.

    All searches of one test with a regular expression together have a limited time, after which the
    test raises `QueryError`.
    """
    if "filters" in query:
        tests = [matcher(clause) for clause in query["filters"]]
        together = all if query["type"] == "and" else any
        return lambda run: not tests or together([test(run) for test in tests])
    path, operator = query["field"].split("."), query["operator"]
    value = _typed(query["field"], query["value"])
    if operator == "regex":
        value = Expression(value)
    return lambda run: _matches(list(_lookup(run, path)), operator, value)


def _matches(candidates: list[Any], operator: str, value: Any) -> bool:
    if operator == "!=":
        return not any(_equal(one, value) for one in candidates)
    return any(_COMPARE[operator](one, value) for one in candidates)


def _typed(field: str, value: Any) -> Any:
    """Parse the value as a time if the field holds one; MongoDB does not store times as strings."""
    if field in TIMES and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise QueryError(f"Write {field} as 2026-01-31 or 2026-01-31T12:00:00.") from error
    return value


def _lookup(value: Any, path: list[str]) -> Iterator[Any]:
    """Yield the values at a dotted path; it enters lists by index and into every item."""
    if not path:
        yield value
        if isinstance(value, list):
            yield from value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from _lookup(value[path[0]], path[1:])
    elif isinstance(value, list):
        if path[0].isdecimal() and int(path[0]) < len(value):
            yield from _lookup(value[int(path[0])], path[1:])
        for item in value:
            if isinstance(item, dict):
                yield from _lookup(item, path)


def _kind(value: Any) -> str:
    """Return the name of the group of types that can be compared with each other."""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def _equal(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) and bool(one == other)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Restrict a comparison to values of one kind that has an order."""

    def of_one_kind(one: Any, other: Any) -> bool:
        ordered = ("number", "str", "datetime", "bool")
        return _kind(one) == _kind(other) and _kind(one) in ordered and bool(compare(one, other))

    return of_one_kind


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "<": _ordered(lambda one, other: one < other),
    "<=": _ordered(lambda one, other: one <= other),
    ">": _ordered(lambda one, other: one > other),
    ">=": _ordered(lambda one, other: one >= other),
    "regex": lambda one, other: isinstance(one, str) and other.found_in(one),
}

# MongoDB's order of types, for columns that mix them.
_RANK = {"NoneType": 0, "number": 1, "str": 2, "dict": 3, "list": 4, "bool": 6, "datetime": 7}


def sort_key(run: dict[str, Any], field: str) -> tuple[Any, ...]:
    """Return a run's sort key: rank of the value's type, the value, then the id."""
    value = next(_lookup(run, field.split(".")), None)
    kind = _kind(value)
    if kind not in ("number", "str", "bool", "datetime"):
        value = str(value)
    elif isinstance(value, float) and math.isnan(value):
        kind, value = "NoneType", ""  # NaN compares false with every number
    identity = run["_id"]
    return (_RANK.get(kind, 5), value, isinstance(identity, str), identity)
