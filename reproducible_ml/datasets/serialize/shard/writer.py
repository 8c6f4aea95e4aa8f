"""Writing of one shard, with its compression, counts and checksums."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crc32c

from reproducible_ml.datasets.serialize.manifest import COMPRESSIONS, Shard, pack_content
from reproducible_ml.datasets.serialize.shard.disk import Disk
from reproducible_ml.datasets.serialize.shard.writeback import Writeback
from reproducible_ml.datasets.serialize.wire import Block, one_by_one
from reproducible_ml.utils.errors import ConfigError, DataError

# zlib's numbers for the container: 31 is gzip, without a time in its header; 15 is zlib.
_WINDOW_BITS = {"GZIP": 31, "ZLIB": 15}
# isal's level 2 of 0 to 3: nearly its fastest, and smaller than zlib's level 1 (decision 5a).
_LEVEL = 2
# The compressor always gets pieces of this size: its output depends on how the input is cut, but
# must not depend on the block size.
_CHUNK_BYTES = 1 << 20


class ShardWriter:
    """Writes records to one file.

    Args:
        path: File to write; it must not exist.
        compression: "", "GZIP" or "ZLIB".
        content: Receives the input of the split's content digest, see ``pack_content``.
        disk: If given, it writes in its thread; ``shard()`` is complete only after ``disk.wait()``.

    Attributes:
        records: Number of records so far.

    Raises:
        DataError: The file can't be created.
    """

    def __init__(
        self,
        path: str | Path,
        compression: str = "",
        content: Callable[[bytes], object] | None = None,
        disk: Disk | None = None,
    ) -> None:
        check_compression(compression)
        self.path = Path(path)
        self.records = 0
        self._content = content
        self._disk = disk
        self._closed = False
        self._bytes = 0
        self._checksum = 0
        self._waiting = bytearray()
        self._compressor = _compressor(compression)
        try:
            self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise DataError(f"{self.path} can't be written: {error.strerror}") from error
        self._writeback = Writeback(self._file.fileno())

    def write(self, payload: bytes) -> None:
        """Add one record.

        Args:
            payload: The serialized Example.
        """
        self.write_block(one_by_one([payload]))

    def write_block(self, block: Block) -> None:
        """Add many records that are already framed."""
        self.records += len(block.lengths)
        if self._content is not None:
            self._content(pack_content(block.lengths, block.crcs))
        self._do(self._write, block.data)

    def close(self) -> None:
        """Finish, sync and close the file; closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._do(self._close)

    def discard(self) -> None:
        """Close the file as it is; used after an error."""
        self._closed = True
        if self._disk is not None:
            # A queued task must not write to the closed file.
            self._disk.forget()
        self._release()

    def shard(self) -> Shard:
        """Describe the closed shard for the manifest."""
        return Shard(self.path.name, self.records, self._bytes, f"{self._checksum:08x}")

    def _do(self, work: Callable[..., None], *arguments: Any) -> None:
        if self._disk is None:
            work(*arguments)
        else:
            self._disk.do(work, *arguments)

    def _write(self, data: Any) -> None:
        if self._compressor is None:
            self._put(data)
            return
        self._waiting += data
        whole = len(self._waiting) // _CHUNK_BYTES * _CHUNK_BYTES
        with memoryview(self._waiting) as view:
            for start in range(0, whole, _CHUNK_BYTES):
                self._put(self._compressor.compress(view[start : start + _CHUNK_BYTES]))
        del self._waiting[:whole]

    def _close(self) -> None:
        try:
            if self._compressor is not None:
                self._put(self._compressor.compress(bytes(self._waiting)))
                self._put(self._compressor.flush())
            self._writeback.finish(self._bytes)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._release()

    def _release(self) -> None:
        # All writers are kept until the data set is complete, so their buffers must go now.
        self._compressor = None
        self._waiting = bytearray()
        self._file.close()

    def _put(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self._checksum = crc32c.crc32c(view, self._checksum)
        start, length = self._bytes, len(view)
        self._bytes += length
        self._writeback.before(start, length)
        try:
            # An unbuffered write may write a part only.
            while len(view):
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._unwritable(error) from error
        self._writeback.after(start, length)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self.path} can't be written: {error.strerror}. The data set is left as it was."
        )

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def check_compression(compression: str) -> None:
    """Refuse values such as "gzip", which TensorFlow silently treats as no compression.

    Raises:
        ConfigError: It is not one of "", "GZIP" and "ZLIB".
    """
    if compression not in COMPRESSIONS:
        raise ConfigError(f'compression is {compression!r}, expected "" (none), "GZIP" or "ZLIB".')


def _compressor(compression: str) -> Any:
    if not compression:
        return None
    from isal import isal_zlib

    return isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[compression])
