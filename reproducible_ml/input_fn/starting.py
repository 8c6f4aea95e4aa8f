"""Another place to start a dataset at than the graph's global step.

The global step says how many elements a training has consumed only if each step consumes one. Who
counts the elements says the number here:

    with starting_at(elements_consumed) as place:
        dataset = fn()
    if not place.taken:
        dataset = dataset.skip(elements_consumed)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from reproducible_ml.utils.errors import ConfigError


@dataclass
class Place:
    """Where datasets start.

    Attributes:
        element: Number of elements consumed so far, an integer or a scalar tensor.
        taken: Whether an input function of this package has started its dataset there.
    """

    element: Any
    taken: bool = False


_PLACE: ContextVar[Place | None] = ContextVar("_PLACE", default=None)


@contextmanager
def starting_at(element: Any) -> Iterator[Place]:
    """Start the datasets of input functions that are called inside at an element.

    A dataset with ``repeat=False`` omits the elements before it, and is empty if that is all.

    Args:
        element: Number of elements consumed so far by each worker, an integer or a scalar integer
            tensor. With ``critic_steps`` an element is a whole step, else it is one batch.

    Yields:
        The place, whose ``taken`` becomes true when an input function has started there.

    Raises:
        ConfigError: The number is not an integer >= 0.
    """
    shape, dtype = getattr(element, "shape", ()), getattr(element, "dtype", None)
    is_tensor = getattr(dtype, "is_integer", False) and len(shape) == 0
    is_whole = isinstance(element, Integral) and not isinstance(element, bool) and int(element) >= 0
    if not (is_tensor or is_whole):
        raise ConfigError(
            f"a dataset starts at element {element!r}, expected an integer >= 0 or a scalar "
            "integer tensor: the number of elements consumed so far"
        )
    place = Place(element)
    token = _PLACE.set(place)
    try:
        yield place
    finally:
        _PLACE.reset(token)


def take_start(default: Any) -> Any:
    """Return the element at which a dataset starts: that of ``starting_at``, or the default."""
    place = _PLACE.get()
    if place is None:
        return default
    place.taken = True
    return place.element
