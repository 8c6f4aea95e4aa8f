"""Every point and grid of a training for TensorBoard, in the event file that TensorFlow opens.

The Estimator's own summaries are every hundredth step at most; these are the points of the metrics.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import tensorflow as tf
from PIL import Image

_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


class EventLog:
    """Writes what follows the restored step; TensorBoard hides later points of a killed process.

    Args:
        model_dir: Folder of the checkpoints.
        restored_step: Step of the checkpoint that training resumes from; 0 for a fresh start.
    """

    def __init__(self, model_dir: str | Path, restored_step: int) -> None:
        self._folder = str(model_dir)
        self._restored_step = restored_step
        self._begun = False
        self._grids: set[int] = set()

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write a point, unless an earlier process has written it."""
        if step > self._restored_step:
            point = tf.compat.v1.Summary.Value(tag=name, simple_value=value)
            self._write(point, step)

    def grid(self, path: Path, step: int) -> None:
        """Write the PNG of a sample grid, each step's once."""
        if step <= self._restored_step or step in self._grids:
            return
        self._grids.add(step)
        with Image.open(path) as image:
            shown = tf.compat.v1.Summary.Image(
                width=image.width,
                height=image.height,
                colorspace=_CHANNELS[image.mode],
                encoded_image_string=path.read_bytes(),
            )
        self._write(tf.compat.v1.Summary.Value(tag="samples", image=shown), step)

    def _write(self, value: tf.compat.v1.Summary.Value, step: int) -> None:
        # TensorBoard reads one file of a folder after the other, so there is one writer for all.
        with tf.Graph().as_default() if tf.executing_eagerly() else nullcontext():
            writer = tf.compat.v1.summary.FileWriterCache.get(self._folder)
        if not self._begun and self._restored_step:
            start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
            writer.add_session_log(start, self._restored_step + 1)
        self._begun = True
        writer.add_summary(tf.compat.v1.Summary(value=[value]), step)
        # A kill then loses no point that the metrics hold.
        writer.flush()
