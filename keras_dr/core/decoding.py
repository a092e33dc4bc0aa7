"""Image file -> uint8 RGB, JPEG also at reduced scale; a picture too large for the memory is refused by its header.

Needs NumPy and OpenCV alone; `edge_demo` runs this very module.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

# a broken file is told by the KerasDrError; OpenCV's own lines beside it (a source file, a line) help no user
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Image = NDArray[np.uint8]

# Four times a 24-megapixel camera, and 300 MB once decoded: a workstation's worker and a phone still hold that, while
# a file of some kilobytes that claims 40,000 x 40,000 pixels would take 4.8 GB.
MAX_PIXELS = 100_000_000
MAX_SCANS = 50  # of a JPEG: an empty one takes 14 bytes and 75 ms at 100 megapixels; encoders write 1 to 12
_STRIP = 256  # rows that are blended at a time
# reduction -> mode; OpenCV names no reduced RGB modes, but takes the reduction's bit beside that of RGB
_RGB = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 lie on their side


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before any pixel.

    Attributes:
        height, width: in pixels, upright (after EXIF orientation, where `decode_rgb` applies it).
        reductions: the factors by which `decode_rgb` can reduce while it decodes, ascending.
        pixel_bytes: what a pixel takes as OpenCV decodes it, before it becomes RGB: 8 of sixteen-bit RGBA.
    """

    height: int
    width: int
    reductions: tuple[int, ...] = (1,)
    pixel_bytes: int = 3


def read_header(data: bytes) -> Header:
    """Read the size from the header of a JPEG, PNG, TIFF (also BigTIFF), BMP, WebP or binary PGM or PPM file.

    Raises:
        KerasDrError: none of these, a broken header, more than `MAX_PIXELS` of three bytes, or `MAX_SCANS`.
    """
    reader = next((read for magic, read in _READERS.items() if data.startswith(magic)), None)
    try:
        header = reader(data) if reader else None
    except (ValueError, LookupError, OverflowError, struct.error):
        header = None
    if header is None or header.height < 1 or header.width < 1:
        raise _unreadable(data)
    if header.height * header.width * max(3, header.pixel_bytes) > 3 * MAX_PIXELS:
        found = f"{header.width} x {header.height} pixels of {header.pixel_bytes} bytes"
        raise KerasDrError(f"a photograph of at most {MAX_PIXELS / 1e6:.0f} megapixels", found, "Reduce it first.")
    if data.startswith(_JPEG) and data.count(_SCAN) > MAX_SCANS:
        found = f"{data.count(_SCAN)}"
        raise KerasDrError(f"a JPEG of at most {MAX_SCANS} scans", found, "Copy the file again from its source.")
    return header


def decode_rgb(data: bytes, reduction: int = 1, header: Header | None = None) -> Image:
    """Decode JPEG, PNG, TIFF, BMP or WebP: grey, RGB, RGBA, CMYK (JPEG); 8 or 16 bits; JPEG's EXIF orientation applied.

    Transparent pixels are laid on black. Sixteen-bit samples keep their upper eight bits.

    Args:
        data: the bytes of the file.
        reduction: one of `read_header(data).reductions`; every pixel is then the mean of that many squared.
        header: `read_header(data)`, where that was asked for already.

    Returns:
        uint8 RGB (H, W, 3); with a reduction r, (ceil(H / r), ceil(W / r), 3).

    Raises:
        KerasDrError: empty, no image that OpenCV reads, or more than `MAX_PIXELS`.
    """
    header = header or read_header(data)
    if reduction not in header.reductions:
        raise ValueError(f"reduction {reduction}, not among {header.reductions}")
    # only the "color" modes turn EXIF orientation and CMYK into upright RGB; only "unchanged" keeps alpha and 16 bits
    is_jpeg = data.startswith(_JPEG)
    mode = _RGB[reduction] if is_jpeg else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:
        image = None
    if image is None:
        raise _unreadable(data)
    return image if is_jpeg else _to_rgb(image)


def _unreadable(data: bytes) -> KerasDrError:
    found = f"{len(data)} bytes that no decoder reads" if data else "an empty file"
    return KerasDrError("a JPEG, PNG, TIFF, BMP or WebP photograph", found, "Copy the file again from its source.")


def _to_rgb(image: NDArray[Any]) -> Image:
    """uint8 RGB (H, W, 3) from any layout that cv2.imdecode returns (grey, BGR, BGRA; 8 or 16 bits, float)."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        blended = np.empty((*image.shape[:2], 3), np.uint8)
        for top in range(0, len(image), _STRIP):  # the products take four times the picture's memory
            strip = image[top : top + _STRIP]
            blended[top : top + _STRIP] = (strip[..., :3] * strip[..., 3:].astype(np.uint16) + 127) // 255
        image = blended
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _jpeg_header(data: bytes) -> Header:
    """ITU-T T.81, annex B: segments up to the start of frame; bytes between segments are skipped, as libjpeg does."""
    position, sideways = 2, False
    while True:
        position = data.index(0xFF, position) + 1
        marker = data[position]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD7:  # no segment follows
            continue
        (length,) = struct.unpack_from(">H", data, position + 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 4)
            return Header(*((width, height) if sideways else (height, width)), reductions=tuple(_RGB))
        if marker in (0xD8, 0xD9, 0xDA):
            raise ValueError("no frame before the scan")
        if marker == 0xE1 and data.startswith(b"Exif\0\0", position + 3):
            sideways = _exif_orientation(data[position + 9 : position + 1 + length]) >= 5
        position += 1 + length


def _exif_orientation(exif: bytes) -> int:
    try:
        return _tiff_numbers(exif).get(_ORIENTATION, 1)
    except (KeyError, struct.error):  # a broken note does not make the photograph unreadable
        return 1


def _tiff_header(data: bytes) -> Header:
    numbers = _tiff_numbers(data)
    samples, bits = numbers.get(0x0115, 1), numbers.get(0x0102, 8)
    return Header(numbers[0x0101], numbers[0x0100], pixel_bytes=max(3, samples) * -(-bits // 8))  # palettes become RGB


def _tiff_numbers(data: bytes) -> dict[int, int]:
    """Tag -> value, the first of several, of the first directory's whole numbers (TIFF 6.0, section 2; BigTIFF)."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    (directory,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, directory)
    start, step, value = (directory + 8, 20, 12) if big else (directory + 2, 12, 8)
    codes, offset = {3: "H", 4: "I", 16: "Q"}, "Q" if big else "I"  # SHORT, LONG, LONG8
    numbers: dict[int, int] = {}
    for entry in range(start, start + count * step, step):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if kind in codes:
            (several,) = struct.unpack_from(order + offset, data, entry + 4)
            at = entry + value
            if several * struct.calcsize(codes[kind]) > struct.calcsize(offset):
                (at,) = struct.unpack_from(order + offset, data, at)
            if at <= len(data) - struct.calcsize(codes[kind]):
                numbers.setdefault(tag, struct.unpack_from(order + codes[kind], data, at)[0])
    return numbers


def _png_header(data: bytes) -> Header:
    """PNG specification, 11.2.1: IHDR comes first."""
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise ValueError("no IHDR")
    depth, colour = data[24], data[25]
    return Header(height, width, pixel_bytes=_PNG_SAMPLES[colour] * max(1, depth // 8))


def _bmp_header(data: bytes) -> Header:
    """BITMAPCOREHEADER (12 bytes) or BITMAPINFOHEADER and later; a negative height lies top down."""
    core = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    return Header(abs(height), width)


def _webp_header(data: bytes) -> Header:
    """RFC 9649: the first chunk is VP8X (extended), VP8L (lossless) or VP8 (lossy, RFC 6386)."""
    container, chunk = struct.unpack_from("<4s4s", data, 8)
    if container != b"WEBP":
        raise ValueError("another RIFF file")
    if chunk == b"VP8X":
        width, height = (1 + int.from_bytes(side, "little") for side in struct.unpack_from("<3s3s", data, 24))
        return Header(height, width)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header(1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF))
    width, height = struct.unpack_from("<HH", data, 26)
    return Header(height & 0x3FFF, width & 0x3FFF)


def _pnm_header(data: bytes) -> Header:
    """Netpbm's binary PGM and PPM: magic, width, height, largest value, parted by white space."""
    width, height, largest = (int(word) for word in data[2:64].split(maxsplit=3)[:3])
    if largest != 255:
        raise ValueError("not 8 bits a sample")
    return Header(height, width)


_JPEG, _SCAN = b"\xff\xd8\xff", b"\xff\xda"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # colour type -> as decoded: palettes and grey may be transparent
_READERS: dict[bytes, Callable[[bytes], Header]] = {
    _JPEG: _jpeg_header,
    b"\x89PNG\r\n\x1a\n": _png_header,
    b"II*\0": _tiff_header,
    b"MM\0*": _tiff_header,
    b"II+\0": _tiff_header,
    b"MM\0+": _tiff_header,
    b"BM": _bmp_header,
    b"P5\n": _pnm_header,
    b"P6\n": _pnm_header,
    b"RIFF": _webp_header,
}
