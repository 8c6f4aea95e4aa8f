"""Forty odd image files, each with the pixels that it must become, or what is said of it.

The pixels come from the arrays that the files are made of, by NumPy, or from Pillow where a format
loses some.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIDE = 28
_DRAW = np.random.default_rng(20)
GREY = _DRAW.integers(0, 256, (SIDE, SIDE), np.uint8)
COLOUR = _DRAW.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
DEEP = _DRAW.integers(0, 65536, (SIDE, SIDE), np.uint16)
DEEP_COLOUR = _DRAW.integers(0, 65536, (SIDE, SIDE, 3), np.uint16)
# All 256 values, so a range can't be mistaken.
GREY[0, :], DEEP[0, :2] = np.linspace(0, 255, SIDE, dtype=np.uint8), (0, 65535)


def saved(picture, kind, **options):
    """Return the bytes of a picture file."""
    buffer = io.BytesIO()
    one = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    one.save(buffer, kind, **options)
    return buffer.getvalue()


def array_file(array):
    """Return the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def png(pixels, bits, colour_type, *chunks):
    """Write a PNG by hand, since Pillow writes no colours of 16 bits."""
    height, width = len(pixels), pixels.shape[1] * 8 // min(bits, 8)
    rows = pixels.astype(">u2" if bits == 16 else "u1").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def tiff(pixels, **tags):
    """Write an uncompressed TIFF by hand, with any tags: Pillow writes few combinations."""
    data = np.ascontiguousarray(pixels)
    channels = 1 if data.ndim == 2 else data.shape[2]
    kinds = {"u": 1, "i": 2, "f": 3}
    values = {
        256: (data.shape[1],), 257: (data.shape[0],), 258: (data.itemsize * 8,) * channels,
        259: (1,), 262: (2 if channels > 2 else 1,), 273: (0,), 277: (channels,),
        278: (data.shape[0],), 279: (data.nbytes,), 339: (kinds[data.dtype.kind],) * channels,
    }  # fmt: skip
    values.update({int(tag.strip("_")): value for tag, value in tags.items()})
    entries, extra = b"", b""
    after = 8 + 2 + 12 * len(values) + 4
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        if tag == 273:
            packed = b"PLCE"
        if len(packed) > 4:
            place = struct.pack("<I", after + len(extra))
            extra, packed = extra + packed, place
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + packed
    start = struct.pack("<I", after + len(extra))
    head = b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4) + extra
    return head.replace(b"PLCE", start) + data.astype(data.dtype.newbyteorder("<")).tobytes()


def read_by_pillow(content, mode="RGB"):
    """Return the pixels of a format that loses some, as Pillow reads them."""
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def oriented(kind, number, **options):
    """Return a picture file whose EXIF says how it was held."""
    exif = Image.Exif()
    exif[0x0112] = number
    return saved(COLOUR, kind, exif=exif, **options)


def frames(kind):
    """Return an animation whose first frame has the colours."""
    more = [Image.fromarray(COLOUR[::-1]), Image.fromarray(COLOUR[:, ::-1])]
    return saved(COLOUR, kind, save_all=True, append_images=more)


def three(grey):
    """Return a grey image with three channels."""
    return np.stack([grey] * 3, axis=-1)


def with_alpha(pixels, alpha):
    """Return pixels with a channel of opacity."""
    return np.dstack([pixels, np.full(pixels.shape[:2], alpha, pixels.dtype)])


_JPEG, _WEBP = saved(COLOUR, "JPEG", quality=95), saved(COLOUR, "WEBP", lossless=True)
_CMYK = saved(Image.fromarray(COLOUR).convert("CMYK"), "TIFF")
_CMYK_PIXELS = np.asarray(Image.fromarray(COLOUR).convert("CMYK"))
_PALETTE = Image.fromarray(COLOUR).quantize(16)
_FEW = np.asarray(_PALETTE.convert("RGB"))
_INDEX = np.asarray(_PALETTE)
_KEY = int(_INDEX[0, 0])
_UNUSED = _PALETTE.copy()
_UNUSED.info["transparency"] = 200
_FLOATS = GREY / np.float32(255)
_BLACK_WHITE = GREY > 127

# Name -> (content, RGB pixels).
RIGHT = {
    "plain.png": (saved(COLOUR, "PNG"), COLOUR),
    "grey.png": (saved(GREY, "PNG"), three(GREY)),
    "plain.jpg": (_JPEG, read_by_pillow(_JPEG)),
    "UPPER.JPEG": (_JPEG, read_by_pillow(_JPEG)),
    "plain.bmp": (saved(COLOUR, "BMP"), COLOUR),
    "plain.tif": (saved(COLOUR, "TIFF"), COLOUR),
    "packed.tiff": (saved(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR),
    "plain.webp": (_WEBP, COLOUR),
    "plain.tga": (saved(COLOUR, "TGA"), COLOUR),
    "plain.ppm": (saved(COLOUR, "PPM"), COLOUR),
    "plain.pcx": (saved(COLOUR, "PCX"), COLOUR),
    "one.gif": (saved(_PALETTE, "GIF"), _FEW),
    "palette.png": (saved(_PALETTE, "PNG"), _FEW),
    "palette with an unused transparent colour.png": (
        saved(_UNUSED, "PNG", transparency=200), _FEW,
    ),
    "opaque.png": (saved(with_alpha(COLOUR, 255), "PNG"), COLOUR),
    "opaque grey.png": (saved(Image.fromarray(with_alpha(GREY, 255), "LA"), "PNG"), three(GREY)),
    "bits.png": (saved(_BLACK_WHITE, "PNG"), three(_BLACK_WHITE * np.uint8(255))),
    "fax.tif": (
        saved(_BLACK_WHITE, "TIFF", compression="group4"), three(_BLACK_WHITE * np.uint8(255)),
    ),
    "4 bits.png": (png(GREY[:, ::2] & 240 | GREY[:, 1::2] >> 4, 4, 0), three(GREY // 16 * 17)),
    "cmyk of 16 bits.tif": (
        tiff(_CMYK_PIXELS.astype(np.uint16) * 257, _262=(5,)), read_by_pillow(_CMYK),
    ),
    "cmyk.tif": (
        _CMYK, read_by_pillow(_CMYK),
    ),
    "deep grey.png": (saved(DEEP, "PNG"), three(DEEP // 256)),
    "deep grey.tif": (saved(DEEP, "TIFF"), three(DEEP // 256)),
    "white is 0.tif": (tiff(DEEP, _262=(0,)), three((65535 - DEEP.astype(int)) // 256)),
    "deep.pgm": (
        b"P5 28 28 65535\n" + DEEP.astype(">u2").tobytes(), three(DEEP // 256),
    ),
    "deep colour.png": (png(DEEP_COLOUR, 16, 2), DEEP_COLOUR // 256),
    "deep colour.tif": (tiff(DEEP_COLOUR), DEEP_COLOUR // 256),
    "black of 16 bits.png": (saved(DEEP * 0, "PNG"), three(GREY * 0)),
    "eight bits in 16.png": (saved((GREY // 20).astype(np.uint16) * 257, "PNG"), three(GREY // 20)),
    "held upright.jpg": (
        oriented("JPEG", 6), np.rot90(read_by_pillow(oriented("JPEG", 6)), -1),
    ),
    "mirrored.png": (oriented("PNG", 2), COLOUR[:, ::-1]),
    "upside down.tif": (oriented("TIFF", 3), COLOUR[::-1, ::-1]),
    "transposed.webp": (oriented("WEBP", 5, lossless=True), COLOUR.transpose(1, 0, 2)),
    "wrong orientation.png": (oriented("PNG", 9), COLOUR),
    "moving.png": (frames("PNG"), COLOUR),
    "moving.webp": (saved(COLOUR, "WEBP", lossless=True, save_all=True, append_images=[
        Image.fromarray(COLOUR[::-1])]), COLOUR),
    "pages.tif": (frames("TIFF"), COLOUR),
    "two views.jpg": (frames("MPO"), read_by_pillow(frames("MPO"))),
    "moving.gif": (
        saved(_PALETTE, "GIF", save_all=True, append_images=[_PALETTE.transpose(1)]), _FEW,
    ),
    "really a jpeg.png": (_JPEG, read_by_pillow(_JPEG)),
    "really a png.npy": (saved(COLOUR, "PNG"), COLOUR),
    "really an array.jpg": (array_file(COLOUR), COLOUR),
    "bytes.npy": (array_file(COLOUR), COLOUR),
    "in columns.npy": (array_file(np.asfortranarray(COLOUR)), COLOUR),
    "long.npy": (array_file(GREY.astype(">i8")), three(GREY)),
    "floats.npy": (array_file(_FLOATS), three(GREY)),
    "whole floats.npy": (array_file(COLOUR.astype(np.float64)), COLOUR),
    "bool.npy": (array_file(_BLACK_WHITE), three(_BLACK_WHITE * np.uint8(255))),
    "floats.tif": (saved(_FLOATS, "TIFF"), three(GREY)),
    "bytes in 32 bits.tif": (saved(GREY.astype(np.int32), "TIFF"), three(GREY)),
    "Größe 画像\n.png": (saved(COLOUR, "PNG"), COLOUR),
}  # fmt: skip

# Name -> (content, what the one sentence says).
REFUSED = {
    "empty.png": (b"", r"is empty \(0 bytes\), expected an image"),
    "cut.png": (saved(COLOUR, "PNG")[:-900], "truncated"),
    "cut.jpg": (_JPEG[:-700], "truncated"),
    "cut.bmp": (saved(COLOUR, "BMP")[:-99], "truncated"),
    "cut.tif": (saved(COLOUR, "TIFF", compression="tiff_lzw")[:-700], "can't be read as an image"),
    "cut.webp": (_WEBP[:-99], "can't be read as an image"),
    "cut.gif": (saved(_PALETTE, "GIF")[:-200], "truncated"),
    "cut.npy": (array_file(COLOUR)[:-9], "can't be read as an image"),
    "page.jpg": (b"<!doctype html><p>404", "its content has no form that Pillow"),
    "see-through.png": (saved(with_alpha(COLOUR, 200), "PNG"), "pixels, which RGB can't hold"),
    "see-through grey.png": (
        saved(Image.fromarray(with_alpha(GREY, 0), "LA"), "PNG"), "found transparent pixels",
    ),
    "transparent colour.gif": (
        saved(_PALETTE, "GIF", transparency=_KEY), "found transparent pixels",
    ),
    "transparent palette.png": (
        saved(_PALETTE, "PNG", transparency=bytes(range(0, 160, 10))), "found transparent pixels",
    ),
    "transparent colour.png": (
        saved(COLOUR, "PNG", transparency=tuple(map(int, COLOUR[0, 0]))),
        "found transparent pixels",
    ),
    "transparent in 16 bits.png": (
        saved(DEEP, "PNG", transparency=int(DEEP[3, 3])), "found transparent pixels",
    ),
    "12 bits.png": (saved(DEEP // 16, "PNG"), r"values up to 4095 are used.*image_dtype=uint16"),
    "12 bits colour.png": (png(DEEP_COLOUR // 16, 16, 2), "the upper 4 are not used"),
    "large numbers.tif": (saved(DEEP.astype(np.int32), "TIFF"), "out of the range of uint8"),
    "signed.tif": (tiff(GREY.view(np.int8)), "signed integers of 8 bits"),
    "negative.tif": (tiff(GREY.astype(np.int16) - 300), "out of the range of uint8"),
    "5 bands.tif": (
        tiff(np.dstack([COLOUR, GREY, GREY]), _338=(0, 0)), "found 5 channels, of which the file",
    ),
    "lab.tif": (tiff(COLOUR, _262=(8,)), "colours of the form LAB"),
    "float with white 0.tif": (tiff(_FLOATS, _262=(0,)), "floats of which 0 is white"),
    "scaled to -1 and 1.npy": (array_file(_FLOATS * 2 - 1), "found floats of -1 to 1, which uint8"),
    "fractions.npy": (array_file(GREY + 0.5), "found floats of 0.5 to 255.5, which uint8 can't"),
    "only 0 and 1.npy": (array_file(_BLACK_WHITE * 1.0), "floats that are only 0 and 1"),
    "not a number.npy": (array_file(_FLOATS * np.nan), "found NaN, expected uint8"),
    "not a number.tif": (saved(_FLOATS * np.float32(np.nan), "TIFF"), "found NaN, expected uint8"),
    "words.npy": (array_file(DEEP), "found 65535, out of the range of uint8"),
    "complex.npy": (array_file(_FLOATS * 1j), "expected numbers"),
    "many channels.npy": (array_file(COLOUR.transpose(2, 0, 1)), "28 channels, expected 3"),
    "a batch.npy": (array_file(COLOUR[None]), r"shape \(1, 28, 28, 3\), expected an image"),
    "archive.npy": (b"PK\x05\x06" + bytes(18), "its content has no form"),
}  # fmt: skip
