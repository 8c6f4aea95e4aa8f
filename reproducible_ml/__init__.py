"""Reproducible machine learning on the TensorFlow Estimator: data, training and proof.

Importing this package is cheap on purpose; heavy parts load with the
sub-package that needs them.
"""

from reproducible_ml import after_import as _after_import
from reproducible_ml import moved as _moved

__version__ = "1.0.0"

_moved.install()
_after_import.install()
