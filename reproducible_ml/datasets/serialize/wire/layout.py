"""The wire layout of Examples: many records built as one block, byte for byte as by protobuf.

Records with the same features have them in one order on the wire, and records whose values also
have the same lengths differ only in the values. The order is therefore learnt from one real
``SerializeToString(deterministic=True)`` (it is not that of ``sorted``: "image/h" comes before
"image"), and from then on NumPy copies values into copies of a template.

On the wire an Example consists of nested fields of tag, length and content::

    Example: 0A Features: (0A entry: 0A name, 12 Feature)*
    Feature: 0A bytes list: 0A value | 12 float list: 0A packed | 1A int64 list: 0A packed

In this module a feature's *payload* is the innermost content: the byte string, the packed floats or
the packed varints. An empty packed list has no innermost field.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

import numpy as np
from crc32c import crc32c

from reproducible_ml.datasets.serialize.wire.tfrecord import (
    FOOTER_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    header,
    mask,
)

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
# The payloads of one feature in many records: uint8 [n, bytes] if all have one length.
Payloads = Union[Bytes, list[bytes]]
_LIST_TAGS = {"bytes": b"\x0a", "float": b"\x12", "int64": b"\x1a"}
# With more distinct layouts in a block, joining record by record is faster than grouping.
_MOST_GROUPS = 8


class Block(NamedTuple):
    """Framed records, ready to be written.

    Attributes:
        data: The frames, one after another.
        lengths: uint64 [n], size of each payload in bytes.
        crcs: uint32 [n], CRC-32C of each payload, unmasked.
    """

    data: Any
    lengths: np.ndarray[Any, Any]
    crcs: np.ndarray[Any, Any]


class Layout:
    """The wire layout of the records of one data set."""

    def __init__(self, kinds: Mapping[str, str], keys: Sequence[str]) -> None:
        """Make a layout.

        Args:
            kinds: Kind of each feature: "bytes", "float" or "int64".
            keys: The features in their order on the wire, see ``wire_fields``.
        """
        self.kinds = dict(kinds)
        self.keys = list(keys)
        self._templates: dict[tuple[int, ...], tuple[bytes, list[int]]] = {}

    def template(self, sizes: tuple[int, ...]) -> tuple[bytes, list[int]]:
        """Return a record without its values.

        Args:
            sizes: Size of each feature's payload in bytes, in the order of ``keys``.

        Returns:
            The record with zeros instead of values, and the offset of each value.
        """
        known = self._templates.get(sizes)
        if known is None:
            known = self._make(sizes)
            # Strings of many lengths would otherwise fill the memory with templates.
            if len(self._templates) < 4096:
                self._templates[sizes] = known
        return known

    def _make(self, sizes: tuple[int, ...]) -> tuple[bytes, list[int]]:
        entries, ends, total = [], [], 0
        for key, size in zip(self.keys, sizes):
            # protobuf writes an empty byte string, but omits an empty packed list.
            value = _field(b"\x0a", bytes(size)) if size or self.kinds[key] == "bytes" else b""
            feature = _field(_LIST_TAGS[self.kinds[key]], value)
            entry = _field(b"\x0a", key.encode("utf-8")) + _field(b"\x12", feature)
            entries.append(_field(b"\x0a", entry))
            total += len(entries[-1])
            ends.append(total)
        outer = b"\x0a" + varint(total)
        record = outer + b"".join(entries)
        # The value is the last thing in its entry, so its offset follows from the entry's end.
        return record, [len(outer) + end - size for end, size in zip(ends, sizes)]

    def block(self, columns: Mapping[str, Payloads], count: int) -> Block:
        """Frame many records.

        Args:
            columns: Payloads of every feature.
            count: Number of records.
        """
        values = [columns[key] for key in self.keys]
        if all(isinstance(value, np.ndarray) for value in values):
            return self._stamp(values, count)
        sizes = np.stack([_sizes(value, count) for value in values], axis=1)
        layouts, group = np.unique(sizes, axis=0, return_inverse=True)
        if len(layouts) <= min(_MOST_GROUPS, count // 4):
            return self._by_group(values, count, np.asarray(group).reshape(-1), len(layouts))
        return self._join(values, sizes)

    def _stamp(self, values: list[Any], count: int) -> Block:
        """Copy values, each feature's of one length, into copies of the template."""
        template, offsets = self.template(tuple(value.shape[1] for value in values))
        length = len(template)
        frames = np.empty((count, length + FRAME_BYTES), np.uint8)
        whole = header(length) + template + bytes(FOOTER_BYTES)
        starts = [HEADER_BYTES + offset for offset in offsets]
        # Only the bytes between the values are copied from the template; no byte is written twice.
        position = 0
        for start, value in zip([*starts, len(whole)], [*values, None]):
            frames[:, position:start] = np.frombuffer(whole[position:start], np.uint8)
            if value is not None:
                frames[:, start : start + value.shape[1]] = value
                position = start + value.shape[1]
        crcs = _crcs(frames, length)
        masked = ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(0xA282EAD8)
        frames[:, -FOOTER_BYTES:] = masked.astype("<u4").view(np.uint8).reshape(count, 4)
        return Block(frames.reshape(-1).data, np.full(count, length, np.uint64), crcs)

    def _by_group(self, values: list[Any], count: int, group: Any, groups: int) -> Block:
        """Frame the records of each layout together, then restore their order."""
        pieces: list[Any] = [b""] * count
        lengths, crcs = np.empty(count, np.uint64), np.empty(count, np.uint32)
        for number in range(groups):
            here = np.flatnonzero(group == number)
            block = self._stamp([_take(value, here) for value in values], len(here))
            lengths[here], crcs[here] = block.lengths, block.crcs
            step = len(block.data) // len(here)
            for place, index in enumerate(here.tolist()):
                pieces[index] = block.data[place * step : (place + 1) * step]
        return Block(b"".join(pieces), lengths, crcs)

    def _join(self, values: list[Any], sizes: Any) -> Block:
        """Assemble records of many different layouts one by one."""
        rows = [
            [row.tobytes() for row in value] if isinstance(value, np.ndarray) else value
            for value in values
        ]
        payloads = []
        for index, row_sizes in enumerate(sizes.tolist()):
            template, offsets = self.template(tuple(row_sizes))
            parts: list[bytes] = []
            position = 0
            for offset, size, row in zip(offsets, row_sizes, rows):
                parts += (template[position:offset], row[index])
                position = offset + size
            parts.append(template[position:])
            payloads.append(b"".join(parts))
        return one_by_one(payloads)


def one_by_one(payloads: Sequence[bytes]) -> Block:
    """Frame records that are already serialized."""
    crcs = [crc32c(payload) for payload in payloads]
    pieces: list[bytes] = []
    for payload, crc in zip(payloads, crcs):
        pieces += (header(len(payload)), payload, struct.pack("<I", mask(crc)))
    lengths = np.array([len(payload) for payload in payloads], np.uint64)
    return Block(b"".join(pieces), lengths, np.array(crcs, np.uint32))


class WireField(NamedTuple):
    """The place of a feature in a serialized Example.

    Attributes:
        name: Name of the feature.
        kind: "bytes", "float" or "int64".
        payload: Position of its payload.
    """

    name: str
    kind: str
    payload: slice


def wire_fields(record: bytes) -> list[WireField]:
    """Locate the features in one serialized Example.

    Raises:
        ValueError: Its layout is not the one that this module writes.
    """
    fields = []
    position, end = _enter(record, 0, b"\x0a", len(record))
    if end != len(record):
        raise ValueError("there are bytes after the features")
    while position < end:
        position, entry_end = _enter(record, position, b"\x0a", end)
        start, position = _enter(record, position, b"\x0a", entry_end)
        name = record[start:position].decode("utf-8")
        position, feature_end = _enter(record, position, b"\x12", entry_end)
        kinds = {tag[0]: kind for kind, tag in _LIST_TAGS.items()}
        kind = kinds.get(record[position])
        if kind is None or feature_end != entry_end:
            raise ValueError(f"feature {name!r} holds no list, or more than one")
        start, stop = _enter(record, position, _LIST_TAGS[kind], feature_end)
        # An empty packed list ends here, without a field for its values.
        if start < stop:
            start, stop = _enter(record, start, b"\x0a", stop)
        if stop != feature_end:
            raise ValueError(f"feature {name!r} holds more than one value or packed list")
        fields.append(WireField(name, kind, slice(start, stop)))
        position = entry_end
    return fields


def list_payload(serialized: bytes) -> bytes:
    """Extract the packed values from a serialized float list or int64 list."""
    if not serialized:
        return b""
    start, stop = _enter(serialized, 0, b"\x0a", len(serialized))
    return serialized[start:stop]


def _enter(record: bytes, position: int, tag: bytes, end: int) -> tuple[int, int]:
    """Return the start and the end of a field's content."""
    if record[position : position + 1] != tag:
        raise ValueError(f"expected the tag {tag.hex()} at byte {position}")
    size, start = _read_varint(record, position + 1)
    if start + size > end:
        raise ValueError(f"the field at byte {position} extends past the field that contains it")
    return start, start + size


def varint(value: int) -> bytes:
    """Encode an unsigned integer with seven bits per byte, low bits first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack_integers(values: np.ndarray[Any, Any]) -> Payloads:
    """Pack integers as protobuf does.

    Args:
        values: int64 [n, k].

    Returns:
        The payloads of n records with k varints each.
    """
    count, width = values.shape
    if not values.size:
        return np.empty((count, 0), np.uint8)
    low, high = int(values.min()), int(values.max())
    # Most labels take this path: a varint below 128 is the number itself.
    if low >= 0 and high < 0x80:
        return values.astype(np.uint8)
    # protobuf encodes negative numbers as their two's complement of 64 bits.
    rest = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    # A varint has at most ten bytes; `used` marks the ones that each number needs.
    digits = np.empty((count, width, 10), np.uint8)
    used = np.empty((count, width, 10), bool)
    used[:, :, 0] = True
    for place in range(10):
        digits[:, :, place] = (rest & np.uint64(0x7F)).astype(np.uint8)
        rest = rest >> np.uint64(7)
        more = rest != 0
        digits[:, :, place] |= more.astype(np.uint8) << np.uint8(7)
        if place < 9:
            used[:, :, place + 1] = more
    sizes = used.sum(axis=(1, 2))
    flat = digits[used]
    if (sizes == sizes[0]).all():
        return flat.reshape(count, int(sizes[0]))
    data, ends = flat.tobytes(), np.cumsum(sizes).tolist()
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends)]


def _crcs(frames: Bytes, length: int) -> np.ndarray[Any, Any]:
    view, step = frames.reshape(-1).data, frames.shape[1]
    starts = range(HEADER_BYTES, HEADER_BYTES + len(frames) * step, step)
    records = [view[start : start + length] for start in starts]
    return np.fromiter(map(crc32c, records), np.uint32, len(records))


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _sizes(value: Payloads, count: int) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return np.full(count, value.shape[1], np.int64)
    return np.fromiter(map(len, value), np.int64, count)


def _take(value: Payloads, here: Any) -> Bytes:
    if isinstance(value, np.ndarray):
        return value[here]
    joined = b"".join([value[index] for index in here.tolist()])
    return np.frombuffer(joined, np.uint8).reshape(len(here), -1)
