"""Progress of long loops over records: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

_LINE_SECONDS = 5.0


def open_bar(**options: Any) -> Any | None:
    """Open tqdm's bar where one can be seen: on a terminal or in a notebook.

    Args:
        options: tqdm's own.

    Returns:
        The bar; None where lines go into a file or a pipe.
    """
    # A notebook's code runs in a kernel. Having imported ipykernel tells nothing: other packages
    # import it in plain scripts, for which ``tqdm.auto`` chooses a notebook's bar.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is not None:
        from tqdm.auto import tqdm as notebook_bar

        return notebook_bar(dynamic_ncols=True, **options)
    if sys.stderr.isatty():
        from tqdm import tqdm

        return tqdm(dynamic_ncols=True, **options)
    return None


class Progress:
    """Counts records; a context manager.

    Args:
        total: Number of records in all.
        verb: What is done to them, for the plain lines.
        bar_seconds: Seconds before a bar is shown.
    """

    def __init__(self, total: int, verb: str = "written", bar_seconds: float = 0.0) -> None:
        self._total = total
        self._verb = verb
        self._bar_seconds = bar_seconds
        self._done = 0
        self._printed = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._bar = open_bar(
            total=self._total, unit="record", unit_scale=True, delay=self._bar_seconds
        )
        return self

    def advance(self, records: int) -> None:
        """Count more records."""
        self._done += records
        if self._bar is not None:
            self._bar.update(records)
        elif time.monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = time.monotonic()
            share = 100 * self._done // max(1, self._total)
            print(
                f"{self._done:,} of {self._total:,} records {self._verb} ({share}%)",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
