"""Reading of image files: ``.npy``, and whatever Pillow reads, decoded by what the file says it is.

The content decides, not the name. All conversions are in a table of docs/image-files.md. The
principle: one that keeps the picture is made (palettes, 1-bit, CMYK, EXIF orientation), one that
would drop a part of it is refused (transparency, undescribed channels).
"""

from __future__ import annotations

import os
import re
import struct
import tokenize
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from reproducible_ml.handlers.depth import full_scale, to_depth
from reproducible_ml.handlers.values import to_array
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_NPY = b"\x93NUMPY"
# What NumPy and Pillow raise for damaged files; a damaged header can also request huge memory.
DAMAGED = (
    OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, OverflowError, KeyError,
    IndexError, struct.error, tokenize.TokenError, zlib.error,
)  # fmt: skip
# The raw modes of 16 bits a channel; "BGR;16" of a BMP has 5 or 6.
_DEEP = re.compile(r";16[BLN]?R?$")
# Formats that may have more bits than Pillow returns, without saying so.
_UNKNOWN_DEPTH = ("AVIF", "JPEG2000", "SGI")
# Formats whose files have one suffix.
_SAME = {"MPO": "JPEG", "DIB": "BMP", "CUR": "ICO", "JPEG": "MPO"}
_BITS, _PHOTOMETRIC, _EXTRA, _SAMPLES, _ORIENTATION = 258, 262, 338, 339, 274
_WHITE_IS_ZERO, _YCBCR, _SIGNED, _FLOAT = 0, 6, 2, 3


def conversions(content: Any, name: str, channels: int, dtype: str) -> list[str]:
    """Say what reading a picture changes or leaves out, by its header alone.

    Args:
        content: A binary file that is open, at its start.
        name: Name of the file.
        channels: 1, 3 or 4.
        dtype: NumPy dtype to convert to.

    Returns:
        Parts of sentences; none for an array, or what can't be read: it is refused, and named with
        its shard and record, when it is written.
    """
    from PIL import Image

    is_array = content.read(len(_NPY)) == _NPY
    is_named_so = name.lower().endswith(".npy")
    if is_array:
        return [] if is_named_so else ["named like a picture but .npy by content"]
    content.seek(0)
    found: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with Image.open(content) as file:
                suffix = os.path.splitext(name)[1].lower()
                of_suffix = Image.registered_extensions().get(suffix, "none")
                if of_suffix not in (file.format, _SAME.get(file.format or "")):
                    found.append("named like another format than their content, which decides")
                if getattr(file, "n_frames", 1) > 1:
                    found.append("of several frames or pages, of which the first is taken")
                if dtype == "uint8" and _bits(file) > 8:
                    found.append("of 16 or 12 bits, of which the upper 8 are kept")
                if _is_turned(file):
                    found.append("turned as their EXIF orientation says")
                if file.mode == "CMYK":
                    found.append("of CMYK, converted to RGB without a colour profile")
                if channels == 1 and file.mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
                    found.append("of colours, converted to grey")
        except (*DAMAGED, Image.DecompressionBombError):
            return []
    if any("EXIF" in str(one.message) for one in warned):
        found.append("with damaged EXIF, so their orientation may be lost")
    return found


def _is_turned(file: Any) -> bool:
    """Tell whether EXIF asks for a rotation or reflection, by the header alone."""
    # A PNG that has no EXIF before its pixels would be decoded in search of it.
    if file.format == "PNG" and not {"exif", "xmp", "Raw profile type exif"} & set(file.info):
        return False
    return file.getexif().get(_ORIENTATION, 1) in range(2, 9)


def load_image(
    path: str, channels: int | None = None, dtype: str | None = None
) -> np.ndarray[Any, Any]:
    """Load an image file.

    Args:
        path: A ``.npy``, PNG or JPEG file, or another that Pillow reads.
        channels: 1, 3 or 4 to convert a picture to grey, RGB or RGBA; None leaves it as it is, but
            a palette becomes RGB, and anything with transparent pixels RGBA.
        dtype: NumPy dtype whose full scale a picture's black and white are mapped to, see
            ``handlers.depth``; None keeps the values. Arrays keep theirs in any case.

    Returns:
        [height, width] or [height, width, channels], turned as the file's orientation says; of an
        animation, the first frame.

    Raises:
        DataError: The file is missing, empty or not an image, or a part of it would be lost.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if os.path.getsize(path) == 0:
            raise DataError(f"{path} is empty (0 bytes), expected an image")
        with open(path, "rb") as opened:
            is_array = opened.read(len(_NPY)) == _NPY
            opened.seek(0)
            if is_array:
                return to_array(np.load(opened, allow_pickle=False))
            with warnings.catch_warnings():
                # About damaged EXIF; the pixels are whole, and ``conversions`` says so.
                warnings.simplefilter("ignore", UserWarning)
                with Image.open(opened) as file:
                    return _decoded(file, channels, dtype)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist, expected an image") from None
    except DataError as error:
        raise error if path in str(error) else DataError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path} can't be read as an image: its content has no form that Pillow or NumPy reads"
        ) from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"{path} can't be read as an image: {error}") from error


def _decoded(file: Any, channels: int | None, dtype: str | None) -> np.ndarray[Any, Any]:
    """Decode an open picture and convert it to the channels and dtype."""
    from PIL import ImageOps

    # Loading empties what these are read from.
    bits, is_inverted = _bits(file), _check_tiff(file)
    file.load()
    ImageOps.exif_transpose(file, in_place=True)
    if file.mode.startswith(("I", "F")):
        return _numbers(file, channels, bits, is_inverted, dtype)
    image = np.asarray(_converted(file, channels))
    if bits <= 8:
        if dtype == "uint16" and file.format in _UNKNOWN_DEPTH:
            raise DataError(
                f"found a {file.format}, of which 8 bits are read whatever it holds, expected "
                "uint16; save it as PNG, TIFF or .npy"
            )
        return image if dtype is None else to_depth(image, 8, dtype)
    # Pillow has kept the upper 8 bits of each channel.
    if dtype not in (None, "uint8"):
        raise DataError(
            f"found {bits} bits in each of several channels, of which Pillow reads 8, expected "
            f"{dtype}; save it as .npy"
        )
    if image[..., :3].max() < 16:
        raise DataError(
            f"found {bits} bits a channel of which the upper 4 are not used: in 8 bits the image "
            "would be almost black; write the file with 8"
        )
    return image


def _numbers(
    file: Image.Image, channels: int | None, bits: int, is_inverted: bool, dtype: str | None
) -> np.ndarray[Any, Any]:
    """Return the pixels of a grey picture of more than 8 bits, or of floats."""
    image = np.asarray(file)
    if file.mode == "F":
        return image
    if not bits:
        # Pillow's own integers are signed; a file's may not be.
        tags: Any = getattr(file, "tag_v2", {})
        unsigned = file.format == "TIFF" and (tags.get(_SAMPLES) or (1,))[0] != _SIGNED
        return image.view(np.uint32) if unsigned and image.dtype == np.int32 else image
    image = image.astype(np.uint16)
    if is_inverted:
        image = full_scale(bits) - image
    see_through = file.info.get("transparency")
    if isinstance(see_through, int) and (image == see_through).any():
        raise DataError(
            f"found transparent pixels (all of value {see_through}) in 16 bits; put the image on a "
            "background first"
        )
    if dtype is None:
        return image
    image = to_depth(image, bits, dtype)
    if channels == 4:
        opaque = 255 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
        return np.stack([image] * 3 + [np.full_like(image, opaque)], axis=-1)
    return image


def _converted(picture: Image.Image, channels: int | None) -> Image.Image:
    """Convert a picture of 8 bits or fewer to grey, RGB or RGBA without losing transparency."""
    if picture.mode == "LAB":
        raise DataError("found colours of the form LAB, expected RGB or grey; save it as RGB")
    see_through = _is_see_through(picture)
    if channels is not None:
        mode = MODES[channels]
    elif see_through:
        mode = "RGBA"
    else:
        mode = "L" if picture.mode in ("1", "L") else "RGB"
        # What declares a channel of opacity keeps it, though all of it is opaque.
        mode = "RGBA" if picture.mode == "RGBA" else mode
    if see_through and mode != "RGBA":
        raise DataError(
            f"found transparent pixels, which {'grey' if mode == 'L' else 'RGB'} can't hold; ask "
            "for 4 channels, such as image_shape=[64,64,4], or put the image on a background first"
        )
    if picture.mode == mode:
        return picture
    if picture.mode in ("PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode == "CMYK":
        picture = picture.convert("RGB")
    return picture.convert(mode)


def _is_see_through(picture: Image.Image) -> bool:
    """Tell whether a pixel is transparent, and not only declared to be possibly so."""
    if picture.mode in ("RGBA", "LA"):
        return bool(picture.getchannel("A").getextrema()[0] != 255)
    if picture.mode in ("PA", "La", "RGBa") or "transparency" in picture.info:
        return bool(picture.convert("RGBA").getchannel("A").getextrema()[0] != 255)
    return False


def _bits(file: Any) -> int:
    """Return the bits of a channel in a picture's file; 0 for numbers without a full scale."""
    mode, tile = file.mode, file.tile[0] if file.tile else None
    if mode.startswith("F"):
        return 0
    if file.format == "TIFF":
        bits = int(max(file.tag_v2.get(_BITS) or (1,)))
        return 0 if mode == "I" else bits
    if mode.startswith("I"):
        # Pillow maps the values of a PGM to 16 bits, and some of its versions read a PNG as "I".
        return 16 if mode.startswith("I;16") or file.format in ("PNG", "PPM", "JPEG2000") else 0
    arguments = tile[3] if tile is not None else None
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    raw_mode = arguments[0] if arguments else None
    if isinstance(raw_mode, str) and _DEEP.search(raw_mode) and file.format in ("PNG", "SGI"):
        return 16
    if file.format == "PPM" and len(arguments) > 1 and isinstance(arguments[1], int):
        return 16 if arguments[1] > 255 else 8
    return 8


def _check_tiff(file: Any) -> bool:
    """Refuse a TIFF that Pillow reads as something else; return whether it must be inverted."""
    if file.format != "TIFF":
        return False
    tags = file.tag_v2
    samples = (tags.get(_SAMPLES) or (1,))[0]
    photometric = tags.get(_PHOTOMETRIC)
    if file.mode == "L" and samples == _SIGNED:
        raise DataError("found signed integers of 8 bits, expected unsigned ones; save it as .npy")
    if 0 in (tags.get(_EXTRA) or ()) and photometric != _YCBCR:
        raise DataError(
            f"found {len(tags.get(_BITS) or ())} channels, of which the file does not say what the "
            "last are, expected grey, RGB or RGBA; save the ones you need as .npy"
        )
    if photometric != _WHITE_IS_ZERO:
        return False
    if samples == _FLOAT:
        raise DataError("found floats of which 0 is white, expected 0 as black; save it as .npy")
    # Pillow inverts those of up to 8 bits.
    return file.mode.startswith("I;16")
