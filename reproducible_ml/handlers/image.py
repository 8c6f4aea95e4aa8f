"""A handler for images: arrays, ``.npy`` files, PNG and JPEG files."""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reproducible_ml.handlers.array import as_bytes
from reproducible_ml.handlers.base import FeatureHandler, pick, pick_batch, replaced
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.values import checked_dtype, checked_range, exact, to_array
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.features import bytes_feature

if TYPE_CHECKING:
    import tensorflow as tf

ENCODINGS = ("raw", "png", "jpeg")
# The range of these follows from the dtype alone.
_KNOWN_RANGES = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0)}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What NumPy and Pillow raise for damaged files; a damaged header can also request huge memory.
_DAMAGED = (
    OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, OverflowError, struct.error,
    tokenize.TokenError, zlib.error,
)  # fmt: skip


class ImageHandler(FeatureHandler):
    """Stores images of height x width x channels.

    A row's value is an array [height, width] or [height, width, channels], or the path of a
    ``.npy``, PNG or JPEG file. An image that differs from ``shape`` is resized (Pillow, bilinear).
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
        if encoding not in ENCODINGS:
            raise ConfigError(f"unknown encoding {encoding!r}; choose from {', '.join(ENCODINGS)}")
        if encoding == "jpeg" and self.dtype != "uint8":
            raise ConfigError(f"a JPEG holds uint8, not {self.dtype}; use encoding='raw'")
        if encoding == "png" and self.dtype not in ("uint8", "uint16"):
            raise ConfigError(f"a PNG holds uint8 or uint16, not {self.dtype}; use encoding='raw'")
        if shape is not None and len(shape) not in (2, 3):
            raise ConfigError(f"expected shape (height, width[, channels]), found {shape}")
        if shape is not None and len(shape) == 3:
            if channels not in (None, shape[2]):
                raise ConfigError(f"channels={channels} contradicts shape={tuple(shape)}")
            channels = shape[2]
        if channels is not None and channels not in _MODES:
            raise ConfigError(f"channels is {channels}, expected one of 1, 3, 4")
        # Pillow writes 16 bits for a single channel only.
        if encoding == "png" and self.dtype == "uint16" and channels != 1:
            raise ConfigError("a PNG of uint16 can have one channel only: set channels=1")
        self.encoding = encoding
        self.size = None if shape is None else (int(shape[0]), int(shape[1]))
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
        image = load_image(path, self.channels)
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
        return shape == self.shape and values.dtype.kind in "biuf"

    def _encode(self, image: np.ndarray[Any, Any]) -> bytes:
        from PIL import Image

        if self.encoding == "raw":
            return image.tobytes()
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        buffer = io.BytesIO()
        if self.encoding == "png":
            picture.save(buffer, format="PNG")
        else:
            # 95 is the highest quality that Pillow recommends.
            picture.save(buffer, format="JPEG", quality=95)
        return buffer.getvalue()


def load_image(path: str, channels: int | None = None) -> np.ndarray[Any, Any]:
    """Load an image file.

    Args:
        path: A ``.npy``, PNG or JPEG file, or another that Pillow reads.
        channels: 1, 3 or 4 to convert a picture to grey, RGB or RGBA; None leaves it as it is, but
            a palette becomes RGB.

    Raises:
        DataError: The file is missing, empty or not an image.
    """
    from PIL import Image

    try:
        if os.path.getsize(path) == 0:
            raise DataError(f"{path} is empty (0 bytes), expected an image")
        if path.lower().endswith(".npy"):
            return to_array(np.load(path, allow_pickle=False))
        with Image.open(path) as file:
            file.load()
            picture: Image.Image = file
            if channels is not None and _MODES[channels] != picture.mode:
                # Mode I holds 16 or 32 bits; converting it to L would clip values to 255.
                deep = channels == 1 and picture.mode.startswith("I")
                picture = picture if deep else picture.convert(_MODES[channels])
            elif picture.mode not in ("L", "RGB", "RGBA") and not picture.mode.startswith("I"):
                picture = picture.convert("L" if picture.mode == "1" else "RGB")
            return np.asarray(picture)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist, expected an image") from None
    except DataError as error:
        raise error if path in str(error) else DataError(f"{path}: {error}") from None
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"{path} can't be read as an image: {error}") from error


def resize(image: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Resize an image [height, width, channels] bilinearly, each channel separately.

    Returns:
        uint8 for uint8 (rounded by Pillow), else float32.
    """
    from PIL import Image

    height, width = size
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
