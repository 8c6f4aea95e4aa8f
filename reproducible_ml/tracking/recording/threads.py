"""Thread counts of the numeric libraries below NumPy, SciPy and scikit-learn.

They share a matrix product among as many threads as the machine has cores, and the order of its
sums, and so its last bits, depends on that number. So a run sets the number, on libraries that are
loaded and, by environment variables, on those that it loads later. A variable that the user has set
is respected; the run records all of them, and a rerun sets them again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# As many as TensorFlow gets by default (``models.exact.Determinism``).
DEFAULT_THREADS = 2
_OPENMP = "OMP_NUM_THREADS"
# threadpoolctl's name of a library -> the variable that it reads when it is loaded.
_VARIABLES = {
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "openmp": _OPENMP,
}
# Apple's library is the only one that does not read the variable of OpenMP for want of its own.
_SET = (_OPENMP, "VECLIB_MAXIMUM_THREADS") if sys.platform == "darwin" else (_OPENMP,)


@contextmanager
def fixed_threads(count: int = DEFAULT_THREADS) -> Iterator[None]:
    """Compute with so many threads within the block, unless the environment says otherwise.

    Args:
        count: Threads of each library whose variable is not set; ``OMP_NUM_THREADS`` stands for
            the variables of all of them.
    """
    names = [name for name in _SET if not os.environ.get(name)]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    changed = []
    try:
        for pool in _pools():
            wanted = _wanted(pool.internal_api)
            if wanted is not None:
                changed.append((pool, pool.num_threads))
                # OpenBLAS takes its variable only up to the number of cores, but this whatever.
                pool.set_num_threads(wanted)
        yield
    finally:
        for pool, threads in changed:
            pool.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def describe_pools() -> dict[str, str]:
    """Return the loaded libraries that share work among threads: file -> what it is.

    The kernels that OpenBLAS has chosen for the processor are part of it, since they determine
    the last bits, too.
    """
    found = {}
    for pool in _pools():
        facts = [f"{pool.internal_api} {pool.version or ''}".strip()]
        facts += [text for text in [getattr(pool, "architecture", None)] if text]
        # Without the version after the first dot, which keys in MongoDB may not have.
        name = Path(pool.filepath).name.partition(".")[0]
        found[name] = ", ".join([*facts, f"threads: {pool.num_threads}"])
    return dict(sorted(found.items()))


def _pools() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().lib_controllers)


def _wanted(library: str) -> int | None:
    """Return the number of threads that the environment sets; None if it sets none."""
    text = os.environ.get(_VARIABLES.get(library, _OPENMP)) or os.environ.get(_OPENMP) or ""
    # OpenMP takes a list, with a number for each level of nesting.
    first = text.partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None
