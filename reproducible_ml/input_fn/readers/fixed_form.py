"""Values of records that all have one form, taken by their place and not by parsing.

Most records of a data set are equal but for their values: the same features of the same sizes in
the same order. Then a value is a range of columns of the table of records.
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
    """Where the values of some features lie in the payloads of a split.

    Args:
        payload: One of the payloads, of which most others have the form.
        features: The features to read, by name, each of a fixed shape.

    Raises:
        ValueError: The features can't be taken by their place.
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
                raise ValueError(f"feature {key!r} is to be decoded")
        # Equal outside the values, and where numbers of varying length end.
        self._fixed = np.ones(len(payload), bool)
        self._ends = np.zeros(len(payload), bool)
        for field in fields:
            self._fixed[field.payload] = False
            self._ends[field.payload] = field.kind == "int64"
        self._fixed_bytes = self._first[self._fixed]
        self._end_bits = self._first[self._ends] < 0x80

    def fits(self, payloads: Bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Tell which payloads, uint8 [n, bytes], have the form: bool [n]."""
        same = (payloads[:, self._fixed] == self._fixed_bytes).all(axis=1)
        if self._end_bits.size:
            same &= ((payloads[:, self._ends] < 0x80) == self._end_bits).all(axis=1)
        return same

    def values(self, payloads: Bytes) -> list[Any]:
        """Take the values out of payloads that have the form.

        Args:
            payloads: uint8 [n, bytes].

        Returns:
            An array [n, *shape] in the schema's dtype for each feature.
        """
        return [self._value(payloads, key, field) for key, field in self._fields.items()]

    def parsed(self, payload: bytes) -> list[Any]:
        """Parse one payload of another form; arrays [*shape]."""
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
        """Decode packed varints that end in the same columns: int64 [n, k]."""
        ends = np.flatnonzero(self._first[field.payload] < 0x80) + 1
        numbers = np.zeros((len(part), len(ends)), np.uint64)
        start = 0
        for number, end in enumerate(ends.tolist()):
            for place, column in enumerate(range(start, end)):
                digits = (part[:, column] & np.uint8(0x7F)).astype(np.uint64)
                numbers[:, number] |= digits << np.uint64(7 * place)
            start = end
        return numbers.view(np.int64)
