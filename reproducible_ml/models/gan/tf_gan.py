"""TF-GAN and TF-slim, imported in one place, without what they load and this project does not use.

What makes TF-GAN work on Python 3.11 is in ``reproducible_ml.after_import``.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reproducible_ml.utils.tensorflow_version import require_tensorflow

require_tensorflow()


@contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Hide scikit-learn: TF-slim takes half a second to load it, for a loss not used here."""
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["sklearn"]


class _HidesItsNames(types.ModuleType):
    """A module with all names of another one, but an empty ``dir``."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __dir__(self) -> list[str]:
        return []


@contextmanager
def _probability_on_demand() -> Iterator[None]:
    """Let TensorFlow Probability load its parts on first use.

    If it sees from ``dir`` that TensorFlow is loaded, it loads all layers and experiments for use
    in SavedModels. That takes most of a second, and TF-GAN only needs a covariance.
    """
    if "tensorflow_probability" in sys.modules:
        yield
        return
    tensorflow = importlib.import_module("tensorflow")
    sys.modules["tensorflow"] = _HidesItsNames(tensorflow)
    try:
        yield
    finally:
        sys.modules["tensorflow"] = tensorflow


with warnings.catch_warnings(), _without_scikit_learn():
    # TF-GAN and its imports still use pkg_resources of setuptools and Python's distutils.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    warnings.filterwarnings("ignore", message="distutils Version classes are deprecated")
    with _probability_on_demand():
        import tensorflow_probability  # noqa: F401 - TF-GAN imports it below
    import tensorflow_gan as tfgan
    import tf_slim as slim
    from tensorflow_gan.python import contrib_utils
    from tensorflow_gan.python.estimator import gan_estimator as stock


__all__ = ["contrib_utils", "slim", "stock", "tfgan"]
