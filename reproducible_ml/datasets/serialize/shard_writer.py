"""One shard on its way to the disk: framing, compression, counts and checksums."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import crc32c

from reproducible_ml.datasets.serialize.manifest import COMPRESSIONS, Shard
from reproducible_ml.datasets.serialize.tfrecord import header, mask
from reproducible_ml.utils.errors import ConfigError, DataError

# What zlib calls the container: 31 is gzip's, with no time in its header; 15 is zlib's own.
_WINDOW_BITS = {"GZIP": 31, "ZLIB": 15}
# isal's level 2 of 0 to 3: nearly its fastest, and smaller than zlib's level 1 (decision 5a).
_LEVEL = 2
# What the compressor gets at once: its output depends on that, and must not on the block size.
_CHUNK_BYTES = 1 << 20


class ShardWriter:
    """Writes records to one file.

    Args:
        path: File to write; it must not exist.
        compression: "", "GZIP" or "ZLIB".

    Attributes:
        lengths: Payload length of each record so far.
        crcs: CRC-32C of each payload so far.

    Raises:
        DataError: The file can't be made.
    """

    def __init__(self, path: str | Path, compression: str = "") -> None:
        check_compression(compression)
        self.path = Path(path)
        self.lengths: list[int] = []
        self.crcs: list[int] = []
        self._bytes = 0
        self._checksum = 0
        self._waiting = bytearray()
        self._compressor = _compressor(compression)
        try:
            self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise DataError(f"{self.path} can't be written: {error.strerror}") from error

    def write(self, payload: bytes) -> None:
        """Add one record.

        Args:
            payload: The serialized Example.
        """
        crc = crc32c.crc32c(payload)
        self.lengths.append(len(payload))
        self.crcs.append(crc)
        self.write_framed(
            b"".join((header(len(payload)), payload, mask(crc).to_bytes(4, "little")))
        )

    def write_block(self, framed: Any, lengths: Iterable[int], crcs: Iterable[int]) -> None:
        """Add many records that are framed already.

        Args:
            framed: Buffer of headers, payloads and footers.
            lengths: Payload length of each record in it.
            crcs: CRC-32C of each payload in it.
        """
        self.lengths.extend(lengths)
        self.crcs.extend(crcs)
        self.write_framed(framed)

    def write_framed(self, data: Any) -> None:
        """Put bytes into the file, compressed if asked."""
        if self._compressor is None:
            self._put(data)
            return
        self._waiting += data
        while len(self._waiting) >= _CHUNK_BYTES:
            self._put(self._compressor.compress(bytes(self._waiting[:_CHUNK_BYTES])))
            del self._waiting[:_CHUNK_BYTES]

    def close(self) -> None:
        """Finish, sync and close the file; closing twice does nothing."""
        if self._file.closed:
            return
        try:
            if self._compressor is not None:
                self._put(self._compressor.compress(bytes(self._waiting)))
                self._put(self._compressor.flush())
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def shard(self) -> Shard:
        """Describe the closed shard for the manifest."""
        return Shard(self.path.name, len(self.lengths), self._bytes, f"{self._checksum:08x}")

    def _put(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self._checksum = crc32c.crc32c(view, self._checksum)
        self._bytes += len(view)
        try:
            while len(view):
                view = view[self._file.write(view) :]
        except OSError as error:
            raise DataError(
                f"{self.path} can't be written: {error.strerror}. The data set is left as it was."
            ) from error

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def check_compression(compression: str) -> None:
    """Refuse what TensorFlow would take for "none" without a word, such as "gzip".

    Raises:
        ConfigError: It is not one of "", "GZIP" and "ZLIB".
    """
    if compression not in COMPRESSIONS:
        raise ConfigError(f'compression is "" (none), "GZIP" or "ZLIB", found {compression!r}.')


def _compressor(compression: str) -> Any:
    if not compression:
        return None
    from isal import isal_zlib

    return isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[compression])
