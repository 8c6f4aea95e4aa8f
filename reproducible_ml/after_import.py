"""Changes to libraries that users import themselves, made at their import.

* TensorFlow after 2.15 gets its ``tf.estimator`` back, see ``estimator_port``.
* TF-GAN 2.1.0 calls ``inspect.getargspec``, which older Pythons deprecate and Python 3.11 removed.
  Only the modules that call it get a substitute; ``inspect`` itself is unchanged.
* ``tf.estimator.Estimator.train`` within a running experiment is recorded, see
  ``stages.autolog``, and a ``RunConfig`` without a seed takes the run's.
* TensorFlow takes the settings that fix its bits, before it computes anything in a running
  experiment.
* TF-GAN's estimator tells the training that is recorded its losses and its networks.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import types
from collections.abc import Mapping
from typing import Any

from reproducible_ml import estimator_port
from reproducible_ml.utils import running

_ESTIMATOR = "tensorflow_estimator.python.estimator"
_TF_GAN = "tensorflow_gan.python"
_CALL_GETARGSPEC = ("train", "estimator.stargan_estimator", "estimator.tpu_gan_estimator")


def install() -> None:
    """Make the changes, now for what is imported, else at its import."""
    if "tensorflow" not in sys.modules:
        # Read when TensorFlow is imported; left alone, the kernels would depend on the processor,
        # and a missing GPU would be reported as an error at each start.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import wrapt
    except ModuleNotFoundError:
        # TensorFlow needs it, too: without it there is nothing to change.
        return
    # Before the others, which find it in place.
    estimator_port.install(wrapt)
    for name in _CALL_GETARGSPEC:
        wrapt.register_post_import_hook(_with_argspec, f"{_TF_GAN}.{name}")
    wrapt.register_post_import_hook(_prepare, "tensorflow")
    wrapt.register_post_import_hook(_tell_losses, f"{_TF_GAN}.estimator.gan_estimator")
    wrapt.register_post_import_hook(_record_trainings, f"{_ESTIMATOR}.estimator")
    wrapt.register_post_import_hook(_take_seed, f"{_ESTIMATOR}.run_config")


def run_begins(config: Mapping[str, Any]) -> None:
    """Prepare this process for TensorFlow, whether the experiment will import it or has done so.

    Args:
        config: The configuration of the run that is about to execute its main function.
    """
    if "tensorflow" in sys.modules:
        _prepare(None)
    elif "onednn" in config:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1" if config["onednn"] else "0"


class _InspectWithArgspec(types.ModuleType):
    """Python's ``inspect``, with a ``getargspec`` that calls ``getfullargspec``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    @staticmethod
    def getargspec(function: Any) -> types.SimpleNamespace:
        """Return ``args`` and ``keywords`` of a function, as TF-GAN reads them."""
        spec = inspect.getfullargspec(function)
        return types.SimpleNamespace(args=spec.args, keywords=spec.varkw)


def _with_argspec(module: Any) -> None:
    # Also on older Pythons, whose own function warns that it is deprecated.
    module.inspect = _InspectWithArgspec("inspect")


def _prepare(module: Any) -> None:
    del module
    if running.autologged_run() is not None:
        _autolog().prepare_tensorflow()


def _autolog() -> Any:
    # It loads much of this library, which most processes that import TensorFlow do not need.
    return importlib.import_module("reproducible_ml.stages.autolog")


def _record_trainings(module: Any) -> None:
    stock = module.Estimator.train

    @functools.wraps(stock)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if running.autologged_run() is None:
            return stock(self, *args, **kwargs)
        return _autolog().train(stock, self, *args, **kwargs)

    module.Estimator.train = train


def _take_seed(module: Any) -> None:
    stock = module.RunConfig.__init__

    @functools.wraps(stock)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, *args, **kwargs)
        if self.tf_random_seed is None and running.autologged_run() is not None:
            self._tf_random_seed = _autolog().seed_of_run()

    module.RunConfig.__init__ = init


def _tell_losses(module: Any) -> None:
    importlib.import_module("reproducible_ml.models.gan.stock").tell_training(module)
