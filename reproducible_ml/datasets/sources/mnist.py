"""MNIST: 28 x 28 grey images of handwritten digits, by LeCun, Cortes and Burges."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import ArraySource, recorded_path
from reproducible_ml.datasets.sources.npz import load_npz
from reproducible_ml.utils.errors import DataError

# The file that Keras downloads, and the checksum that Keras expects.
_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_SPLIT = 55_000
_CONNECT_SECONDS = 10.0


def mnist(npz_file: str | None = None, **unused: Any) -> ArraySource:
    """Open MNIST: 55,000 rows for train, 5,000 for eval, 10,000 for test, in canonical order.

    The first 55,000 training images form train, the last 5,000 eval.

    Args:
        npz_file: File with x_train, y_train, x_test and y_test; None takes the file in Keras's
            cache, downloading it if it is missing.
        **unused: Arguments of other sources.

    Raises:
        DataError: The file is missing, is not MNIST's, or can't be downloaded.
    """
    path = Path(npz_file) if npz_file else _keras_cache()
    arrays = load_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    x_train, y_train = arrays["x_train"], arrays["y_train"]
    if x_train.shape[1:] != (28, 28) or x_train.dtype != "uint8" or len(x_train) <= _SPLIT:
        raise DataError(
            f"{path} is not MNIST: x_train has shape {x_train.shape} and type {x_train.dtype}, "
            "expected (60000, 28, 28) and uint8. For other arrays use source=npz."
        )
    if len(x_train) != len(y_train):
        raise DataError(
            f"{path}: x_train has {len(x_train)} rows, y_train {len(y_train)}; expected one label "
            "per image."
        )
    return ArraySource(
        "mnist",
        {"npz_file": recorded_path(path)},
        {
            "train": (x_train[:_SPLIT], y_train[:_SPLIT]),
            "eval": (x_train[_SPLIT:], y_train[_SPLIT:]),
            "test": (arrays["x_test"], arrays["y_test"]),
        },
        classes=10,
        image_description="Handwritten digit, grey, 0 is background",
    )


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME", os.path.join(os.path.expanduser("~"), ".keras"))
    path = Path(home) / "datasets" / "mnist.npz"
    if path.exists():
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS)
    try:
        # Without a network Keras would retry for minutes, so test the connection first.
        socket.create_connection(("storage.googleapis.com", 443), _CONNECT_SECONDS).close()
        import tensorflow as tf

        return Path(tf.keras.utils.get_file("mnist.npz", _URL, file_hash=_SHA256))
    except Exception as error:
        raise DataError(
            f"MNIST is not in {path} and can't be downloaded ({error}). Name a file with "
            "npz_file=path/to/mnist.npz, or use the bundled digits: with digits."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
