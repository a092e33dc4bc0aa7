"""The end of the picture's data in a PNG, TIFF, BMP, WebP, PGM or PPM file, computed from its headers."""

import re
import struct
from collections.abc import Callable

from keras_dr.core.jpeg import truncated
from keras_dr.core.tiff import read_directories

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # comments are allowed, such as GIMP's
_PNM = re.compile(rb"(P[56])" + 3 * (_GAP + rb"(\d{1,9})") + rb"\s")
_LONGEST_HEADER = 4096  # bytes, with its comments
_RUN_LENGTHS = (1, 2)  # of a compressed BMP picture


def check_end(data: bytes, page: int = 0) -> None:
    """Refuse a file that ends before its picture does. A JPEG is not checked: only its decoder knows its end.

    Args:
        data: the bytes of the file.
        page: the index of the wanted page in a TIFF file.

    Raises:
        KerasDrError: the file ends too soon.
    """
    try:
        if data.startswith((b"II", b"MM")):
            end = read_directories(data)[page].end
        else:
            end = next((find(data) for magic, find in _ENDS.items() if data.startswith(magic)), 0)
    except (LookupError, struct.error) as error:
        raise truncated(len(data)) from error
    if end > len(data):
        raise truncated(len(data))


def read_pnm_header(data: bytes) -> tuple[bytes, int, int, int, int] | None:
    """Return mark, width, height, largest sample and place of the samples of a binary PGM or PPM file; else None."""
    found = _PNM.match(data, 0, _LONGEST_HEADER)
    if not found:
        return None
    width, height, largest = (int(found[number]) for number in (2, 3, 4))
    return found[1], width, height, largest, found.end()


def _png_end(data: bytes) -> int:
    """Return the end of IEND; each chunk has a length, a type, data and a checksum (PNG specification, 5.3)."""
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if kind == b"IEND" or position > len(data):
            return position


def _bmp_end(data: bytes) -> int:
    """Return the end of the rows, each a multiple of four bytes; or the end that a compressed one's header gives."""
    (begin, header) = struct.unpack_from("<II", data, 10)
    width, height, bits = struct.unpack_from("<HH2xH" if header == 12 else "<ii2xH", data, 18)
    kind, size = struct.unpack_from("<II", data, 30) if header > 12 else (0, 0)
    if kind in _RUN_LENGTHS:
        return begin + size if size else struct.unpack_from("<I", data, 2)[0]
    if kind not in (0, 3):
        return 0
    row_bytes = (width * bits + 31) // 32 * 4
    return begin + row_bytes * abs(height)


def _webp_end(data: bytes) -> int:
    return 8 + struct.unpack_from("<I", data, 4)[0]


def _pnm_end(data: bytes) -> int:
    header = read_pnm_header(data)
    if not header:
        return 0
    mark, width, height, _, begin = header
    samples = 3 if mark == b"P6" else 1
    return begin + samples * width * height


_ENDS: dict[bytes, Callable[[bytes], int]] = {
    b"\x89PNG": _png_end,
    b"BM": _bmp_end,
    b"RIFF": _webp_end,
    b"P5": _pnm_end,
    b"P6": _pnm_end,
}
