"""TFRecord framing: the byte layout of records in a file.

A record is its length (uint64, little-endian), the masked CRC-32C of these 8 bytes (uint32), the
payload, and the masked CRC-32C of the payload. Masking rotates by 15 bits and adds a constant,
because the CRC of data that itself contains CRCs would be weak. Defined in TensorFlow's
``record_writer.h`` and ``crc32c.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import crc32c

HEADER_BYTES = 12
FOOTER_BYTES = 4
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
_MASK_DELTA = 0xA282EAD8


class Frame(NamedTuple):
    """One record in a buffer.

    Attributes:
        offset: Start of its header.
        length: Size of its payload in bytes.
        crc: CRC-32C that is stored after the payload, unmasked.
    """

    offset: int
    length: int
    crc: int

    @property
    def payload(self) -> slice:
        """The position of the payload in the buffer."""
        start = self.offset + HEADER_BYTES
        return slice(start, start + self.length)


class FrameError(ValueError):
    """A buffer that is not a sequence of records.

    Attributes:
        record: Index of the first damaged record.
        offset: Start of that record.
        found: What is wrong, in a few words.
        cut: Whether the buffer ends too early.
    """

    def __init__(self, record: int, offset: int, found: str, cut: bool = False) -> None:
        super().__init__(f"record {record} at byte {offset}: {found}")
        self.record = record
        self.offset = offset
        self.found = found
        self.cut = cut


def mask(crc: int) -> int:
    """Mask a CRC-32C as TFRecord stores it."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Undo ``mask``."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def header(length: int) -> bytes:
    """Return the 12 bytes that precede a payload."""
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", mask(crc32c.crc32c(packed)))


def frame(payload: bytes) -> bytes:
    """Return a payload as one framed record."""
    return header(len(payload)) + payload + struct.pack("<I", mask(crc32c.crc32c(payload)))


def scan(buffer: memoryview | bytes) -> Iterator[Frame]:
    """Yield the records of a buffer; payload CRCs are returned, not checked.

    Raises:
        FrameError: A header is damaged, or the buffer ends inside a record.
    """
    view = memoryview(buffer)
    offset, record = 0, 0
    while offset < len(view):
        if offset + HEADER_BYTES > len(view):
            raise FrameError(record, offset, "the file ends inside the length", cut=True)
        length_bytes = view[offset : offset + 8]
        (length,) = struct.unpack("<Q", length_bytes)
        (masked,) = struct.unpack("<I", view[offset + 8 : offset + HEADER_BYTES])
        if unmask(masked) != crc32c.crc32c(bytes(length_bytes)):
            raise FrameError(record, offset, "the length does not match its CRC")
        end = offset + FRAME_BYTES + length
        if end > len(view):
            found = f"the file ends inside the {length} bytes of payload"
            raise FrameError(record, offset, found, cut=True)
        (masked,) = struct.unpack("<I", view[end - FOOTER_BYTES : end])
        yield Frame(offset, length, unmask(masked))
        offset, record = end, record + 1
