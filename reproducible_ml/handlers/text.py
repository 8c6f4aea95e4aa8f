"""A handler for text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.base import FeatureHandler, pick, pick_batch
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import tensorflow as tf


class TextHandler(FeatureHandler):
    """Stores text as UTF-8; its length may vary from row to row."""

    dtype = "string"

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Return ``{key: bytes feature}``; see ``FeatureHandler.handle``."""
        return {key: bytes_feature(_utf8(pick(row, key)))}

    def handle_batch(self, rows: Any, key: str) -> list[bytes]:
        """Return the strings of many rows as UTF-8."""
        return [_utf8(value) for value in pick_batch(rows, key)]

    def schema(self) -> FeatureSchema:
        """Return the form of one UTF-8 string per record."""
        return FeatureSchema("bytes", "string", None, "utf8")


def _utf8(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(f"found a string that UTF-8 cannot encode: {error}") from None
    if isinstance(value, bytes):
        try:
            value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"found bytes that are not UTF-8: {error}") from None
        return bytes(value)
    raise DataError(f"found a value of type {type(value).__name__}, expected text")
