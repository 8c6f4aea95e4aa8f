"""Checks of many records against the schema at once, whatever their lengths.

Records of one schema have their features in one order on the wire (see ``layout``), so NumPy can
walk through all of them side by side: it reads one tag of each, then one length of each. A record
that passes matches its schema. One that fails may still match: protobuf decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reproducible_ml.datasets.serialize.encoding import expected_size
from reproducible_ml.datasets.serialize.shard import Table, same_bytes
from reproducible_ml.datasets.serialize.wire import wire_fields
from reproducible_ml.handlers import FeatureSchema

Numbers = np.ndarray[Any, Any]
_FIELD, _VALUE = 0x0A, 0x12
_LIST_TAGS = {"bytes": 0x0A, "float": 0x12, "int64": 0x1A}
# No record is longer than a length of 35 bits; a varint of 64 bits takes 10 bytes.
_LENGTH_BITS = 35
_NUMBER_BYTES = 10


class RecordForm:
    """The form of a schema's records, with the features in the order of a given record.

    Args:
        payload: One of the records.
        schema: The data set's features.

    Raises:
        ValueError: The record has another layout or other features.
    """

    def __init__(self, payload: bytes, schema: Mapping[str, FeatureSchema]) -> None:
        fields = wire_fields(payload)
        if {field.name: field.kind for field in fields} != {
            name: one.kind for name, one in schema.items()
        }:
            raise ValueError("the record has other features than the schema")
        self._fields = [
            (field.name.encode("utf-8"), field.kind, expected_size(schema[field.name]))
            for field in fields
        ]

    def fits(self, data: Numbers, starts: Numbers, lengths: Numbers) -> Numbers:
        """Find the records that certainly have the form.

        Args:
            data: uint8, the buffer that holds them.
            starts: int64 [n], offset of each record in the buffer.
            lengths: int64 [n], size of each record in bytes.

        Returns:
            bool [n].
        """
        walk = _Walk(data, len(starts))
        stops = starts + lengths
        at, end = walk.enter(starts, _FIELD)
        walk.need(end == stops)
        for name, kind, size in self._fields:
            at, entry = walk.enter(at, _FIELD)
            at, named = walk.enter(at, _FIELD)
            walk.need(named - at == len(name))
            for place, letter in enumerate(name):
                walk.need(walk.bytes(at + place) == letter)
            # If the inner fields all end with the entry, none of them can hold anything else.
            at, feature = walk.enter(named, _VALUE)
            at, values = walk.enter(at, _LIST_TAGS[kind])
            at, stop = walk.enter(at, _FIELD)
            walk.need((feature == entry) & (values == entry) & (stop == entry))
            if kind == "int64":
                walk.need_numbers(at, stop - at, size)
            elif size is not None:
                walk.need(stop - at == (size if kind == "bytes" else 4 * size))
            elif kind == "float":
                walk.need((stop - at) % 4 == 0)
            at = entry
        walk.need(at == stops)
        return walk.good


def same_form(table: Table) -> Any:
    """Find the records with the form of the first one: bool [n].

    Their bytes outside the values are equal, and so are their numbers of packed integers.
    """
    first = table.payloads[0].tobytes()
    try:
        fields = wire_fields(first)
    except (ValueError, IndexError):
        return np.arange(len(table.payloads)) == 0
    starts = [0, *(field.payload.stop for field in fields)]
    stops = [*(field.payload.start for field in fields), len(first)]
    same = np.ones(len(table.payloads), bool)
    for start, stop in zip(starts, stops):
        same &= same_bytes(table.payloads, slice(start, stop))
    for field in fields:
        if field.kind == "int64":
            # A varint ends with its first byte below 0x80.
            ends = table.payloads[:, field.payload] < 0x80
            same &= ends.sum(axis=1) == ends[0].sum() if ends.shape[1] > 1 else ends[:, 0]
    return same


class _Walk:
    """A walk through many records at once; it tracks which of them were right so far."""

    def __init__(self, data: Numbers, count: int) -> None:
        self._data = data
        self._last = len(data) - 1
        self.good = np.ones(count, bool)

    def need(self, holds: Numbers) -> None:
        """Drop the records for which a condition does not hold."""
        self.good &= holds

    def bytes(self, at: Numbers) -> Numbers:
        """Read the byte at each offset."""
        # The lengths in a wrong record may point anywhere, even past the buffer.
        return self._data[np.minimum(at, self._last)]

    def enter(self, at: Numbers, tag: int) -> tuple[Numbers, Numbers]:
        """Read a tag and a length, and return the start and the end of each field's content."""
        self.need(self.bytes(at) == tag)
        at = at + 1
        size = np.zeros(len(at), np.int64)
        more = np.ones(len(at), bool)
        for shift in range(0, _LENGTH_BITS, 7):
            digits = self.bytes(at)
            size += (digits & np.uint8(0x7F)).astype(np.int64) * more << shift
            at = at + more
            more &= digits >= 0x80
            if not more.any():
                break
        self.need(~more)
        return at, at + size

    def need_numbers(self, at: Numbers, sizes: Numbers, count: int | None) -> None:
        """Check the count of packed integers; None accepts any of at least one."""
        # Only the lengths of right records can be trusted as sizes of arrays.
        sizes = np.where(self.good, sizes, 0)
        ends = np.cumsum(sizes)
        places = np.repeat(at - (ends - sizes), sizes) + np.arange(int(ends[-1]))
        # A varint ends with its first byte below 0x80.
        is_last = self._data[places] < 0x80
        lasts = np.flatnonzero(is_last)
        too_long = lasts[np.diff(lasts, prepend=-1) > _NUMBER_BYTES]
        self.good[np.searchsorted(ends, too_long, side="right")] = False
        before = np.concatenate([[0], np.cumsum(is_last)])
        found = before[ends] - before[ends - sizes]
        self.need((sizes > 0) & np.append(is_last, False)[ends - 1])
        if count is not None:
            self.need(found == count)
