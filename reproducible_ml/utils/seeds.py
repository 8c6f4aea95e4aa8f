"""Child seeds: every consumer of randomness gets its own stream from one root seed.

A child seed is a hash of the root seed and the consumer's name, so adding a consumer changes no
other stream. The hash is SHA-256 of the UTF-8 string ``"<root>/<name>"``. Its first bytes, read as
little-endian unsigned integers, are reduced to 31 bits because TensorFlow's seeds are int32.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

STREAMS = ("weights", "latents", "order", "augment", "evaluation", "rows", "split")
_MASK = 2**31 - 1


def _words(root: int, name: str) -> bytes:
    return hashlib.sha256(f"{root}/{name}".encode()).digest()


def child_seed(root: int, name: str) -> int:
    """Derive the seed of the stream ``name`` from the root seed.

    Args:
        root: The run's root seed, any integer.
        name: The stream's name; the project's own names are in ``STREAMS``.

    Returns:
        An integer in [0, 2**31).
    """
    return int.from_bytes(_words(root, name)[:4], "little") & _MASK


def seed_pair(root: int, name: str) -> tuple[int, int]:
    """Derive the two-integer key that TensorFlow's stateless operations take.

    Args:
        root: The run's root seed, any integer.
        name: The stream's name.

    Returns:
        Two integers in [0, 2**31); the first is ``child_seed(root, name)``.
    """
    words = _words(root, name)
    return child_seed(root, name), int.from_bytes(words[4:8], "little") & _MASK


def drawn_rows(
    records: int, count: int, seed: int, stream: str = "rows"
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Draw rows without replacement; each is as likely as any other, whatever their order.

    Args:
        records: Number of rows to draw from.
        count: Number of rows to draw; all if there are no more.
        seed: Root seed.
        stream: Name of the random stream.

    Returns:
        int64 array [min(count, records)], ascending.
    """
    # Imported here, so that commands which draw nothing start without it.
    import numpy as np

    # NumPy promises that RandomState draws the same in every version, unlike its newer generators.
    order = np.random.RandomState(child_seed(seed, stream)).permutation(records)
    return np.sort(order[:count]).astype(np.int64)
