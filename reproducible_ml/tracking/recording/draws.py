"""The state of the global random generators, which checks before a run must not move."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def same_draws() -> Iterator[None]:
    """Leave the generators of ``random`` and NumPy after the block as they were before it."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
