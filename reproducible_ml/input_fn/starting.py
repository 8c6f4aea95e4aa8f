"""Another place to start a dataset at than the graph's global step.

The global step says how many elements a training has consumed only if each step consumes one. Who
counts the elements says the number here:

    dataset, place = called_at(fn, elements_consumed)
    if not place.taken:
        dataset = dataset.skip(elements_consumed)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        dataset: The dataset that it has started.
    """

    element: Any
    batches: int = 1
    taken: bool = False
    manifest: Any = None
    dataset: Any = None


_ONE_TO_ONE = ("MapDataset", "OptionsDataset", "ParallelMapDataset", "PrefetchDataset")
_PLACE: ContextVar[Place | None] = ContextVar("_PLACE", default=None)


@contextmanager
def starting_at(element: Any, batches: int = 1) -> Iterator[Place]:
    """Start the datasets of input functions that are called inside at an element.

    A dataset with ``repeat=False`` omits the elements before it, and is empty if that is all.

    Args:
        element: Number of elements consumed so far by each worker, an integer or a scalar integer
            tensor. An element is a batch, or with ``substeps`` a whole step.
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


def called_at(make: Callable[[], Any], element: Any, batches: int = 1) -> tuple[Any, Place]:
    """Call a function that makes a dataset, so that the dataset starts at an element if it can.

    It can if it is that of an input function of this package, each element of which becomes one:
    it may be mapped and prefetched. Batches, selections and mixtures of it are of other elements.

    Args:
        make: Makes the dataset.
        element: As for ``starting_at``, like ``batches``.
        batches: Plain batches of which the consumer makes one element.

    Returns:
        What ``make`` returned, and the place. Only if ``place.taken``, the dataset starts there;
        otherwise it starts at its own beginning.
    """
    with starting_at(element, batches) as place:
        data = make()
    if not place.taken or _passes_on(data, place.dataset):
        return data, place
    with starting_at(0, batches) as place:
        data = make()
    place.taken = False
    return data, place


def _passes_on(data: Any, dataset: Any) -> bool:
    """Tell whether each element of a dataset is made of one element of another."""
    while data is not dataset:
        if type(data).__name__.strip("_") not in _ONE_TO_ONE:
            return False
        (data,) = data._inputs()
    return True


def current_place() -> Place | None:
    """Return the place of the innermost ``starting_at``; None outside of one."""
    return _PLACE.get()


def take_start(default: Any, whole_steps: bool) -> Any:
    """Return the element at which a dataset starts: that of ``starting_at``, or the default.

    Args:
        default: The element outside of ``starting_at``.
        whole_steps: Whether the dataset's elements are whole steps, not plain batches.
    """
    place = _PLACE.get()
    if place is None:
        return default
    return place.element if whole_steps or place.batches == 1 else place.element * place.batches


def note_taken(dataset: Any, manifest: Any) -> None:
    """Note that a dataset has started where ``take_start`` said.

    Args:
        dataset: The dataset.
        manifest: Manifest of its data set; None for data of another kind.
    """
    place = _PLACE.get()
    if place is not None:
        place.taken, place.dataset, place.manifest = True, dataset, manifest
