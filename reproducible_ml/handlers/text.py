"""Text of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.base import FeatureHandler, field_of
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import tensorflow as tf


class TextHandler(FeatureHandler):
    """Writes a text as UTF-8."""

    def __init__(self) -> None:
        super().__init__(shape=[])

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Write one text.

        Raises:
            DataError: The value is no text, or no valid Unicode.
        """
        value = field_of(row, key)
        if not isinstance(value, str):
            raise DataError(f"feature {key!r} is of type {type(value).__name__}, expected text")
        try:
            return {key: bytes_feature(value.encode("utf-8"))}
        except UnicodeEncodeError as error:
            raise DataError(f"feature {key!r} can't be written as UTF-8: {error}") from error

    def schema(self) -> FeatureSchema:
        """Tell how the text is read back."""
        return FeatureSchema(kind="bytes", dtype="string", shape=(), encoding="utf8")
