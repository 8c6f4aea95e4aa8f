"""The base class of handlers, which turn one field of a row into a feature of a record.

A *row* is whatever ``rows_gen`` yields. It is usually a mapping such as
``{"image": array, "label": 3}``, from which a handler takes the field with the name of its feature;
anything else is the value itself.

A subclass only has to override ``handle``. Alternatively it overrides ``transform``, which changes
the value and leaves the rest to ``delegate_to``, so handlers can be chained. A handler that also
has ``handle_batch`` takes many rows at once, which makes writing fast; both ways give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.values import checked_shape
from reproducible_ml.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tensorflow as tf


class FeatureHandler:
    """Base class of all handlers.

    Attributes:
        delegate_to: The handler that receives the transformed value.
        shape: Shape of the stored value; empty if not declared, None if it varies.
        dtype: NumPy name of the stored value's type; None if not declared.
        encoding: How the value is stored, see ``FeatureSchema``; None for the default of its kind.
        value_range: (low, high) that the reader maps to [-1, 1]; None leaves values as they are.
        range_from_values: The range is taken from the dtype and the values when all are written;
            what can't be told from them is an error, see ``handlers.ranges``.
    """

    dtype: str | None = None
    encoding: str | None = None
    value_range: tuple[float, float] | None = None
    range_from_values: bool = False

    def __init__(
        self,
        delegate_to: FeatureHandler | None = None,
        shape: Sequence[int] | None = (),
    ) -> None:
        """Make a handler.

        Args:
            delegate_to: The handler that receives the transformed value.
            shape: Shape of the stored value; if empty, it is taken from the first record.
        """
        self.delegate_to = delegate_to
        self.shape: tuple[int, ...] | None = None if shape is None else checked_shape(shape)

    def transform(self, value: Any) -> Any:
        """Change one value before it is passed to ``delegate_to``; does nothing by default."""
        return value

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Turn a row into features.

        Args:
            row: What ``rows_gen`` yields.
            key: Name of the feature, and of the row's field if the row is a mapping.

        Returns:
            ``{key: feature}``.
        """
        if self.delegate_to is None:
            raise ConfigError(
                f"{type(self).__name__} cannot handle {key!r}: override handle(row, key), or pass "
                "delegate_to=, the handler that takes the transformed value."
            )
        return self.delegate_to.handle({key: self.transform(pick(row, key))}, key)

    def schema(self) -> FeatureSchema | None:
        """Return how to read the feature back; None to learn it from the first record."""
        return None if self.delegate_to is None else self.delegate_to.schema()

    def bind(self, row: Any, key: str) -> FeatureHandler:
        """Return this handler with its open settings taken from the first row.

        Handlers are bound before the first record is written, so no later record can silently have
        another form.
        """
        # A handler with its own ``handle`` may not use ``delegate_to`` at all.
        if not _keeps(self, "handle", FeatureHandler):
            return self
        return self.bind_delegate(row, key)

    def bind_delegate(self, row: Any, key: str) -> FeatureHandler:
        """Return this handler with its ``delegate_to`` bound to the transformed first row."""
        if self.delegate_to is None:
            return self
        inner = self.delegate_to.bind({key: self.transform(pick(row, key))}, key)
        return self if inner is self.delegate_to else replaced(self, delegate_to=inner)

    def config(self) -> dict[str, Any]:
        """Return the handler's settings for the manifest, as JSON types."""
        values: dict[str, Any] = {"handler": type(self).__name__}
        for name, value in sorted(vars(self).items()):
            values[name] = value.config() if isinstance(value, FeatureHandler) else _plain(value)
        return values


def pick(row: Any, key: str) -> Any:
    """Take a handler's field from a row: ``row[key]`` of a mapping, else the row itself.

    Raises:
        DataError: The row is a mapping without this key.
    """
    # Almost all rows are dicts, and an isinstance check against Mapping is slow.
    if type(row) is not dict and not isinstance(row, Mapping):
        return row
    if key not in row:
        fields = ", ".join(repr(name) for name in row) or "none"
        raise DataError(f"the row has no field {key!r}; its fields are {fields}")
    return row[key]


def pick_batch(rows: Any, key: str) -> Any:
    """Take a field from many rows.

    Args:
        rows: A sequence of rows; if it has ``columns``, the field's array is taken from there.
        key: Name of the field.

    Returns:
        A NumPy array over all rows if the values share one type and shape, else a list.
    """
    import numpy as np

    if isinstance(rows, np.ndarray):
        return rows
    columns = getattr(rows, "columns", None)
    if columns is not None:
        column = pick(columns, key)
        return _stacked(column.tolist()) if column.dtype == object else column
    return _stacked([pick(row, key) for row in rows])


def _stacked(values: list[Any]) -> Any:
    """Stack values of one type and shape into an array; leave other values in a list."""
    import numpy as np

    first = values[0]
    if len({type(value) for value in values}) != 1:
        return values
    # Stacking would drop the masks, and with them the error about missing values.
    if isinstance(first, np.ma.MaskedArray):
        return values
    if isinstance(first, np.ndarray) and first.ndim:
        if len({(value.dtype, value.shape) for value in values}) != 1:
            return values
        return np.concatenate(values).reshape(len(values), *first.shape)
    if isinstance(first, (int, np.integer)):
        found = np.array(values)
        # If no integer type holds all of them, NumPy makes floats or objects.
        return found if found.dtype.kind in "iu" else values
    return np.array(values) if isinstance(first, (float, np.floating)) else values


def batch_method(handler: FeatureHandler) -> Any:
    """Return a handler's ``handle_batch``, or None if it has none that matches its ``handle``.

    If a subclass overrides only ``handle`` or ``transform``, the batch method that it inherits
    would bypass the override.
    """
    order = type(handler).__mro__

    def depth(name: str) -> int:
        return next((i for i, cls in enumerate(order) if name in vars(cls)), len(order))

    batch = depth("handle_batch")
    if batch == len(order) or batch > min(depth("handle"), depth("transform")):
        return None
    # Methods can also be replaced on the instance.
    if "handle" in vars(handler) or "transform" in vars(handler):
        return None
    return getattr(handler, "handle_batch")  # noqa: B009 - not part of the base class


def replaced(handler: FeatureHandler, **values: Any) -> FeatureHandler:
    """Return a copy of a handler with some attributes replaced."""
    # Copied rather than constructed: a subclass may have a constructor of its own.
    from copy import copy

    twin = copy(handler)
    vars(twin).update(values)
    return twin


def _keeps(handler: FeatureHandler, name: str, base: type) -> bool:
    return getattr(type(handler), name) is getattr(base, name)


def _plain(value: Any) -> Any:
    """Convert a setting to JSON types; anything else is represented by its type's name.

    Memory addresses would differ from run to run, and contents of arrays would fill the manifest.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, type):
        return value.__name__
    return f"<{type(value).__name__}>"
