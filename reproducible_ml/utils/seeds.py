"""Child seeds: every consumer of randomness gets its own stream from one root seed.

A child seed is a hash of the root seed and the consumer's name, so adding a consumer changes no
other stream. The hash is SHA-256 of the UTF-8 string ``"<root>/<name>"``. Its first bytes, read as
little-endian unsigned integers, are reduced to 31 bits because TensorFlow's seeds are int32.
"""

from __future__ import annotations

import hashlib

STREAMS = ("weights", "latents", "order", "augment", "evaluation")
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
