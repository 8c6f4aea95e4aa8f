"""A request to reproduce a run, and the error that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.runs import DEFAULT_FOLDER, Store, open_store
from reproducible_ml.utils.errors import TrackingError

RECORDED, CURRENT = "recorded", "current"


class NotComparable(TrackingError):
    """A run that can't be run again or compared; the message says what is missing."""


def refuse(sentence: str) -> bool:
    """Answer no: who calls from a program has to say so before somebody else's code runs."""
    del sentence
    return False


@dataclass(frozen=True)
class Request:
    """How to run a recorded run again.

    Attributes:
        folder: Folder of runs that the new run goes to; without ``mongo`` it holds the old one too.
        record: Folder of runs that holds the old run, if it is another one.
        place: Folder that stands for the working directory in which the old run was made, as far as
            its inputs are concerned.
        wheels: Folder with all packages of the recorded environment; no index is then asked.
        mongo: Database that holds the old run; the new one goes there as well.
        sources: "recorded" source files, or the "current" ones in the working directory.
        environment: In the "current" environment, or in one with the "recorded" Python and
            packages, which is made if needed.
        steps: Train and compare only this many steps; None for all.
        upstream: Run the earlier stages again too, and read what they write.
        inputs: Configuration key -> present path of an input that has moved.
        changes: Configuration keys with values that replace the recorded ones.
        allow_altered: Use a record even if it was altered after the run.
        keep: Folder that keeps restored source files and outputs; None removes them.
        confirm: Called with a sentence before anything of somebody else's record runs; returns
            whether to continue. The default refuses.
    """

    folder: Path = Path(DEFAULT_FOLDER)
    record: Path | None = None
    place: Path | None = None
    wheels: Path | None = None
    mongo: str | None = field(default=None, repr=False)
    sources: str = RECORDED
    environment: str = CURRENT
    steps: int | None = None
    upstream: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    allow_altered: bool = False
    keep: Path | None = None
    confirm: Callable[[str], bool] = refuse

    def store(self) -> Store:
        """Open the store that holds the old run."""
        if self.mongo and self.record is None:
            return open_store(mongo=self.mongo)
        return open_store(folder=self.record or self.folder)

    def for_upstream(self) -> Request:
        """Return the request for an earlier stage: complete, and as it was recorded."""
        return replace(self, steps=None, inputs={}, changes={})
