"""Copies of rows of a mapped file that survive the file's truncation and a bad disk block.

Touching a page that is gone ends the process with SIGBUS; no check beforehand prevents it, since
the file may be cut between the check and the copy. The kernel copies instead, with one
``process_vm_readv`` for up to 1024 rows, and reports such a page as an error number. Where that
call is missing or not allowed, the rows are read from the file.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# UIO_MAXIOV of Linux: the rows that one call takes.
_ROWS_PER_CALL = 1024
_NOT_ALLOWED = (errno.ENOSYS, errno.EPERM, errno.EACCES)


def copy_rows(
    table: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64], path: str | Path
) -> npt.NDArray[np.uint8]:
    """Copy rows of a table that is mapped from a file.

    Args:
        table: uint8 [n, bytes], the mapped file.
        rows: int64 [k], indices of rows.
        path: The file.

    Returns:
        uint8 [k, bytes].

    Raises:
        OSError: If bytes can't be read, because the file is shorter by now or the disk fails.
    """
    import numpy as np

    read = _process_vm_readv()
    copied = np.empty((len(rows), table.shape[1]), np.uint8)
    for first in range(0, len(rows), _ROWS_PER_CALL):
        part = rows[first : first + _ROWS_PER_CALL]
        if read is None or not _copied_by_kernel(read, table, part, copied[first:]):
            _read_from_file(path, part, copied[first:])
    return copied


def _copied_by_kernel(
    read: Any, table: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64], into: Any
) -> bool:
    """Let the kernel copy; return False if it may not."""
    import numpy as np

    length = table.shape[1]
    # Each vector is an address and a number of bytes, both of the size of a pointer.
    vectors = np.empty((len(rows), 2), np.uintp)
    vectors[:, 0] = table.ctypes.data + rows * length
    vectors[:, 1] = length
    target = np.array([[into.ctypes.data, len(rows) * length]], np.uintp)
    # Asked for each time: a forked process has another number.
    copied = read(os.getpid(), target.ctypes.data, 1, vectors.ctypes.data, len(rows), 0)
    if copied == len(rows) * length:
        return True
    number = ctypes.get_errno() if copied < 0 else errno.EFAULT
    if number in _NOT_ALLOWED:
        return False
    raise OSError(number, "its mapped bytes can't be read")


def _read_from_file(path: str | Path, rows: npt.NDArray[np.int64], into: Any) -> None:
    length = into.shape[1]
    with open(path, "rb", buffering=0) as file:
        for number, row in enumerate(rows.tolist()):
            found = os.pread(file.fileno(), length, row * length)
            if len(found) != length:
                raise OSError(errno.EFAULT, "it ends within a record")
            into[number] = memoryview(found)


@functools.cache
def _process_vm_readv() -> Any:
    """Return the C library's function; None if it has none, as on macOS."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "process_vm_readv", None)
    if function is not None:
        size, pointer = ctypes.c_ulong, ctypes.c_void_p
        function.argtypes = [ctypes.c_int, pointer, size, pointer, size, size]
        function.restype = ctypes.c_ssize_t
    return function
