"""Sources that read NPZ files: images with labels, or a single array."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.sources.base import ArraySource, Source, recorded_path
from reproducible_ml.handlers import DTYPES, ArrayHandler, FeatureHandler
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_EVAL_PART = 12  # one in so many of the training rows goes to eval, as in MNIST


def load_npz(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Read arrays from an NPZ file.

    Args:
        path: The file.
        keys: Names of the arrays to read; empty for all.

    Raises:
        DataError: The file is missing or damaged, lacks an array, or holds Python objects.
    """
    import numpy as np

    try:
        # Opened here, since NumPy leaves the file open if the archive is damaged.
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is a single array, expected an NPZ file.")
            with archive:
                missing = [key for key in keys if key not in archive.files]
                if missing:
                    raise DataError(
                        f"{path} has no array {missing[0]!r}; it has {', '.join(archive.files)}."
                    )
                return {key: archive[key] for key in keys or archive.files}
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except ValueError as error:
        # DataError is a ValueError, too.
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} holds Python objects or is damaged ({error}); expected arrays of numbers."
        ) from error
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} can't be read as an NPZ file: {error}.") from error


def npz(npz_file: str | None = None, **unused: Any) -> ArraySource:
    """Open an NPZ file with x_train, y_train and optionally x_eval, y_eval, x_test, y_test.

    Without x_eval, the last twelfth of the training rows becomes eval. The number of classes is the
    largest label plus one.

    Raises:
        DataError: The file is missing, damaged, or lacks arrays.
    """
    if not npz_file:
        raise DataError("source=npz needs a file: npz_file=path/to/file.npz.")
    path = Path(npz_file)
    arrays = load_npz(path, ())
    for key in ("x_train", "y_train"):
        if key not in arrays:
            raise DataError(f"{path} has no array {key!r}; it has {', '.join(arrays)}.")
    splits = {"train": (arrays["x_train"], arrays["y_train"])}
    for split in ("eval", "test"):
        if f"x_{split}" in arrays:
            if f"y_{split}" not in arrays:
                raise DataError(f"{path} has x_{split} but no array 'y_{split}'.")
            splits[split] = (arrays[f"x_{split}"], arrays[f"y_{split}"])
    for split, (images, labels) in splits.items():
        _check_images(f"{path}: x_{split}", images)
        _check_labels(f"{path}: y_{split}", labels)
    if "eval" not in splits:
        images, labels = splits["train"]
        if len(images) == len(labels) == 1:
            raise DataError(
                f"{path}: x_train has only 1 row, so none is left for eval; add x_eval and y_eval."
            )
        if len(images) != len(labels):
            raise DataError(
                f"{path}: x_train has {len(images)} rows, y_train {len(labels)}; expected one "
                "label per image."
            )
        cut = len(images) - max(1, len(images) // _EVAL_PART)
        splits = {"train": (images[:cut], labels[:cut]), "eval": (images[cut:], labels[cut:])} | {
            name: arrays_ for name, arrays_ in splits.items() if name != "train"
        }
    classes = 1 + max(int(labels.max(initial=0)) for _, labels in splits.values())
    return ArraySource(
        "npz",
        {"npz_file": recorded_path(path)},
        splits,
        classes,
        image_description=f"Image of {path.name}",
    )


class NpzArraySource(Source):
    """One array of an NPZ file; each of its entries is a row of the train split.

    Args:
        npz_file: The file.
        key: Name of the array in it, and of the feature.
        handler: Handles each row; by default ``ArrayHandler`` with the array's shape and type.
        **unused: Arguments of other sources.

    Raises:
        DataError: The file is missing or damaged, or has no such array with at least one row.
    """

    name = "npz array"

    def __init__(
        self, npz_file: str | Path, key: str, handler: FeatureHandler | None = None, **unused: Any
    ) -> None:
        self.arguments = {"npz_file": recorded_path(npz_file), "key": key}
        self._array = array = load_npz(Path(npz_file), (key,))[key]
        if array.ndim == 0 or len(array) == 0:
            raise DataError(
                f"{npz_file}: the array {key!r} has shape {array.shape}, expected at least one row."
            )
        if handler is None:
            value_range = (0, 255) if array.dtype == "uint8" and array.ndim >= 3 else None
            handler = ArrayHandler(array.shape[1:], array.dtype.name, value_range)
        self.split_to_size = {"train": len(array)}
        self.keys_to_handlers = {key: handler}
        self.keys_to_descriptions = {}

    def rows_gen(self, split: str) -> Any:
        """Return the array, whose entries are the rows."""
        return self._array

    def digest(self) -> str:
        """Digest the array: its type, shape and bytes."""
        from reproducible_ml.utils.digests import array_digest

        return array_digest(self._array)


def _check_images(name: str, images: np.ndarray[Any, Any]) -> None:
    if images.dtype.name not in DTYPES:
        raise DataError(f"{name} has dtype {images.dtype}, expected numbers.")
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim == 0 or 0 in images.shape[1:] or channels not in (1, 3, 4):
        raise DataError(
            f"{name} has shape {images.shape}, expected (count, height, width) or (count, height, "
            "width, channels) with 1, 3 or 4 channels."
        )


def _check_labels(name: str, labels: np.ndarray[Any, Any]) -> None:
    import numpy as np

    if labels.ndim == 0 or labels.size != len(labels):
        raise DataError(f"{name} has shape {labels.shape}, expected one label per image.")
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {labels.dtype}, expected integers from 0.")
    # Floats are allowed, but only those that are class numbers.
    odd = labels[~np.isfinite(labels) | (labels != np.trunc(labels)) | (labels < 0)]
    if odd.size:
        raise DataError(f"{name} has labels such as {odd[0]}, expected integers from 0.")
