"""The version of the installed TensorFlow, determined without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from reproducible_ml.utils.errors import ConfigError

# 2.15 is the last series with tf.estimator.
SERIES = "2.15"
INSTALL = "pip install 'tensorflow>=2.15,<2.16'"

# The distributions that provide the module ``tensorflow``, the general one first.
DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-intel")


def installed_tensorflow() -> str | None:
    """Return the version of the installed TensorFlow, or None if it is not installed."""
    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def require_tensorflow() -> str:
    """Return the installed TensorFlow's version, or raise if it lacks Estimator.

    Returns:
        The version, such as ``"2.15.1"``.

    Raises:
        ConfigError: TensorFlow is not installed, or is of another series.
    """
    found = installed_tensorflow()
    if found is None:
        raise ConfigError(f"TensorFlow is not installed; install it with: {INSTALL}")
    if found.split(".")[:2] != SERIES.split("."):
        raise ConfigError(
            f"TensorFlow {found} is installed, but Reproducible-ML needs {SERIES}, the last with "
            f"tf.estimator; install it with: {INSTALL}"
        )
    return found
