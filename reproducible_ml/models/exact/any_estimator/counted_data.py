"""Data of any Estimator, counted, so that a resumed training reads on where it stopped.

How many elements a step consumes is known to the Estimator alone: TF-GAN's takes several, and takes
them in sessions of its own. So the elements are numbered as they are read, and the number is
written to ``elements.json`` before each checkpoint. A resumed training starts its dataset behind
that number: this project's input functions by position, any other dataset by reading and dropping
the elements before it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_estimator.python.estimator import util

from reproducible_ml.input_fn import called_at
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import replacing

ELEMENTS_FILE = "elements.json"
_FOREVER = 2**62


def read_elements(model_dir: str | Path, step: int) -> int | None:
    """Return how many elements a training had consumed at a step; None if nothing tells.

    Args:
        model_dir: Folder of the checkpoints.
        step: The step of a checkpoint.

    Raises:
        DataError: The file is damaged.
    """
    found = _read(Path(model_dir) / ELEMENTS_FILE).get(str(step))
    return None if found is None else int(found)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} does not give the elements that each checkpoint has consumed ({error!r}). "
            "Restore it from a backup, or start in another model_dir."
        ) from error


class ElementsListener(tf.compat.v1.train.CheckpointSaverListener):
    """Writes before each checkpoint how many elements the training has consumed.

    Args:
        model_dir: Folder of the checkpoints.
    """

    def __init__(self, model_dir: str | Path) -> None:
        self._path = Path(model_dir) / ELEMENTS_FILE
        self.counter: Any = None

    def before_save(self, session: Any, global_step_value: int) -> None:
        """Add the entry of this checkpoint."""
        if self.counter is None:
            return
        earlier = {
            step: count
            for step, count in _read(self._path).items()
            if int(step) < int(global_step_value)
        }
        count = int(session.run(self.counter))
        with replacing(self._path, synced=True) as file:
            file.write(json.dumps({**earlier, str(int(global_step_value)): count}).encode())


class CountedData:
    """The features, labels and hooks of a training whose elements are counted.

    Attributes:
        features: As the input function's dataset gives them.
        labels: Likewise; None if it gives none.
        hooks: Hooks that start the dataset.
        number: int64 scalar, the number of the element that a session reads, from 0; None if the
            input function returned tensors, whose position nothing tells.
        manifest: Manifest of the data set, if the input function is one of this project.
        counter: int64 variable, the number of consumed elements; None like ``number``.
    """

    def __init__(self, call_input_fn: Any, start: int) -> None:
        """Call the input function and count its elements.

        Args:
            call_input_fn: Function without arguments that returns what the input function does.
            start: Number of elements consumed so far.
        """
        data, place = called_at(call_input_fn, start)
        self.number: tf.Tensor | None = None
        self.counter: Any = None
        self.manifest = place.manifest
        if not isinstance(data, tf.data.Dataset):
            self.features, self.labels, self.hooks = util.parse_input_fn_result(data)
            return
        if not place.taken:
            data = data.skip(start)
        # Local: the variables of a checkpoint are the model's alone.
        self.counter = tf.compat.v1.get_variable(
            "reproducible_ml/elements",
            dtype=tf.int64,
            initializer=tf.constant(start, tf.int64),
            trainable=False,
            collections=[tf.compat.v1.GraphKeys.LOCAL_VARIABLES],
            use_resource=True,
        )
        numbers = tf.data.Dataset.range(start, _FOREVER)
        numbered = tf.data.Dataset.zip((numbers, data))
        self.number, element, self.hooks = util.parse_input_fn_result(numbered)
        # Whoever reads an element has counted it.
        with tf.control_dependencies([self.counter.assign(self.number + 1)]):
            element = tf.nest.map_structure(tf.identity, element, expand_composites=True)
        self.features, self.labels = util.parse_iterator_result(element)
