"""Reads the headers of image files: size, samples, orientation and page, without decoding the picture.

Pictures that are too large for the memory are refused by their headers.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from keras_dr.core import jpeg
from keras_dr.core.dicom import unwrap
from keras_dr.core.dicom_files import is_dicom
from keras_dr.core.endings import read_pnm_header
from keras_dr.core.errors import KerasDrError
from keras_dr.core.file_kinds import not_a_photograph
from keras_dr.core.png_marks import is_drawn
from keras_dr.core.tiff import HEIGHT, WIDTH, find_photograph, read_directories, read_directory

# Four times a 24-megapixel camera, and 300 MB when it is decoded, which fits a workstation's worker and a phone. A file
# of a few kilobytes whose header says 40,000 x 40,000 pixels would take 4.8 GB.
MAX_PIXELS = 100_000_000
MAX_SCANS = 50  # of a JPEG: an empty scan has 14 bytes but takes 75 ms at 100 megapixels; encoders write 1 to 12 scans
REDUCTIONS = (1, 2, 4, 8)  # by which a JPEG can be reduced while it is decoded
_ORIENTATION = 0x0112  # EXIF tag; with 5 to 8, width and height are exchanged
_UNKNOWN = 0  # an orientation that only OpenCV interprets
PAGES = ("first", "largest")
_SCAN = b"\xff\xda"
_ARITHMETIC = 0xC9  # frames with this marker and above are coded arithmetically (T.81, table B.1)
_ANIMATED = 0x02  # flag of the chunk VP8X (RFC 9649)
_PNG_SAMPLES = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # colour type -> decoded samples; palettes and grey may be transparent


@dataclass(frozen=True)
class Header:
    """The properties in the header of an image file.

    Attributes:
        height, width: size in pixels, upright (after EXIF orientation if `decode_rgb` applies it).
        reductions: the factors by which `decode_rgb` can reduce the picture while it decodes, ascending.
        pixel_bytes: bytes per pixel as OpenCV decodes it, before it becomes RGB; 8 for sixteen-bit RGBA.
        orientation: the EXIF orientation of a JPEG, 1 to 8; 1 if there is none, 0 if only OpenCV interprets it.
        components: the number of components of a JPEG: 1 grey, 3 colour, 4 inks.
        page: the index of the page in a TIFF file, from 0.
        sample_bits: for samples of sixteen bits, how many of them the metadata says are used; 0 if it does not say so,
            or if the samples have another number of bits.
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
    """Read the size from the header of a JPEG, PNG, TIFF (also BigTIFF), BMP, WebP, binary PGM or PPM, or DICOM file.

    Args:
        data: the bytes of the file.
        page: which page of a TIFF file with several pages is meant, "first" or "largest".

    Raises:
        KerasDrError: the file has another format or a broken header, more than `MAX_PIXELS` pixels of three bytes, or
            more than `MAX_SCANS` scans.
    """
    if is_dicom(data):
        data = unwrap(data)[0]
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
    if data.startswith(jpeg.MAGIC) and data.count(_SCAN) > MAX_SCANS:
        message = f"The JPEG file has {data.count(_SCAN)} scans; it may have at most {MAX_SCANS}."
        raise KerasDrError(message, "Copy the file again from its source.")
    return header


def _jpeg_header(data: bytes, page: str) -> Header:
    """Read the segments up to the start of frame (ITU-T T.81, annex B).

    Bytes between segments are skipped, as libjpeg does.
    """
    position = 2
    orientation = 1
    exif_segments = 0
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
            if exif_segments > 1 and orientation == 1:
                orientation = _UNKNOWN
            return Header(*size, reductions=REDUCTIONS, orientation=orientation, components=components)
        if marker in (0xD8, 0xD9, 0xDA):
            raise ValueError("There is no frame before the scan.")
        if marker == 0xE1 and data.startswith(b"Exif\0\0", position + 3):
            exif_segments += 1
            orientation = _exif_orientation(data[position + 9 : position + 1 + length])
        position += 1 + length


def _exif_orientation(exif: bytes) -> int:
    try:
        return read_directory(exif).numbers.get(_ORIENTATION, 1)
    except (KeyError, struct.error):  # broken EXIF data does not make the photograph unreadable
        return _UNKNOWN


def _tiff_header(data: bytes, page: str) -> Header:
    if page == "first":
        index = 0
        numbers = read_directory(data).numbers
    else:
        index, numbers = find_photograph(read_directories(data))
    samples = numbers.get(0x0115, 1)
    bits = numbers.get(0x0102, 8)
    return Header(
        numbers[HEIGHT],
        numbers[WIDTH],
        pixel_bytes=max(3, samples) * -(-bits // 8),  # palettes become RGB
        page=index,
        sample_bits=_tiff_bits(bits, numbers.get(0x0119, 0)),
        deep=bits == 16,
    )


def _tiff_bits(bits: int, largest: int) -> int:
    """Return the bits in use by BitsPerSample and MaxSampleValue; OpenCV widens packed samples to sixteen bits."""
    if bits != 16:
        return 16 if 8 < bits < 16 else 0
    return largest.bit_length() if largest < 2**16 - 1 else 0


def _png_header(data: bytes, page: str) -> Header:
    """Read IHDR, which comes first (PNG specification, 11.2.1)."""
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR" or is_drawn(data):
        raise ValueError("There is no IHDR, or the picture is one of our own.")
    if page != "first" and data.find(b"acTL", 0, data.find(b"IDAT")) >= 0:
        raise _several_frames("PNG")
    depth = data[24]
    colour = data[25]
    samples = _PNG_SAMPLES[colour] * max(1, depth // 8)
    return Header(height, width, pixel_bytes=samples, sample_bits=_png_bits(data, depth), deep=depth == 16)


def _png_bits(data: bytes, depth: int) -> int:
    """Return the significant bits of sixteen by sBIT (PNG specification, 11.3.2.4), which comes before IDAT."""
    start = data.find(b"sBIT", 0, data.find(b"IDAT"))
    if depth != 16 or start < 0:
        return 0
    (length,) = struct.unpack_from(">I", data, start - 4)
    return max(data[start + 4 : start + 4 + min(length, 4)], default=0) % 16


def _bmp_header(data: bytes, page: str) -> Header:
    """Read BITMAPCOREHEADER (12 bytes) or BITMAPINFOHEADER and later; with a negative height, rows go top down."""
    core = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    return Header(abs(height), width)


def _webp_header(data: bytes, page: str) -> Header:
    """Read the first chunk (RFC 9649): VP8X (extended), VP8L (lossless) or VP8 (lossy, RFC 6386)."""
    container, chunk = struct.unpack_from("<4s4s", data, 8)
    if container != b"WEBP":
        raise ValueError("This is another RIFF file.")
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
    message = f"The file is an animated {kind} picture; it is unknown which of its frames is the photograph."
    return KerasDrError(message, "Save one frame of it as PNG.")


def _pnm_header(data: bytes, page: str) -> Header:
    """Read the header of Netpbm's binary PGM or PPM."""
    header = read_pnm_header(data)
    if not header or header[3] != 255:
        raise ValueError("The samples do not have 8 bits.")
    _, width, height, _, _ = header
    return Header(height, width)


_READERS: dict[bytes, Callable[[bytes, str], Header]] = {
    jpeg.MAGIC: _jpeg_header,
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
