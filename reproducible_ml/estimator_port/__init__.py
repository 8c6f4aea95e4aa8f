"""``tf.estimator`` for a TensorFlow that no longer has it, from the package tensorflow-estimator.

TensorFlow 2.15 is the last series with the Estimator, and it has no wheel for Python 3.12 and
later. The series that have one still hold all that the Estimator computes with: graphs, sessions,
hooks, checkpoints, ``tf.compat.v1``, distribution strategies. What they dropped is put back at
TensorFlow's import; a TensorFlow that has its own Estimator is left as it is.
"""

from reproducible_ml.estimator_port.attach import install

__all__ = ["install"]
