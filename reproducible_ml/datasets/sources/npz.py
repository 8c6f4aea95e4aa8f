"""Sources that read NPZ files: images with labels, or a single array."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.sources.base import ArraySource, Source, recorded_path
from reproducible_ml.datasets.sources.pixels import array_range, check_alike, check_images
from reproducible_ml.handlers import DTYPES, ArrayHandler, FeatureHandler, checked_range
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.seeds import drawn_rows

if TYPE_CHECKING:
    import numpy as np

_EVAL_PART = 12  # one in so many of the training rows goes to eval, as in MNIST
_SPLITS = ("train", "eval", "test")
_NAMES = tuple(f"{kind}_{split}" for split in _SPLITS for kind in "xy")
# How a ZIP archive begins, also one without files, and how a single array does.
_ZIP, _ARRAY = (b"PK\x03\x04", b"PK\x05\x06"), b"\x93NUMPY"


def load_npz(
    path: Path, keys: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray[Any, Any]]:
    """Read arrays from an NPZ file; others that it holds are not looked at.

    Args:
        path: The file.
        keys: Names of the arrays to read.
        optional: Names of arrays to read if they are there.

    Raises:
        DataError: The file is missing or damaged, lacks an array, or an array holds Python objects.
    """
    import numpy as np

    try:
        # Opened here, since NumPy leaves the file open if the archive is damaged.
        with open(path, "rb") as file:
            _check_begin(path, file.read(len(_ARRAY)))
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                names = archive.files
                missing = [key for key in keys if key not in names]
                if missing:
                    raise DataError(
                        f"{path} has no array {missing[0]!r}; it has {', '.join(names) or 'none'}."
                    )
                wanted = [*keys, *(key for key in optional if key in names)]
                return {key: _array(path, archive, key) for key in wanted}
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except ValueError as error:
        # DataError is a ValueError, too.
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} can't be read as an NPZ file: {error}.") from error
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} can't be read as an NPZ file: {error}.") from error


def _check_begin(path: Path, begin: bytes) -> None:
    """Refuse other files by their first bytes; NumPy takes them for pickled objects."""
    if begin == _ARRAY:
        raise DataError(
            f"{path} is a single array, expected an NPZ file, as numpy.savez(file, x_train=images, "
            "y_train=labels) writes it."
        )
    if not begin:
        raise DataError(f"{path} is empty (0 bytes), expected an NPZ file.")
    if not begin.startswith(_ZIP):
        raise DataError(
            f"{path} is no NPZ file: it does not begin as a ZIP archive. Write one with "
            "numpy.savez(file, x_train=images, y_train=labels)."
        )


def _array(path: Path, archive: Any, key: str) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        found = archive[key]
    except (ValueError, MemoryError) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} holds Python objects in its array {key!r}, expected numbers: save the "
                "array with a numeric dtype, such as numpy.stack(images)."
            ) from error
        raise DataError(f"{path}: the array {key!r} is damaged ({error}).") from error
    except (EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise DataError(f"{path}: the array {key!r} can't be read: {error}.") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: the array {key!r} is damaged ({error}).") from error
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path}: {key!r} is a file that holds no array; leave it out.")
    return found


def npz(
    npz_file: str | None = None,
    value_range: Sequence[float] | None = None,
    eval_seed: int | None = 0,
    **unused: Any,
) -> ArraySource:
    """Open an NPZ file with x_train, y_train and optionally x_eval, y_eval, x_test, y_test.

    Without x_eval, a twelfth of the training rows becomes eval. The number of classes is the
    largest label plus one. Other arrays are not read.

    Args:
        npz_file: The file.
        value_range: (low, high), the values of the images that become -1 and 1; None takes them
            from their dtype and values.
        eval_seed: Draws the rows of eval. None takes the last rows, which in a file sorted by class
            are all of the last one; data sets written by 1.0 have them.
        **unused: Arguments of other sources.

    Raises:
        ConfigError: ``value_range`` is not two numbers, the lower one first.
        DataError: The file is missing, damaged, or lacks arrays; or an image has NaN, infinity or
            values outside the range, or the range can't be told.
    """
    import numpy as np

    if not npz_file:
        raise DataError("source=npz needs a file: npz_file=path/to/file.npz.")
    path, stated = Path(npz_file), checked_range(value_range)
    arguments: dict[str, Any] = {"npz_file": recorded_path(path)}
    arrays = load_npz(path, ("x_train", "y_train"), _NAMES[2:])
    splits = {"train": (arrays["x_train"], arrays["y_train"])}
    for split in ("eval", "test"):
        for one, other in (("x", "y"), ("y", "x")):
            if f"{one}_{split}" in arrays and f"{other}_{split}" not in arrays:
                raise DataError(f"{path} has {one}_{split} but no array '{other}_{split}'.")
        if f"x_{split}" in arrays:
            splits[split] = (arrays[f"x_{split}"], arrays[f"y_{split}"])
    for split, (images, labels) in splits.items():
        check_images(f"{path}: x_{split}", images)
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
    check_alike(str(path), {f"x_{split}": images for split, (images, _) in splits.items()}, stated)
    if "eval" not in splits:
        images, labels = splits["train"]
        count = max(1, len(images) // _EVAL_PART)
        if eval_seed is None:
            parts: list[Any] = [slice(None, -count), slice(-count, None)]
        else:
            drawn = drawn_rows(len(images), count, eval_seed, "split")
            parts = [np.setdiff1d(np.arange(len(images)), drawn), drawn]
            arguments["eval_seed"] = eval_seed
        train, evaluated = ((images[part], labels[part]) for part in parts)
        splits = {"train": train, "eval": evaluated} | {
            name: arrays_ for name, arrays_ in splits.items() if name != "train"
        }
    classes = 1 + max(int(labels.max(initial=0)) for _, labels in splits.values())
    return ArraySource(
        "npz",
        arguments,
        splits,
        classes,
        image_description=f"Image of {path.name}",
        value_range=stated,
    )


class NpzArraySource(Source):
    """One array of an NPZ file; each of its entries is a row of the train split.

    Args:
        npz_file: The file.
        key: Name of the array in it, and of the feature.
        handler: Handles each row; by default ``ArrayHandler`` with the array's shape and type.
        value_range: (low, high), the values that become -1 and 1. None takes the range of rows of
            two dimensions or more, such as images, from their dtype and values if it can be told
            from them.
        **unused: Arguments of other sources.

    Raises:
        ConfigError: ``value_range`` is not two numbers, or stands beside a handler.
        DataError: The file is missing or damaged, has no such array with at least one row, or its
            images have NaN or infinity.
    """

    name = "npz array"

    def __init__(
        self,
        npz_file: str | Path,
        key: str,
        handler: FeatureHandler | None = None,
        value_range: Sequence[float] | None = None,
        **unused: Any,
    ) -> None:
        self.arguments = {"npz_file": recorded_path(npz_file), "key": key}
        self._array = array = load_npz(Path(npz_file), (key,))[key]
        if array.ndim == 0 or len(array) == 0:
            raise DataError(
                f"{npz_file}: the array {key!r} has shape {array.shape}, expected at least one row."
            )
        stated = checked_range(value_range)
        if stated is not None:
            if handler is not None:
                raise ConfigError(
                    f"value_range is {value_range!r} beside a handler, which states its own"
                )
            self.arguments["value_range"] = list(stated)
        if handler is None:
            if array.dtype.name not in DTYPES:
                raise DataError(
                    f"{npz_file}: the array {key!r} has dtype {array.dtype}, expected numbers."
                )
            found = array_range(f"{npz_file}: {key}", array, stated)
            handler = ArrayHandler(array.shape[1:], array.dtype.name, found)
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


def _check_labels(name: str, labels: np.ndarray[Any, Any]) -> None:
    import numpy as np

    if labels.ndim == 0 or labels.size != len(labels):
        raise DataError(
            f"{name} has shape {labels.shape}, expected one label per image; of one-hot labels, "
            "store labels.argmax(axis=1)."
        )
    if labels.dtype.kind not in "biuf":
        raise DataError(
            f"{name} has dtype {labels.dtype}, expected integers from 0; "
            "number the classes: numpy.unique(labels, return_inverse=True)[1]."
        )
    # Floats are allowed, but only those that are class numbers.
    odd = labels[~np.isfinite(labels) | (labels != np.trunc(labels)) | (labels < 0)]
    if odd.size:
        raise DataError(f"{name} has labels such as {odd[0]}, expected integers from 0.")
