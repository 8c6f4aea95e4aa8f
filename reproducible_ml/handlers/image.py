"""A handler for images: arrays, ``.npy`` files, and picture files that Pillow reads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reproducible_ml.handlers.array import as_bytes
from reproducible_ml.handlers.base import FeatureHandler, pick, pick_batch, replaced
from reproducible_ml.handlers.depth import to_full_scale
from reproducible_ml.handlers.image_file import MODES, load_image
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.values import (
    checked_dtype,
    checked_range,
    checked_shape,
    exact,
    to_array,
)
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import tensorflow as tf

ENCODINGS = ("raw", "png", "jpeg")
# The range of these follows from the dtype alone.
_KNOWN_RANGES = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0)}
# Integers above it have neighbours that float32 can't hold.
_EXACT_IN_FLOAT32 = 2**24


class ImageHandler(FeatureHandler):
    """Stores images of height x width x channels.

    A row's value is an array [height, width] or [height, width, channels], or the path of a
    ``.npy`` file or a picture that Pillow reads. Files are decoded by what they hold: orientation,
    palette and depth are converted, and what would be lost is refused (docs/image-files.md). An
    image that differs from ``shape`` is resized (Pillow, bilinear), once it has ``dtype``.

    Floats of 0 to 1, and bool, are mapped to 0 to the maximum of an integer dtype, unless
    ``value_range`` says that values mean something else.
    """

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        dtype: str = "uint8",
        channels: int | None = None,
        encoding: str = "raw",
        folder: str | None = None,
        delegate_to: FeatureHandler | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        """Make a handler.

        Args:
            shape: (height, width) or (height, width, channels) to resize to; None keeps the shape
                of the first image for "raw", and any shape for "png" and "jpeg".
            dtype: NumPy dtype to store; "png" takes uint8 and uint16, "jpeg" uint8.
            channels: 1, 3 or 4 for grey, RGB or RGBA; None keeps what each image has.
            encoding: "raw", "png" or "jpeg".
            folder: Folder that relative paths are joined to.
            delegate_to: A handler that receives the finished array instead of it being stored.
            value_range: (low, high) that the reader maps to [-1, 1], such as (0, 4095); a value
                outside is an error. None takes it from the dtype and the values: see
                ``handlers.ranges``. bool is 0 to 1, uint8 0 to 255.

        Raises:
            ConfigError: The settings contradict each other.
        """
        super().__init__(delegate_to=delegate_to)
        self.dtype = checked_dtype(dtype).name
        shape = None if shape is None else checked_shape(shape, 1)
        if shape is not None and len(shape) not in (2, 3):
            raise ConfigError(f"expected shape (height, width[, channels]), found {shape}")
        if shape is not None and len(shape) == 3:
            if channels not in (None, shape[2]):
                raise ConfigError(f"channels={channels} contradicts shape={tuple(shape)}")
            channels = shape[2]
        if channels is not None and channels not in MODES:
            raise ConfigError(f"channels is {channels}, expected one of 1, 3, 4")
        _check_encoding(encoding, self.dtype, channels)
        self.encoding = encoding
        self.size = None if shape is None else (shape[0], shape[1])
        self.channels = channels
        self.folder = folder
        self.shape = None
        if self.size is not None and channels is not None:
            self.shape = (*self.size, channels)
        self.value_range = checked_range(value_range)
        self.range_from_values = value_range is None
        if value_range is None and self.dtype in _KNOWN_RANGES:
            self.value_range = _KNOWN_RANGES[self.dtype]

    def transform(self, value: Any) -> np.ndarray[Any, Any]:
        """Load, convert and resize one image; return [height, width, channels] in the dtype."""
        if not isinstance(value, (str, os.PathLike)):
            return self._formed(to_array(value))
        path = os.path.join(self.folder, value) if self.folder else os.fspath(value)
        image = load_image(path, self.channels, None if self._is_by_value() else self.dtype)
        try:
            return self._formed(image)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def _formed(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Convert an array to the handler's channels, size and dtype."""
        if image.ndim == 2:
            image = image[:, :, None]
        if image.ndim != 3 or image.size == 0:
            raise DataError(
                f"found an array of shape {image.shape}, expected an image of [height, width] or "
                "[height, width, channels]"
            )
        image = _with_channels(image, self.channels)
        if np.dtype(self.dtype).kind in "ui" and image.dtype.kind in "bf":
            # What the dtype can't hold is refused here: resizing would round it.
            image = image if self._is_by_value() else to_full_scale(image, self.dtype)
            exact(image, self.dtype)
        if self.size is not None and image.shape[:2] != self.size:
            image = resize(image, self.size)
            # Interpolated values are rounded; ``exact`` would refuse them as fractions.
            if np.dtype(self.dtype).kind in "ui" and image.dtype.kind == "f":
                image = np.rint(image)
        image = exact(image, self.dtype)
        if self.shape is not None and image.shape != self.shape:
            raise DataError(
                f"found an image of shape {image.shape}, expected {self.shape}; set shape= and "
                "channels= to convert all images to one form"
            )
        return image

    def handle(self, row: Any, key: str) -> dict[str, tf.train.Feature]:
        """Return ``{key: bytes feature}``; see ``FeatureHandler.handle``."""
        if self.delegate_to is not None:
            return super().handle(row, key)
        return {key: bytes_feature(self._encode(self.transform(pick(row, key))))}

    def handle_batch(self, rows: Any, key: str) -> Any:
        """Return many images as uint8 [n, bytes] if all have one length, else as a list."""
        values = pick_batch(rows, key)
        if self._is_stored_as_it_is(values):
            return as_bytes(exact(values, self.dtype))
        images = [self.transform(value) for value in values]
        if self.encoding != "raw":
            return [self._encode(image) for image in images]
        return as_bytes(np.stack(images))

    def schema(self) -> FeatureSchema | None:
        """Return the form of one byte string; None for raw images until the shape is known."""
        if self.delegate_to is not None:
            return self.delegate_to.schema()
        if self.encoding == "raw" and self.shape is None:
            return None
        return FeatureSchema(
            "bytes", str(self.dtype), self.shape, str(self.encoding), value_range=self.value_range
        )

    def config(self) -> dict[str, Any]:
        """Return the handler's settings for the manifest, as JSON types."""
        found = super().config()
        # Says where ``value_range`` comes from, and is no setting of its own.
        del found["range_from_values"]
        return found

    def bind(self, row: Any, key: str) -> FeatureHandler:
        """Return this handler with the first image's shape if all images must share an open one."""
        if self.delegate_to is not None:
            # A subclass with its own ``handle`` may not delegate at all.
            own = type(self).handle is ImageHandler.handle
            return self.bind_delegate(row, key) if own else self
        if self.shape is not None or (self.encoding != "raw" and self.size is None):
            return self
        return replaced(self, shape=self.transform(pick(row, key)).shape)

    def _is_stored_as_it_is(self, values: Any) -> bool:
        """Return whether the images of an array can be stored without any conversion."""
        if self.encoding != "raw" or self.shape is None or not isinstance(values, np.ndarray):
            return False
        shape = values.shape[1:] if values.ndim == 4 else (*values.shape[1:], 1)
        # Bool and floats may be mapped to the full scale, image by image.
        kinds = "iu" if np.dtype(self.dtype).kind in "ui" else "biuf"
        return shape == self.shape and values.dtype.kind in kinds

    def _is_by_value(self) -> bool:
        """Return whether a value range was chosen that is not the full scale of the dtype."""
        dtype = np.dtype(self.dtype)
        high = np.iinfo(dtype).max if dtype.kind in "ui" else 255
        return self.value_range not in (None, (0.0, float(high)))

    def _encode(self, image: np.ndarray[Any, Any]) -> bytes:
        from PIL import Image

        if self.encoding == "raw":
            return image.tobytes()
        held = (1, 3) if self.encoding == "jpeg" else tuple(MODES)
        if image.shape[2] not in held:
            expected = " or ".join(map(str, held))
            raise DataError(
                f"found an image with {image.shape[2]} channels, expected {expected} for "
                f"encoding={self.encoding!r}; set channels=, or use encoding='raw'"
            )
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        buffer = io.BytesIO()
        if self.encoding == "png":
            picture.save(buffer, format="PNG")
        else:
            # 95 is the highest quality that Pillow recommends.
            picture.save(buffer, format="JPEG", quality=95)
        return buffer.getvalue()


def _check_encoding(encoding: str, dtype: str, channels: int | None) -> None:
    """Refuse an encoding that can't hold the dtype or the channels."""
    if encoding not in ENCODINGS:
        raise ConfigError(f"unknown encoding {encoding!r}; choose from {', '.join(ENCODINGS)}")
    if encoding == "jpeg" and dtype != "uint8":
        raise ConfigError(f"a JPEG holds uint8, not {dtype}; use encoding='raw'")
    if encoding == "jpeg" and channels == 4:
        raise ConfigError("a JPEG has no opacity, so no 4 channels; use encoding='png'")
    if encoding == "png" and dtype not in ("uint8", "uint16"):
        raise ConfigError(f"a PNG holds uint8 or uint16, not {dtype}; use encoding='raw'")
    # Pillow writes 16 bits for a single channel only.
    if encoding == "png" and dtype == "uint16" and channels != 1:
        raise ConfigError("a PNG of uint16 can have one channel only: set channels=1")


def resize(image: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Resize an image [height, width, channels] bilinearly, each channel separately.

    Returns:
        uint8 for uint8 (rounded by Pillow), else float32.

    Raises:
        DataError: Integers are larger than float32 can tell apart.
    """
    from PIL import Image

    height, width = size
    if image.dtype.kind in "iu" and image.dtype.itemsize > 2:
        most = max(abs(int(image.max())), abs(int(image.min())))
        if most > _EXACT_IN_FLOAT32:
            raise DataError(
                f"found integers up to {most}, of which resizing would lose the last digits; "
                f"store images of the size that they have, {image.shape[0]} x {image.shape[1]}"
            )
    kind = np.uint8 if image.dtype == np.uint8 else np.float32
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[:, :, channel], dtype=kind)).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=-1)


def _with_channels(image: np.ndarray[Any, Any], channels: int | None) -> np.ndarray[Any, Any]:
    """Give an image the number of channels asked for if no information is lost."""
    if channels is None or image.shape[2] == channels:
        return image
    if image.shape[2] == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    raise DataError(f"found an image with {image.shape[2]} channels, expected {channels}")
