"""The exceptions of the project: one sentence each that names what, where and what to do."""

from __future__ import annotations


class ReproducibleMLError(Exception):
    """Base of all errors that the project raises on purpose; shown without a traceback."""


class DataError(ReproducibleMLError, ValueError):
    """Raw data, records or a manifest are not what they must be."""


class ConfigError(ReproducibleMLError, ValueError):
    """A setting has a wrong type or a value that cannot work."""


class TrackingError(ReproducibleMLError, RuntimeError):
    """A run cannot be recorded, found or delivered."""
