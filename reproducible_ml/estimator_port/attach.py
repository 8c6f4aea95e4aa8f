"""What TensorFlow 2.16 and later dropped of the Estimator, put back when TensorFlow is imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from typing import Any

from reproducible_ml.estimator_port import coordinator

# No TensorFlow for these Pythons has the Estimator, and every one for older ones that is supported.
_SINCE = (3, 12)

# The Estimator, canned estimators and TF-GAN build on Keras 2, the package tf_keras. TensorFlow
# reads this variable when ``tf.keras`` or a layer is first used, but its folders at its import.
LEGACY_KERAS = "TF_USE_LEGACY_KERAS"

_API = "tensorflow_estimator.python.estimator.api"
# ``tf.compat.v1`` and ``tensorflow.compat.v1`` are two modules, made from one file: the second
# replaces the first once someone imports it by name. So each gets the Estimator at its own import.
_HOMES = {
    "tensorflow": "_v2",
    "tensorflow.compat.v1": "_v1",
    "tensorflow.compat.v2": "_v2",
    "tensorflow._api.v2.compat.v1": "_v1",
    "tensorflow._api.v2.compat.v2": "_v2",
}
# Modules for TPUs that tensorflow-estimator imports, with the names that it takes at once. They are
# used only if a TPUEstimator runs, which says that they are missing.
_TPU: dict[str, tuple[str, ...]] = {
    "session_support": (),
    "tpu_embedding_gradient": (),
    "tpu_embedding": (
        "AdagradParameters",
        "AdamParameters",
        "FtrlParameters",
        "MomentumParameters",
        "ProximalAdagradParameters",
        "RMSPropParameters",
        "StochasticGradientDescentParameters",
    ),
}


def install(wrapt: Any) -> None:
    """Put the Estimator back, now for a TensorFlow that is imported, else at its import.

    Args:
        wrapt: The package of that name, whose hooks run after an import.
    """
    if sys.version_info < _SINCE:
        return
    os.environ.setdefault(LEGACY_KERAS, "1")
    for name in _HOMES:
        wrapt.register_post_import_hook(_attach, name)
    wrapt.register_post_import_hook(_fill_in, "tensorflow")


def _attach(module: Any) -> None:
    """Give a module of TensorFlow its ``estimator``, loaded on first use as in 2.15."""
    from tensorflow.python.tools.module_util import get_parent_dir_for_name
    from tensorflow.python.util.lazy_loader import LazyLoader

    # A module of version 1 puts a wrapper in its own place, which Python's imports ask.
    module = sys.modules.get(module.__name__, module)
    if "estimator" in vars(module):
        return
    version = _HOMES[module.__name__]
    name = f"{_API}.{version}.estimator"
    module.estimator = LazyLoader("estimator", vars(module), name)
    # For `from tensorflow.estimator import Estimator`, which Python looks up in folders.
    homes = [name]
    if os.environ.get(LEGACY_KERAS) in ("1", "true", "True"):
        # The same for `tensorflow.keras`, where TensorFlow was imported before this package.
        homes.append(f"tf_keras.api.{version}.keras")
    folders = [get_parent_dir_for_name(one) for one in homes]
    module.__path__ = [*folders, *(one for one in module.__path__ if one not in folders)]


def _fill_in(tensorflow: Any) -> None:
    """Put the modules and names in place that tensorflow-estimator 2.15 imports."""
    export: Any = importlib.import_module("tensorflow.python.util.tf_export")
    # The decorator of its public classes registers them under an API of this name.
    if not hasattr(export, "ESTIMATOR_API_NAME"):
        export.ESTIMATOR_API_NAME = "estimator"
        for registry, version in ((export.API_ATTRS, ""), (export.API_ATTRS_V1, "_v1")):
            registry["estimator"] = export._Attributes(
                f"_estimator_api_names{version}", f"_estimator_api_constants{version}"
            )
    # How a RunConfig reads TF_CONFIG, and how workers of a cluster train.
    _place("tensorflow.python.distribute", "estimator_training", coordinator)
    for name, members in _TPU.items():
        module = _NotForTpu(f"tensorflow.python.tpu.{name}", tensorflow.__version__)
        for member in members:
            setattr(module, member, type(member, (), {}))
        _place("tensorflow.python.tpu", name, module)


class _NotForTpu(types.ModuleType):
    """A module of which only the names exist that are imported from it."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(name)
        self._version = version

    def __getattr__(self, name: str) -> Any:
        # Python's own questions, such as for `__path__`, take the error as a no.
        raise AttributeError(
            f"TensorFlow {self._version} has no {self.__name__}.{name}. Reproducible-ML gives it "
            "tf.estimator back, without TPUs: train on a TPU with TensorFlow 2.15 (Python 3.11)."
        )


def _place(package: str, name: str, module: types.ModuleType) -> None:
    """Make a module importable from a package of TensorFlow that lacks it."""
    full = f"{package}.{name}"
    if full not in sys.modules and importlib.util.find_spec(full) is None:
        sys.modules[full] = module
        setattr(importlib.import_module(package), name, module)
