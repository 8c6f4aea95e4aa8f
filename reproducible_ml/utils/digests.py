"""Digests of arrays and files, alone and in named groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.utils.files import hashed


def array_digest(array: Any) -> str:
    """Digest one array: its dtype, shape and bytes.

    Args:
        array: Anything that NumPy converts; bytes are hashed in C order and little-endian.

    Returns:
        SHA-256 as 64 hexadecimal digits.
    """
    value = np.asarray(array)
    little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str}{list(value.shape)}".encode())
    digest.update(little.tobytes() if little.ndim == 0 else little.data)
    return digest.hexdigest()


def variable_digests(estimator: Any) -> dict[str, str]:
    """Digest each variable of an Estimator's newest checkpoint.

    Args:
        estimator: A ``tf.estimator.Estimator`` that has a checkpoint.

    Returns:
        Name -> digest, see ``array_digest``.
    """
    return {
        name: array_digest(estimator.get_variable_value(name))
        for name in estimator.get_variable_names()
    }


def file_digest(path: str | Path) -> str:
    """Digest a file's bytes, a block at a time.

    Returns:
        SHA-256 as 64 hexadecimal digits.
    """
    return hashed(path, hashlib.sha256())


def checkpoint_files(prefix: Path) -> dict[str, dict[str, Any]]:
    """Return the size and the SHA-256 of a checkpoint's files.

    Args:
        prefix: Prefix in TensorFlow's sense, or the path of a checkpoint that is a single file.

    Returns:
        Name -> ``bytes`` and ``sha256``, sorted; empty if there are none.
    """
    files = sorted(
        one
        for one in prefix.parent.glob("*")
        if one.is_file() and (one == prefix or one.name.startswith(prefix.name + "."))
    )
    return {one.name: {"bytes": one.stat().st_size, "sha256": file_digest(one)} for one in files}


def combined_digest(parts: Mapping[str, str]) -> str:
    """Digest a group of named digests, independently of their order.

    Returns:
        SHA-256 as 64 hexadecimal digits.
    """
    lines = "".join(f"{name}={parts[name]}\n" for name in sorted(parts))
    return hashlib.sha256(lines.encode()).hexdigest()
