"""Photographs as they come from elsewhere: read as the plain one, or refused with their cause."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from keras_dr.core import jpeg
from keras_dr.synthetic.photographs import synthesise

EYE = synthesise(4, 3, "left", (240, 320)).image
OTHER = np.ascontiguousarray(EYE[:, ::-1])
SMALL = cv2.resize(EYE, (64, 48), interpolation=cv2.INTER_AREA)
_TIFF_COLOURS = 262  # tag PhotometricInterpretation


def saved(kind: str, *images: np.ndarray, mode: str = "RGB", **settings: object) -> bytes:
    """The file that Pillow writes of one image, or of several as pages or frames."""
    first, *others = (Image.fromarray(image).convert(mode) for image in images or (EYE,))
    stream = io.BytesIO()
    several = {"save_all": True, "append_images": others} if others else {}
    first.save(stream, kind, **several, **settings)
    return stream.getvalue()


def deep(bits: int, suffix: str) -> bytes:
    """Samples of so many bits in sixteen."""
    return cv2.imencode(suffix, EYE[..., ::-1].astype(np.uint16) << (bits - 8))[1].tobytes()


def with_colours(kind: int, tiff: bytes) -> bytes:
    """A TIFF file that says another kind of colours of itself."""
    data = bytearray(tiff)
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == _TIFF_COLOURS:
            struct.pack_into("<H", data, entry + 8, kind)
    return bytes(data)


def inks_of_sixteen_bits() -> bytes:
    """A TIFF file of four inks, which OpenCV takes for RGB with transparency."""
    inks = np.asarray(Image.fromarray(EYE).convert("CMYK")).astype(np.uint16) * 257
    return with_colours(5, cv2.imencode(".tif", inks)[1].tobytes())


def without_pixels() -> bytes:
    """A PNG file, whole but for its size, which is 0 x 0."""
    data = bytearray(saved("PNG"))
    data[16:24] = bytes(8)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def run_lengths(share: float = 1.0) -> bytes:
    """A BMP picture whose rows are run lengths, or the first part of it, closed by the mark that ends a picture."""
    palette = Image.fromarray(EYE).convert("P")
    indices = np.asarray(palette)[::-1]
    rows = b"".join(b"".join(bytes((1, index)) for index in row) + b"\0\0" for row in indices)
    colours = np.zeros((256, 4), np.uint8)
    found = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
    colours[: len(found), :3] = found[:, ::-1]
    height, width = indices.shape
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows) + 2, 0, 0, 256, 0)
    begin = 14 + len(about) + colours.nbytes
    head = b"BM" + struct.pack("<IHHI", begin + len(rows) + 2, 0, 0, begin) + about + colours.tobytes()
    return head + rows[: int(share * len(rows)) // 2 * 2] + b"\0\1"


# Frames that no decoder reads, or that show nothing of whether they are whole, with a scan of nothing.
_SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(range(1, 200)) + b"\xff\xd9"
_FRAME = b"\0\x0b\x08\0\x40\0\x40\1\1\x11\0"
_TABLE = b"\xff\xdb\0\x43\0" + bytes([1] * 64)


def cut_between_scans() -> dict[str, bytes]:
    """A progressive JPEG after each of its scans but the last, closed as if it were whole."""
    data = saved("JPEG", progressive=True)
    scans = jpeg.read_frame(data).scans[:-1]
    return {f"scan {number}.jpg": data[: scan.end] + b"\xff\xd9" for number, scan in enumerate(scans)}


BOX = EYE[15:225, 55:265]  # the fundus alone
# name -> file that shows the same eye as the plain one
READ = {
    "plain.png": saved("PNG"),
    "inks.jpg": saved("JPEG", mode="CMYK", quality=95),
    "inks.tif": saved("TIFF", mode="CMYK"),
    "second of three.tif": saved("TIFF", SMALL, EYE, SMALL),
    "compressed, second of three.tif": saved("TIFF", SMALL, EYE, SMALL, compression="tiff_lzw"),
    "run lengths.bmp": run_lengths(),
    "palette.png": saved("PNG", mode="P"),
    "squashed to a tall one.png": saved("PNG", cv2.resize(EYE, (180, 240), interpolation=cv2.INTER_AREA)),
    "squashed to 3 by 4.png": saved("PNG", cv2.resize(EYE, (240, 320), interpolation=cv2.INTER_AREA)),
    "auge №1 – œil ☃.png": saved("PNG"),
    "with  blanks .png": saved("PNG"),
    "two\nlines.png": saved("PNG"),
    "-n.png": saved("PNG"),
}
# name -> file and a part of the sentence that refuses it
REFUSED = {
    "heic.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90), "a HEIC picture"),
    "avif.jpeg": (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf" + bytes(90), "an AVIF picture"),
    "gif.png": (saved("GIF"), "a GIF picture"),
    "dicom.png": (bytes(128) + b"DICM" + bytes(90), "The DICOM file"),
    "table.jpg": (b"image,grade\na.png,0\n", "a table"),
    "empty.jpg": (b"", "an empty file"),
    "no pixels.png": (without_pixels(), "0 x 0 pixels"),
    "two pages.tif": (saved("TIFF", SMALL, EYE, OTHER), "2 pages of 320 x 240 pixels"),
    "animated.png": (saved("PNG", EYE, OTHER), "an animated PNG picture"),
    "animated.webp": (saved("WEBP", EYE, OTHER, duration=100), "an animated WebP picture"),
    "lab.tif": (saved("TIFF", mode="LAB"), "CIELab colours"),
    "inks of 16 bits.tif": (inks_of_sixteen_bits(), "inks (CMYK) of 16 bits"),
    "negative of 16 bits.tif": (
        with_colours(0, cv2.imencode(".tif", EYE[..., 1].astype("u2") << 8)[1].tobytes()),
        "0 is white",
    ),
    "cut run lengths.bmp": (run_lengths(0.8), "truncated"),
    "packed.tif": (saved("TIFF", compression="zstd"), "a TIFF picture compressed with Zstandard"),
    "arithmetic.jpg": (b"\xff\xd8" + _TABLE + b"\xff\xc9" + _FRAME + _SCAN, "an arithmetically coded JPEG"),
    "ls.jpg": (b"\xff\xd8\xff\xf7" + _FRAME + _SCAN, "a JPEG-LS picture"),
    "iphone.png": (saved("PNG")[:8] + b"\0\0\0\4CgBI\x50\0\x20\2\x2b\xd5\xb3\x7f" + saved("PNG")[8:], "Apple's own"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "a Git LFS pointer"),
    "sound.webp": (
        b"RIFF" + (100).to_bytes(4, "little") + b"WAVEfmt " + bytes(90),
        "not a photograph in a known format",
    ),
} | {name: (data, "truncated") for name, data in cut_between_scans().items()}
TWO_EYES = {
    "with a gap.png": saved("PNG", np.hstack([BOX, np.zeros((210, 50, 3), np.uint8), BOX[:, ::-1]])),
    "with a white gap.png": saved("PNG", np.hstack([BOX, np.full((210, 20, 3), 255, np.uint8), BOX[:, ::-1]])),
    "without a gap.png": saved("PNG", np.hstack([BOX, BOX[:, ::-1]])),
    "cut at their sides.png": saved("PNG", np.hstack([BOX[:, 15:-15], BOX[:, -15:15:-1]])),
    "cut above and below.png": saved("PNG", np.hstack([BOX[20:-20], BOX[20:-20, ::-1]])),
}
