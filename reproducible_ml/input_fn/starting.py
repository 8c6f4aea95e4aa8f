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
        batches: How many plain batches an element is made of.
        taken: Whether an input function of this package has started its dataset there.
        manifest: The manifest of that input function's data set.
    """

    element: Any
    batches: int = 1
    taken: bool = False
    manifest: Any = None


_PLACE: ContextVar[Place | None] = ContextVar("_PLACE", default=None)


@contextmanager
def starting_at(element: Any, batches: int = 1) -> Iterator[Place]:
    """Start the datasets of input functions that are called inside at an element.

    A dataset with ``repeat=False`` omits the elements before it, and is empty if that is all.

    Args:
        element: Number of elements consumed so far by each worker, an integer or a scalar integer
            tensor. With ``critic_steps`` an element is a whole step, else it is one batch.
        batches: Plain batches of which the consumer makes one element.

    Yields:
        The place, whose ``taken`` becomes true when an input function has started there.

    Raises:
        ConfigError: The number is not an integer >= 0.
    """
    shape, dtype = getattr(element, "shape", ()), getattr(element, "dtype", None)
    is_tensor = getattr(dtype, "is_integer", False) and len(shape) == 0
    is_whole = isinstance(element, Integral) and not isinstance(element, bool)
    if not is_tensor and not (is_whole and int(element) >= 0):
        raise ConfigError(
            f"a dataset starts at element {element!r}, expected an integer >= 0 or a scalar "
            "integer tensor: the number of elements consumed so far"
        )
    place = Place(element, batches)
    token = _PLACE.set(place)
    try:
        yield place
    finally:
        _PLACE.reset(token)


def current_place() -> Place | None:
    """Return the place of the innermost ``starting_at``; None outside of one."""
    return _PLACE.get()


def take_start(default: Any, whole_steps: bool, manifest: Any) -> Any:
    """Return the element at which a dataset starts: that of ``starting_at``, or the default.

    Args:
        default: The element outside of ``starting_at``.
        whole_steps: Whether the dataset's elements are whole steps, not plain batches.
        manifest: The data set's manifest.
    """
    place = _PLACE.get()
    if place is None:
        return default
    place.taken, place.manifest = True, manifest
    return place.element if whole_steps or place.batches == 1 else place.element * place.batches
