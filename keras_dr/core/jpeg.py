"""Decodes JPEG files, and checks whether they hold their whole picture.

A decoder fills the missing parts of a truncated picture with grey. libjpeg-turbo notices that and warns, but OpenCV
only prints the warning. So simplejpeg decodes here, in its strict mode; its pixels equal those of OpenCV bit for bit,
because both use libjpeg-turbo. It cannot notice whether a progressive file lacks scans, which the headers of the scans
show. If simplejpeg gives no verdict (it warns of something harmless, or does not know the layout), the picture is
decoded twice, once with meaningless data before the last end mark: a picture that lacks data then changes.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError, MissingPackageError

MAGIC = b"\xff\xd8\xff"
# In the compressed data of a JPEG, 0xFF is followed by 0 or by a restart mark; anything else ends the data.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_COEFFICIENTS = 64
_END = 0xD9
Pixels = NDArray[np.uint8]
# words in libjpeg's warnings about truncated pictures (jerror.h: JWRN_HIT_MARKER, JWRN_JPEG_EOF, ...)
_LACKING = ("premature end", "instead of rst", "ends prematurely")
_DAMAGED = ("bad huffman code", "bad arithmetic code", "inconsistent progression")
# bytes that belong to no block before a restart mark; before another mark they are harmless
_DAMAGED_INTERVAL = re.compile("extraneous bytes before marker 0xd[0-7]")
# meaningless data; it begins with 0, so that a 0xFF before it does not become a marker
FILLING = b"\0" + bytes((197 * number + 91) % 251 for number in range(512))


@dataclass(frozen=True)
class Scan:
    """The header of a scan (ITU-T T.81, B.2.3).

    Attributes:
        components: the identifiers of the components in the scan.
        first, last: the first and the last coefficient in the scan, 0 to 63.
        low: the lowest bit of the coefficients in the scan; 0 means that they are complete.
        start, end: the place of the compressed data in the file.
    """

    components: tuple[int, ...]
    first: int
    last: int
    low: int
    start: int
    end: int


@dataclass(frozen=True)
class Frame:
    """The header of the frame, and what follows it up to the end mark.

    Attributes:
        progressive: whether coefficients come in several scans.
        arithmetic: whether the data is coded arithmetically; then the decoder never notices where the data ends.
        height, width: size in pixels, as stored.
        sampling: component -> (horizontal, vertical) sampling factor.
        interval: number of blocks between restart marks; 0: there are no restart marks.
        scans: the scans in their order.
        ended: whether the end mark follows the scans.
    """

    progressive: bool
    arithmetic: bool
    height: int
    width: int
    sampling: dict[int, tuple[int, int]]
    interval: int
    scans: tuple[Scan, ...]
    ended: bool


def truncated(size: int) -> KerasDrError:
    """Return the error for a file of `size` bytes that ends within its picture."""
    message = f"The file is truncated: it ends within the picture, after {size} bytes."
    return KerasDrError(message, "Copy the file again from its source.")


def damaged(reason: str) -> KerasDrError:
    """Return the error for a file whose picture is damaged, with the decoder's reason."""
    return KerasDrError(f"The file is damaged within the picture: {reason}.", "Copy the file again from its source.")


def decode_strictly(data: bytes, width: int, height: int, reduction: int) -> Pixels | None:
    """Return the pixels of a JPEG as stored, without EXIF orientation; they equal those of OpenCV.

    Args:
        data: the bytes of the file.
        width: the width in pixels, as stored.
        height: the height in pixels, as stored.
        reduction: the factor by which the picture is reduced: 1, 2, 4 or 8.

    Returns:
        uint8 RGB (H, W, 3) with H = ceil(height / reduction) and W = ceil(width / reduction), or None if the decoder
        gives no verdict.

    Raises:
        KerasDrError: the file is truncated or damaged within the picture, or simplejpeg is not installed.
    """
    try:
        return _decode(data, width, height, reduction, strict=True)
    except ValueError as error:
        warning = str(error).lower()
        if any(words in warning for words in _LACKING):
            raise truncated(len(data)) from error
        if any(words in warning for words in _DAMAGED) or _DAMAGED_INTERVAL.search(warning):
            raise damaged(str(error).split(": ")[-1]) from error
        return None


def decode_loosely(data: bytes, width: int, height: int, reduction: int) -> Pixels | None:
    """Return the pixels of a JPEG as far as it can be decoded, even if the file is truncated.

    Arguments and pixels are as for `decode_strictly`; None if the layout is unknown or the file is not a JPEG.
    """
    try:
        return _decode(data, width, height, reduction, strict=False)
    except ValueError:
        return None


def _decode(data: bytes, width: int, height: int, reduction: int, strict: bool) -> Pixels:
    try:
        import simplejpeg
    except ImportError as error:
        message = "The package simplejpeg, which shows whether a JPEG file is whole, is not installed."
        raise MissingPackageError(message, "Install it: pip install simplejpeg") from error
    wanted = (-(-height // reduction), -(-width // reduction))
    least = {"min_height": wanted[0], "min_width": wanted[1], "min_factor": reduction}
    pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", strict=strict, **least)
    if pixels.shape[:2] != wanted:
        raise ValueError(f"{pixels.shape} instead of {wanted}")
    return pixels


def rare_kind(data: bytes) -> str:
    """Return the kind of a JPEG that no decoder here reads, such as "a lossless JPEG picture" (T.81, table B.1).

    Args:
        data: the bytes of the file.

    Returns:
        The kind, or "" for a JPEG of a usual kind.
    """
    try:
        for marker, position in _segments(data):
            if marker == 0xF7:
                return "a JPEG-LS picture"
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                bits = data[position + 2]
                if marker in (0xC3, 0xC7, 0xCB, 0xCF):
                    return "a lossless JPEG picture"
                if bits != 8:
                    return f"a JPEG picture with {bits} bits per sample"
                return "an arithmetically coded JPEG picture" if marker > 0xC8 else ""
    except (LookupError, struct.error):
        pass
    return ""


def has_several_scans(data: bytes, components: int) -> bool:
    """Whether further scans follow the first, because it does not hold all coefficients or components.

    Args:
        data: the bytes of the file.
        components: the number of components in the frame.

    Raises:
        KerasDrError: the file ends before its first scan.
    """
    progressive = False
    try:
        for marker, position in _segments(data):
            progressive = progressive or marker in (0xC2, 0xCA)
            if marker == 0xDA:
                return progressive or data[position + 2] < components
    except (LookupError, struct.error) as error:
        raise truncated(len(data)) from error
    raise truncated(len(data))


def check_scans(data: bytes) -> Frame:
    """Refuse a file that lacks scans: its scans must complete every coefficient of every component.

    Args:
        data: the bytes of the file.

    Returns:
        The frame of a file that has all scans.

    Raises:
        KerasDrError: scans or the end mark are missing.
    """
    try:
        frame = read_frame(data)
    except (LookupError, struct.error) as error:
        raise truncated(len(data)) from error
    if not frame.ended or not _is_complete(frame):
        raise truncated(len(data))
    return frame


def _is_complete(frame: Frame) -> bool:
    """Whether the lowest bit of every coefficient of every component has been read."""
    lowest_bits = {name: [-1] * _COEFFICIENTS for name in frame.sampling}
    for scan in frame.scans:
        coefficients = range(scan.first, scan.last + 1) if frame.progressive else range(_COEFFICIENTS)
        for name in scan.components:
            for coefficient in coefficients:
                lowest_bits[name][coefficient] = scan.low if frame.progressive else 0
    return all(bit == 0 for bits in lowest_bits.values() for bit in bits)


def read_frame(data: bytes) -> Frame:
    """Read the segments of a JPEG file, up to its end mark or its end.

    Args:
        data: the bytes of the file.

    Raises:
        LookupError, struct.error: the file ends within a segment, or a scan has a component that the frame has not.
    """
    kind = height = width = interval = 0
    ended = False
    sampling: dict[int, tuple[int, int]] = {}
    scans: list[Scan] = []
    for marker, position in _segments(data):
        if marker == _END:
            ended = True
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            kind = marker
            height, width, count = struct.unpack_from(">HHB", data, position + 3)
            for number in range(count):
                name = data[position + 8 + 3 * number]
                factors = data[position + 9 + 3 * number]
                sampling[name] = (max(1, factors >> 4), max(1, factors & 15))
        elif marker == 0xDD:
            (interval,) = struct.unpack_from(">H", data, position + 2)
        elif marker == 0xDA:
            scans.append(_read_scan(data, position))
    if any(name not in sampling for scan in scans for name in scan.components):
        raise LookupError("a scan of an unknown component")
    return Frame(
        progressive=kind in (0xC2, 0xCA),
        arithmetic=kind >= 0xC8,
        height=height,
        width=width,
        sampling=sampling,
        interval=interval,
        scans=tuple(scans),
        ended=ended,
    )


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker of each segment and the place of its length.

    Bytes between segments are skipped, as libjpeg does.
    """
    position = 2
    while match := _MARKER.search(data, position):
        position = match.end()
        marker = data[position - 1]
        yield marker, position
        if marker == _END:
            return
        if marker != 0x01 and marker != 0xD8:  # these two have no segment
            position += struct.unpack_from(">H", data, position)[0]


def _read_scan(data: bytes, position: int) -> Scan:
    (length,) = struct.unpack_from(">H", data, position)
    count = data[position + 2]
    components = tuple(data[position + 3 + 2 * number] for number in range(count))
    first, last, precision = struct.unpack_from("BBB", data, position + 3 + 2 * count)
    start = position + length
    next_marker = _MARKER.search(data, start)
    end = next_marker.start() if next_marker else len(data)
    return Scan(components, first, min(last, 63), precision & 15, start, end)


def lacks_restarts(data: bytes, frame: Frame) -> bool:
    """Whether the last scan has fewer restart marks than its size requires (T.81, A.2 and E.1.4)."""
    scan = frame.scans[-1]
    if not frame.interval:
        return False
    across = float(max(horizontal for horizontal, _ in frame.sampling.values()))
    down = float(max(vertical for _, vertical in frame.sampling.values()))
    if len(scan.components) == 1:
        horizontal, vertical = frame.sampling[scan.components[0]]
        across /= horizontal
        down /= vertical
    units = -(-frame.width // (8 * across)) * -(-frame.height // (8 * down))
    marks = len(_RESTART.findall(data, scan.start, scan.end))
    return marks < -(-units // frame.interval) - 1


def filled(data: bytes, frame: Frame) -> bytes:
    """Return the file with meaningless data after its last scan, which a decoder reads only if the scan lacks data."""
    end = frame.scans[-1].end
    return data[:end] + FILLING + data[end:]
