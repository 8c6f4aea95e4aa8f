"""The base of all handlers: from a field of a row to a feature of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class FeatureHandler:
    """Turns one field of a row into ``{key: tf.train.Feature}``.

    There are two ways to write one. Override ``handle`` to make the feature yourself; its form is
    then learnt from the first record and enforced on all others, or stated by ``schema``. Or
    override ``transform`` and hand the transformed value to another handler by ``delegate_to``:
    so handlers chain (resize, then bytes), and the last one knows the form.

    Args:
        delegate_to: Handler that receives the transformed value.
        shape: Shape of the handled value; [] where the handler does not say.
    """

    def __init__(
        self, delegate_to: FeatureHandler | None = None, shape: Sequence[int] = ()
    ) -> None:
        self.delegate_to = delegate_to
        self.shape = list(shape)

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Make the feature of one row.

        Args:
            row: As the source yields it: a mapping from field names to values, or the value itself.
            key: Name of the feature, and of the field in a mapping.

        Returns:
            The features that the record gets, usually one of name ``key``.
        """
        if self.delegate_to is None:
            raise NotImplementedError(
                f"{type(self).__name__} neither overrides handle() nor has a delegate_to handler."
            )
        return self.delegate_to.handle({key: self.transform(field_of(row, key), key)}, key)

    def transform(self, value: Any, key: str) -> Any:
        """Change the value before it goes to ``delegate_to``; unchanged by default."""
        del key
        return value

    def schema(self) -> FeatureSchema | None:
        """Tell how the feature is read back; None leaves it to be learnt from the first record."""
        return None if self.delegate_to is None else self.delegate_to.schema()

    def handle_batch(self, rows: Sequence[Any], key: str) -> np.ndarray[Any, Any] | None:
        """Give the feature's payload bytes of many rows at once, for the fast writer.

        Args:
            rows: As ``handle`` takes them.
            key: As ``handle`` takes it.

        Returns:
            uint8 array [rows, bytes] that holds what ``handle`` would put into the feature's one
            byte string; None where the handler has no such way, and rows are handled one by one.
        """
        del rows, key
        return None

    def describe(self) -> dict[str, Any]:
        """Return the handler's configuration for the manifest, JSON-able."""
        values: dict[str, Any] = {"handler": f"{type(self).__module__}.{type(self).__qualname__}"}
        for name, value in sorted(vars(self).items()):
            if isinstance(value, FeatureHandler):
                values[name] = value.describe()
            elif not name.startswith("_"):
                values[name] = value if _is_plain(value) else str(value)
        return values


def field_of(row: Any, key: str) -> Any:
    """Pick a field of a row; a row that is no mapping is the value itself.

    Raises:
        DataError: The row is a mapping without that field.
    """
    if not isinstance(row, Mapping):
        return row
    if key not in row:
        raise DataError(f"the row has no field {key!r}; it has {', '.join(map(str, row))}")
    return row[key]


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
