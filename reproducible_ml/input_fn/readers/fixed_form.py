"""Values of records that share one form, taken by their position instead of by parsing.

Most records of a data set differ only in their values: they have the same features, of the same
sizes, in the same order. A value is then a range of columns in the table of records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from reproducible_ml.datasets.serialize.wire import WireField, wire_fields

if TYPE_CHECKING:
    from reproducible_ml.handlers import FeatureSchema

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class FixedForm:
    """The position of some features' values in the payloads of a split.

    Args:
        payload: One of the payloads; most others should have its form.
        features: The features to read, by name, each with a fixed shape.

    Raises:
        ValueError: The features can't be taken by their position.
    """

    def __init__(self, payload: bytes, features: Mapping[str, FeatureSchema]) -> None:
        self._features = dict(features)
        fields = wire_fields(payload)
        found = {field.name: field for field in fields}
        self._first = np.frombuffer(payload, np.uint8)
        self._fields = {key: found[key] for key in features if key in found}
        if len(self._fields) != len(features):
            raise ValueError("a feature is missing")
        for key, schema in features.items():
            if schema.encoding not in ("raw", "list") or schema.kind != found[key].kind:
                raise ValueError(f"feature {key!r} must be decoded")
        # A payload has the form if its bytes outside the values are equal, and if its varints,
        # whose length depends on the value, end at the same places.
        self._fixed = np.ones(len(payload), bool)
        self._ends = np.zeros(len(payload), bool)
        for field in fields:
            self._fixed[field.payload] = False
            self._ends[field.payload] = field.kind == "int64"
        self._fixed_bytes = self._first[self._fixed]
        self._end_bits = self._first[self._ends] < 0x80

    def fits(self, payloads: Bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Find the payloads, uint8 [n, bytes], that have the form: bool [n]."""
        same = (payloads[:, self._fixed] == self._fixed_bytes).all(axis=1)
        if self._end_bits.size:
            same &= ((payloads[:, self._ends] < 0x80) == self._end_bits).all(axis=1)
        return same

    def values(self, payloads: Bytes) -> list[Any]:
        """Take the values from payloads that have the form.

        Args:
            payloads: uint8 [n, bytes].

        Returns:
            For each feature an array [n, *shape] in the schema's dtype.
        """
        return [self._value(payloads, key, field) for key, field in self._fields.items()]

    def parsed(self, payload: bytes) -> list[Any]:
        """Parse one payload of another form, and return an array [*shape] for each feature."""
        import tensorflow as tf

        features = tf.train.Example.FromString(payload).features.feature
        found = []
        for key, schema in self._features.items():
            if schema.kind == "bytes":
                value = np.frombuffer(
                    features[key].bytes_list.value[0], np.dtype(schema.dtype).newbyteorder("<")
                )
            else:
                value = np.array(getattr(features[key], f"{schema.kind}_list").value)
            found.append(value.astype(schema.dtype).reshape(schema.shape or ()))
        return found

    def _value(self, payloads: Bytes, key: str, field: WireField) -> Any:
        schema = self._features[key]
        part = payloads[:, field.payload]
        if field.kind == "int64":
            found = self._integers(part, field).astype(schema.dtype)
        else:
            stored = "<f4" if field.kind == "float" else np.dtype(schema.dtype).newbyteorder("<")
            found = np.ascontiguousarray(part).view(stored).astype(schema.dtype, copy=False)
        return found.reshape(len(payloads), *(schema.shape or ()))

    def _integers(self, part: Bytes, field: WireField) -> Any:
        """Decode packed varints that end in the same columns to int64 [n, k]."""
        ends = np.flatnonzero(self._first[field.payload] < 0x80) + 1
        numbers = np.zeros((len(part), len(ends)), np.uint64)
        start = 0
        for number, end in enumerate(ends.tolist()):
            for place, column in enumerate(range(start, end)):
                digits = (part[:, column] & np.uint8(0x7F)).astype(np.uint64)
                numbers[:, number] |= digits << np.uint64(7 * place)
            start = end
        return numbers.view(np.int64)
