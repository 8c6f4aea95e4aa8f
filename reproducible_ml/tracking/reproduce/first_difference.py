"""The first difference between two files, two arrays or two results, in words."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from reproducible_ml.tracking.recording import ARRAYS_FILE
from reproducible_ml.tracking.reproduce.comparison import equal
from reproducible_ml.tracking.runs import flat
from reproducible_ml.utils.text import counted, shown

# A file's arrays together; ``finish`` keeps less.
_MOST_BYTES = 256 << 20
# What a damaged archive raises; one that asks for a password raises a RuntimeError.
_OF_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


def in_bytes(a: bytes, b: bytes) -> str:
    """Return where two files differ and what is there; empty if they are equal."""
    if a == b:
        return ""
    count = min(len(a), len(b))
    left, right = (np.frombuffer(one, np.uint8, count) for one in (a, b))
    differs = left != right
    if not differs.any():
        return f"equal up to byte {count}, where one ends: {len(a):,} / {counted(len(b), 'byte')}"
    offset = int(differs.argmax())
    lengths = "" if len(a) == len(b) else f"; {len(a):,} / {counted(len(b), 'byte')}"
    return f"first at byte {offset}: {a[offset]:#04x} / {b[offset]:#04x}{lengths}"


def in_arrays(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    files_a: Mapping[str, bytes],
    files_b: Mapping[str, bytes],
) -> str:
    """Return where two arrays differ and what is there; empty if that is not known.

    Args:
        a: ``info["arrays"]``'s entry of the first.
        b: That of the second.
        files_a: Artifacts of the first run, by name.
        files_b: Artifacts of the second run.
    """
    forms = [f"{_type_name(one['dtype'])} {list(one['shape'])}" for one in (a, b)]
    if forms[0] != forms[1]:
        return f"{forms[0]} / {forms[1]}"
    left, right = _kept(a, files_a), _kept(b, files_b)
    if left is None or right is None or left.shape != right.shape or left.dtype != right.dtype:
        return ""
    differs = _bytes(left) != _bytes(right)
    elements = differs.reshape(left.size, left.itemsize).any(axis=1)
    if not elements.any():
        return ""
    index = [int(one) for one in np.unravel_index(int(elements.argmax()), left.shape)]
    values = left[tuple(index)].item(), right[tuple(index)].item()
    place = f"at {index}" if index else "a single number"
    count = f"{int(elements.sum()):,} of {counted(left.size, 'element')}"
    return f"first {place}: {values[0]!r} / {values[1]!r}; {count}"


def _type_name(code: Any) -> str:
    try:
        return str(np.dtype(str(code)).name)
    except TypeError:  # not what this library records
        return str(code)


def _bytes(array: Any) -> Any:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _kept(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> Any:
    """Read an array from the artifact that keeps it; None if it is not kept there."""
    number = entry.get("kept")
    if number is None or ARRAYS_FILE not in files:
        return None
    try:
        content = io.BytesIO(files[ARRAYS_FILE])
        with zipfile.ZipFile(content) as archive:
            # A record may come from anywhere, and a small archive may hold large arrays.
            if sum(one.file_size for one in archive.infolist()) > _MOST_BYTES:
                return None
        with np.load(content, allow_pickle=False) as arrays:
            return arrays[str(number)]
    except (KeyError, OSError, ValueError, MemoryError, *_OF_ZIP):
        # It would only explain a difference that the digests have found.
        return None


def in_results(a: Any, b: Any) -> Iterator[tuple[str, str]]:
    """Yield name and difference of each differing entry of two results."""
    left, right = _entries(a), _entries(b)
    for name in [*left, *(one for one in right if one not in left)]:
        one, other = left.get(name), right.get(name)
        if not equal(one, other):
            yield name, f"{_text(one)} / {_text(other)}"


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else shown(value)


def _entries(value: Any) -> dict[str, Any]:
    # In MongoDB a dot in a key is a comma.
    return {name.replace(",", "."): one for name, one in flat(value, "result.").items()}
