"""The version of the installed TensorFlow, determined without importing it."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from reproducible_ml.utils.errors import ConfigError

# Series of TensorFlow -> the Pythons that Reproducible-ML uses it on: a line each. 2.15 is the last
# with tf.estimator; the others get it from estimator_port.
LINES = {
    "2.15": ((3, 10), (3, 11)),
    "2.19": ((3, 12),),
    "2.21": ((3, 13),),
}

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


def series_of(version: str) -> str:
    """Return the series of a version: "2.15" for "2.15.1" and for "2.15.0.post1"."""
    return ".".join(version.split(".")[:2])


def series_for(python: tuple[int, int]) -> str | None:
    """Return the TensorFlow series that a version of Python gets; None if it gets none.

    Args:
        python: Such as ``(3, 12)``.
    """
    return next((series for series, pythons in LINES.items() if python in pythons), None)


def require_tensorflow() -> str:
    """Return the installed TensorFlow's version, or raise if it is not the one of this Python.

    Returns:
        The version, such as ``"2.15.1"``.

    Raises:
        ConfigError: There is no line for this Python, or TensorFlow is not installed, or is of
            another series.
    """
    python = sys.version_info[:2]
    series = series_for(python)
    shown = f"{python[0]}.{python[1]}"
    if series is None:
        raise ConfigError(f"Python {shown} is not supported; {describe_lines()}.")
    major, minor = series.split(".")
    install = f"install it with: pip install 'tensorflow>={series},<{major}.{int(minor) + 1}'"
    found = installed_tensorflow()
    if found is None:
        raise ConfigError(f"TensorFlow is not installed; {install}")
    if series_of(found) != series:
        raise ConfigError(
            f"TensorFlow {found} is installed, but on Python {shown} Reproducible-ML needs "
            f"{series}; {install}"
        )
    return found


def describe_lines() -> str:
    """Return a sentence's part that names each TensorFlow with its Pythons."""
    parts = []
    for series, pythons in LINES.items():
        named = " and ".join(f"{major}.{minor}" for major, minor in pythons)
        parts.append(f"TensorFlow {series} runs on Python {named}")
    return ", ".join(parts)
