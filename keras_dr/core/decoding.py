"""Image file -> uint8 RGB, JPEG also at reduced scale; a picture too large for the memory is refused by its header.

A file that ends within its picture, or is damaged there, is refused as well. Needs NumPy, OpenCV and simplejpeg alone;
`edge_demo` runs this very module.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import jpeg
from keras_dr.core.endings import check_end, read_pnm_header
from keras_dr.core.errors import KerasDrError
from keras_dr.core.file_kinds import not_a_photograph
from keras_dr.core.samples import to_eight_bits
from keras_dr.core.tiff import HEIGHT, WIDTH, find_photograph, read_directories, read_directory

# The KerasDrError reports a broken file; OpenCV's own lines in addition (a source file, a line) help no user.
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
_UNKNOWN = 0  # orientation of which only OpenCV knows what it makes of it
PAGES = ("first", "largest")


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before any pixel.

    Attributes:
        height, width: in pixels, upright (after EXIF orientation, where `decode_rgb` applies it).
        reductions: the factors by which `decode_rgb` can reduce while it decodes, ascending.
        pixel_bytes: what a pixel takes as OpenCV decodes it, before it becomes RGB: 8 of sixteen-bit RGBA.
        orientation: of a JPEG by its EXIF note, 1 to 8; 1 without one, 0 where only OpenCV knows what it makes of it.
        components: of a JPEG: 1 grey, 3 colour, 4 inks.
        page: of a TIFF file, from 0.
        sample_bits: of a file of sixteen-bit samples, how many of them its metadata says are used; 0 where it says
            nothing, or where the samples have another number of bits.
        deep: whether the samples have sixteen bits in the file.
    """

    height: int
    width: int
    reductions: tuple[int, ...] = (1,)
    pixel_bytes: int = 3
    orientation: int = 1
    components: int = 3
    page: int = 0
    sample_bits: int = 0
    deep: bool = False


def read_header(data: bytes, page: str = "first") -> Header:
    """Read the size from the header of a JPEG, PNG, TIFF (also BigTIFF), BMP, WebP or binary PGM or PPM file.

    Args:
        data: the bytes of the file.
        page: of a TIFF file of several pages, the "first", or the "largest".

    Raises:
        KerasDrError: none of these, a broken header, more than `MAX_PIXELS` of three bytes, or `MAX_SCANS`.
    """
    reader = next((read for magic, read in _READERS.items() if data.startswith(magic)), None)
    try:
        header = reader(data, page) if reader else None
    except (ValueError, LookupError, OverflowError, struct.error):
        header = None
    if header is None:
        raise not_a_photograph(data)
    if header.height < 1 or header.width < 1:
        message = f"The photograph has {header.width} x {header.height} pixels, by what its file says."
        raise KerasDrError(message, "Copy the file again from its source.")
    if header.height * header.width * max(3, header.pixel_bytes) > 3 * MAX_PIXELS:
        size = f"{header.width} x {header.height} pixels of {header.pixel_bytes} bytes"
        message = f"The photograph has {size}; it may have at most {MAX_PIXELS / 1e6:.0f} megapixels of 3 bytes."
        raise KerasDrError(message, "Reduce it first.")
    if data.startswith(_JPEG) and data.count(_SCAN) > MAX_SCANS:
        message = f"The JPEG file has {data.count(_SCAN)} scans; it may have at most {MAX_SCANS}."
        raise KerasDrError(message, "Copy the file again from its source.")
    return header


def decode_rgb(data: bytes, reduction: int = 1, header: Header | None = None, bits: int | None = None) -> Image:
    """Decode JPEG, PNG, TIFF, BMP or WebP: grey, RGB, RGBA, CMYK (JPEG); 8 or 16 bits; JPEG's EXIF orientation applied.

    Transparent pixels are laid on black.

    Args:
        data: the bytes of the file.
        reduction: one of `read_header(data).reductions`; every pixel is then the mean of that many squared.
        header: `read_header(data)`, where that was asked for already.
        bits: which samples of more than eight bits become 255; see `samples.to_eight_bits`.

    Returns:
        uint8 RGB (H, W, 3); with a reduction r, (ceil(H / r), ceil(W / r), 3).

    Raises:
        KerasDrError: empty, no image that is read here, one that ends within its picture or is damaged there, more than
            `MAX_PIXELS`, or samples that do not fit `bits`.
    """
    header = header or read_header(data)
    if reduction not in header.reductions:
        raise ValueError(f"reduction {reduction}, not among {header.reductions}")
    if data.startswith(_JPEG):
        return _decode_jpeg(data, reduction, header)
    check_end(data, header.page)
    return _to_rgb(to_eight_bits(_decode(data, header), bits, header.sample_bits))


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """bool (H, W), True where a picture is not black, however dark: masks may hold numbers of kinds.

    Raises:
        KerasDrError: as `decode_rgb`.
    """
    header = read_header(data)
    if not data.startswith(_JPEG):
        samples = decode_samples(data, header)
        if samples.dtype != np.uint8:
            colours = samples[..., :3] if samples.ndim == 3 else samples[..., None]
            return np.asarray((colours > 0).any(axis=2))
    return decode_rgb(data, header=header).max(axis=2) > 0


def decode_samples(data: bytes, header: Header) -> NDArray[Any]:
    """The samples of a file that is no JPEG, as OpenCV decodes it.

    Args:
        data: the bytes of the file.
        header: what `read_header` reads of it.

    Returns:
        uint8, uint16, float32 or another dtype of the file, (H, W) or (H, W, C) in BGR order.

    Raises:
        KerasDrError: it ends within its picture, or cannot be decoded.
    """
    check_end(data, header.page)
    return _decode(data, header)


def _decode(data: bytes, header: Header) -> NDArray[Any]:
    stream = np.frombuffer(data, np.uint8)
    image = None
    try:
        if header.page:
            pages = cv2.imdecodemulti(stream, cv2.IMREAD_UNCHANGED, None, (header.page, header.page + 1))[1]
            image = pages[0] if pages else None
        else:
            image = cv2.imdecode(stream, cv2.IMREAD_UNCHANGED)  # only this keeps alpha and 16 bits
    except cv2.error:
        image = None
    if image is None:
        raise not_a_photograph(data)
    return image


def _decode_jpeg(data: bytes, reduction: int, header: Header) -> Image:
    """By simplejpeg where nothing is to be turned and the layout is common, else by OpenCV after the same check."""
    frame = jpeg.check_scans(data) if jpeg.has_several_scans(data, header.components) else None
    sideways = header.orientation >= 5
    width, height = (header.height, header.width) if sideways else (header.width, header.height)
    simple = header.orientation == 1 and header.components in (1, 3)
    scale = reduction if simple else max(_RGB)
    pixels = jpeg.decode_strictly(data, width, height, scale)
    if pixels is None:
        _check_by_filling(data, width, height, frame or jpeg.check_scans(data))
        pixels = jpeg.decode_loosely(data, width, height, scale)
    return pixels if pixels is not None and simple else _opencv_jpeg(data, reduction)


def _check_by_filling(data: bytes, width: int, height: int, frame: jpeg.Frame) -> None:
    """Refuse a picture that changes where meaningless data follows upon its own: it lacked data there."""

    def decode(content: bytes) -> Image:
        pixels = jpeg.decode_loosely(content, width, height, 1)
        return _opencv_jpeg(content, 1) if pixels is None else pixels

    if jpeg.lacks_restarts(data, frame):
        raise jpeg.truncated(len(data))
    if not frame.arithmetic and not np.array_equal(decode(data), decode(jpeg.filled(data, frame))):
        raise jpeg.truncated(len(data))


def _opencv_jpeg(data: bytes, reduction: int) -> Image:
    """Upright RGB of any JPEG; only OpenCV's "color" modes turn EXIF orientation and CMYK into it."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _RGB[reduction])
    except cv2.error:
        image = None
    if image is None:
        raise not_a_photograph(data)
    return image


def _to_rgb(image: Image) -> Image:
    """uint8 RGB (H, W, 3) from any layout that cv2.imdecode returns: grey, BGR, BGRA."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        blended = np.empty((*image.shape[:2], 3), np.uint8)
        for top in range(0, len(image), _STRIP):  # the products take four times the picture's memory
            strip = image[top : top + _STRIP]
            blended[top : top + _STRIP] = (strip[..., :3] * strip[..., 3:].astype(np.uint16) + 127) // 255
        image = blended
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _jpeg_header(data: bytes, page: str) -> Header:
    """ITU-T T.81, annex B: segments up to the start of frame; bytes between segments are skipped, as libjpeg does."""
    position, orientation, notes = 2, 1, 0
    while True:
        position = data.index(0xFF, position) + 1
        marker = data[position]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD7:  # no segment follows
            continue
        (length,) = struct.unpack_from(">H", data, position + 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker >= _ARITHMETIC and page != "first":  # nothing in it shows whether it was cut
                raise not_a_photograph(data)
            height, width = struct.unpack_from(">HH", data, position + 4)
            components = data[position + 8] if len(data) > position + 8 else 0
            size = (width, height) if orientation >= 5 else (height, width)
            if notes > 1 and orientation == 1:
                orientation = _UNKNOWN
            return Header(*size, reductions=tuple(_RGB), orientation=orientation, components=components)
        if marker in (0xD8, 0xD9, 0xDA):
            raise ValueError("no frame before the scan")
        if marker == 0xE1 and data.startswith(b"Exif\0\0", position + 3):
            notes += 1
            orientation = _exif_orientation(data[position + 9 : position + 1 + length])
        position += 1 + length


def _exif_orientation(exif: bytes) -> int:
    try:
        return read_directory(exif).numbers.get(_ORIENTATION, 1)
    except (KeyError, struct.error):  # a broken note does not make the photograph unreadable
        return _UNKNOWN


def _tiff_header(data: bytes, page: str) -> Header:
    if page == "first":
        index, numbers = 0, read_directory(data).numbers
    else:
        index, numbers = find_photograph(read_directories(data))
    samples, bits = numbers.get(0x0115, 1), numbers.get(0x0102, 8)
    return Header(
        numbers[HEIGHT],
        numbers[WIDTH],
        pixel_bytes=max(3, samples) * -(-bits // 8),  # palettes become RGB
        page=index,
        sample_bits=_tiff_bits(bits, numbers.get(0x0119, 0)),
        deep=bits == 16,
    )


def _tiff_bits(bits: int, largest: int) -> int:
    """Bits that are used, by BitsPerSample and MaxSampleValue; OpenCV widens packed samples to sixteen bits."""
    if bits != 16:
        return 16 if 8 < bits < 16 else 0
    return largest.bit_length() if largest < 2**16 - 1 else 0


def _png_header(data: bytes, page: str) -> Header:
    """PNG specification, 11.2.1: IHDR comes first."""
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise ValueError("no IHDR")
    if page != "first" and data.find(b"acTL", 0, data.find(b"IDAT")) >= 0:
        raise _several_frames("PNG")
    depth, colour = data[24], data[25]
    samples = _PNG_SAMPLES[colour] * max(1, depth // 8)
    return Header(height, width, pixel_bytes=samples, sample_bits=_png_bits(data, depth), deep=depth == 16)


def _png_bits(data: bytes, depth: int) -> int:
    """Significant bits of sixteen by sBIT (PNG specification, 11.3.2.4), which comes before the picture's data."""
    at = data.find(b"sBIT", 0, data.find(b"IDAT"))
    if depth != 16 or at < 0:
        return 0
    (length,) = struct.unpack_from(">I", data, at - 4)
    return max(data[at + 4 : at + 4 + min(length, 4)], default=0) % 16


def _bmp_header(data: bytes, page: str) -> Header:
    """BITMAPCOREHEADER (12 bytes) or BITMAPINFOHEADER and later; a negative height lies top down."""
    core = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    return Header(abs(height), width)


def _webp_header(data: bytes, page: str) -> Header:
    """RFC 9649: the first chunk is VP8X (extended), VP8L (lossless) or VP8 (lossy, RFC 6386)."""
    container, chunk = struct.unpack_from("<4s4s", data, 8)
    if container != b"WEBP":
        raise ValueError("another RIFF file")
    if chunk == b"VP8X":
        if page != "first" and data[20] & _ANIMATED:
            raise _several_frames("WebP")
        width, height = (1 + int.from_bytes(side, "little") for side in struct.unpack_from("<3s3s", data, 24))
        return Header(height, width)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header(1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF))
    width, height = struct.unpack_from("<HH", data, 26)
    return Header(height & 0x3FFF, width & 0x3FFF)


def _several_frames(kind: str) -> KerasDrError:
    message = f"The file is an animated {kind} picture: which of its frames is the photograph, nothing says."
    return KerasDrError(message, "Save one frame of it as PNG.")


def _pnm_header(data: bytes, page: str) -> Header:
    """Netpbm's binary PGM and PPM."""
    header = read_pnm_header(data)
    if not header or header[3] != 255:
        raise ValueError("not 8 bits a sample")
    _, width, height, _, _ = header
    return Header(height, width)


_JPEG, _SCAN = jpeg.MAGIC, b"\xff\xda"
_ARITHMETIC = 0xC9  # frames of this mark and above are coded arithmetically (T.81, table B.1)
_ANIMATED = 0x02  # flag of the chunk VP8X (RFC 9649)
_PNG_SAMPLES = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # colour type -> as decoded: palettes and grey may be transparent
_READERS: dict[bytes, Callable[[bytes, str], Header]] = {
    _JPEG: _jpeg_header,
    b"\x89PNG\r\n\x1a\n": _png_header,
    b"II*\0": _tiff_header,
    b"MM\0*": _tiff_header,
    b"II+\0": _tiff_header,
    b"MM\0+": _tiff_header,
    b"BM": _bmp_header,
    b"P5": _pnm_header,
    b"P6": _pnm_header,
    b"RIFF": _webp_header,
}
