"""Documented modules under the names that they had in version 1.0, for one release.

Nothing is imported for them: a finder at the end of ``sys.meta_path`` is asked only for modules
that are found nowhere else. The names go with version 1.2.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Former module -> where its names are now, both below ``reproducible_ml``.
MOVED = {
    "datasets.serialize.verify": "datasets.serialize.checking",
    "models.classifier_training": "models.evaluation.classifier_training",
    "models.determinism": "models.exact.determinism",
    "models.drawing": "models.gan",
    "models.estimator": "models.gan.estimator",
    "models.gan_estimator": "models.gan.build",
    "models.gan_types": "models.gan.types",
    "models.losses": "models.gan.losses",
    "models.metrics": "models.evaluation.formulas",
    "models.neighbours": "models.evaluation.neighbours",
    "models.networks": "models.gan.networks",
    "models.penalties": "models.gan.penalties",
    "models.sampling": "models.gan.sampling",
    "models.settings": "models.gan.settings",
    "models.training": "models.gan.training",
    "models.training_result": "models.gan.result",
    "tracking.comparison": "tracking.reproduce.comparison",
    "tracking.evaluation_stages": "stages",
    "tracking.record": "tracking.recording.facts",
    "tracking.stages": "stages",
    "tracking.stores": "tracking.runs",
    "tracking.tracked_experiment": "tracking.recording.tracked_experiment",
}
_ROOT = __name__.rpartition(".")[0]


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        root, _, former = fullname.partition(".")
        if root != _ROOT or former not in MOVED:
            return None
        return ModuleSpec(fullname, _Alias(f"{_ROOT}.{MOVED[former]}"))


class _Alias(Loader):
    def __init__(self, present: str) -> None:
        self._present = present

    def exec_module(self, module: ModuleType) -> None:
        """Warn once, and look every name up where it is now."""
        warnings.warn(
            f"{module.__name__} is deprecated and goes with version 1.2: its names are in "
            f"{self._present} now.",
            DeprecationWarning,
            stacklevel=2,
        )
        present = importlib.import_module(self._present)

        def load(name: str) -> Any:
            return getattr(present, name)

        module.__doc__ = present.__doc__
        module.__dict__["__getattr__"] = load


def install() -> None:
    """Let the former names be found."""
    sys.meta_path.append(_Finder())
