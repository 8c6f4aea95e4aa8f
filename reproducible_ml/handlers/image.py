"""Images: arrays, ``.npy`` files, PNG and JPEG files, resized to one shape."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.handlers.array import ArrayHandler
from reproducible_ml.handlers.base import FeatureHandler, field_of
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class ImageHandler(FeatureHandler):
    """Loads an image, gives it its shape and hands it on.

    A value may be an array [height, width] or [height, width, channels], the path of a ``.npy``
    file, or the path of an image file. Resizing is Pillow's bilinear with antialiasing. By default
    the pixels go on to an ``ArrayHandler`` as raw bytes, or are encoded.

    Args:
        shape: (height, width, channels) of every image; channels 1, 3 or 4.
        dtype: Type of the pixels; only "uint8" can be resized or encoded.
        encoding: "raw", or "png" for lossless compression, or "jpeg".
        value_range: Pixel values that the reader maps to -1 and 1.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: str = "uint8",
        encoding: str = "raw",
        value_range: tuple[float, float] | None = (0, 255),
    ) -> None:
        if len(shape) != 3 or shape[2] not in _MODES:
            raise ConfigError(
                f"An image's shape is (height, width, 1 or 3 or 4), found {tuple(shape)}."
            )
        if encoding not in ("raw", "png", "jpeg") or (encoding != "raw" and dtype != "uint8"):
            raise ConfigError(
                f"Images are encoded as raw, png or jpeg, the latter two from uint8; found "
                f"encoding {encoding!r} and dtype {dtype!r}."
            )
        if encoding == "jpeg" and shape[2] == 4:
            raise ConfigError("JPEG has no transparency: give 1 or 3 channels, or encode as png.")
        pixels = ArrayHandler(shape, dtype, value_range)
        super().__init__(
            delegate_to=pixels if encoding == "raw" else _EncodingHandler(pixels, encoding),
            shape=shape,
        )
        self.dtype = dtype
        self.encoding = encoding

    def transform(self, value: Any, key: str) -> np.ndarray[Any, Any]:
        """Load and resize.

        Raises:
            DataError: There is no such file, it is no image, or the array is none.
        """
        import numpy as np

        if isinstance(value, (str, os.PathLike)):
            value = _load(Path(value), self.shape[2])
        array = np.asarray(value)
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3:
            raise DataError(
                f"feature {key!r} has shape {array.shape}, expected an image of "
                "(height, width) or (height, width, channels)"
            )
        if array.shape != tuple(self.shape):
            array = _resize(array, self.shape, key)
        return array

    def handle_batch(self, rows: Sequence[Any], key: str) -> np.ndarray[Any, Any] | None:
        """Give the bytes of many raw images at once, when all have the right shape already."""
        import numpy as np

        if not isinstance(self.delegate_to, ArrayHandler):
            return None
        values = [field_of(row, key) for row in rows]
        if any(not isinstance(value, np.ndarray) for value in values):
            return None
        wanted = tuple(self.shape)
        if wanted[2] == 1:
            values = [value[:, :, None] if value.ndim == 2 else value for value in values]
        return self.delegate_to.handle_batch([{key: value} for value in values], key)


class _EncodingHandler(FeatureHandler):
    """Writes pixels as PNG or JPEG."""

    def __init__(self, pixels: ArrayHandler, encoding: str) -> None:
        super().__init__(shape=pixels.shape)
        self._pixels = pixels
        self.encoding = encoding

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        from PIL import Image

        array = self._pixels.convert(field_of(row, key), key)
        picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        buffer = io.BytesIO()
        picture.save(buffer, format=self.encoding.upper())
        return {key: bytes_feature(buffer.getvalue())}

    def schema(self) -> FeatureSchema:
        raw = self._pixels.schema()
        return FeatureSchema(
            kind="bytes",
            dtype=raw.dtype,
            shape=raw.shape,
            encoding=self.encoding,
            value_range=raw.value_range,
        )


def _load(path: Path, channels: int) -> Any:
    """Read an image file or an array file."""
    import numpy as np
    from PIL import Image

    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        with Image.open(path) as picture:
            return np.asarray(picture.convert(_MODES[channels]))
    except FileNotFoundError:
        raise DataError(f"there is no image file {path}") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path} can't be read as an image: {error}") from error


def _resize(array: np.ndarray[Any, Any], shape: Sequence[int], key: str) -> np.ndarray[Any, Any]:
    import numpy as np
    from PIL import Image

    if array.dtype != np.uint8 or array.shape[2] not in _MODES:
        raise DataError(
            f"feature {key!r} has shape {array.shape} and type {array.dtype}; only uint8 images "
            f"with 1, 3 or 4 channels can be resized to {tuple(shape)}"
        )
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    picture = picture.convert(_MODES[shape[2]]).resize(
        (shape[1], shape[0]), Image.Resampling.BILINEAR
    )
    return np.asarray(picture).reshape(tuple(shape))
