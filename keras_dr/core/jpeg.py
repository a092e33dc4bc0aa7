"""Whether a JPEG file holds its whole picture, and its pixels.

A decoder fills up with grey what a file lacks. libjpeg-turbo knows and warns; OpenCV prints the warning alone, so that
simplejpeg decodes here, in its strict mode. Its pixels are OpenCV's, bit for bit, as both are libjpeg-turbo's. What it
cannot know is whether a progressive file has all its scans: their headers show it. Where it gives no verdict (it warns
of something harmless, or does not know the layout), the picture is decoded twice, once with filling before the last
end mark: a picture that lacks data changes.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

MAGIC = b"\xff\xd8\xff"
# In a JPEG's compressed data, 0xFF is followed by 0 or by a restart mark; anything else ends it.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_COEFFICIENTS = 64
_END = 0xD9
Pixels = NDArray[np.uint8]
# what libjpeg's warnings say of a picture that is not whole (jerror.h: JWRN_HIT_MARKER, JWRN_JPEG_EOF, ...)
_LACKING = ("premature end", "instead of rst", "ends prematurely")
_DAMAGED = ("bad huffman code", "bad arithmetic code", "inconsistent progression")
# data before a restart mark that belongs to no block; before another mark they do no harm
_DAMAGED_INTERVAL = re.compile("extraneous bytes before marker 0xd[0-7]")
# begins with 0, so that a 0xFF before it does not become a marker
FILLING = b"\0" + bytes((197 * number + 91) % 251 for number in range(512))


@dataclass(frozen=True)
class Scan:
    """The header of a scan (ITU-T T.81, B.2.3).

    Attributes:
        components: which it holds, by their identifiers.
        first, last: of the coefficients that it holds, 0 to 63.
        low: the bit down to which it makes them precise; 0 completes them.
        start, end: its compressed data in the file.
    """

    components: tuple[int, ...]
    first: int
    last: int
    low: int
    start: int
    end: int


@dataclass(frozen=True)
class Frame:
    """The header of the frame and all that follows it up to the end mark.

    Attributes:
        progressive: coefficients come in several scans.
        arithmetic: coded arithmetically; the decoder then never knows where data ends.
        height, width: in pixels, as stored.
        sampling: component -> (horizontal, vertical) sampling factor.
        interval: blocks between restart marks; 0: none.
        scans: in their order.
        ended: whether the end mark follows upon them.
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
    """The error for a file of so many bytes that ends within its picture."""
    message = f"The file is truncated: it ends within the picture, after {size} bytes."
    return KerasDrError(message, "Copy the file again from its source.")


def damaged(reason: str) -> KerasDrError:
    """The error for a file whose picture is broken in its midst."""
    return KerasDrError(f"The file is damaged within the picture: {reason}.", "Copy the file again from its source.")


def decode_strictly(data: bytes, width: int, height: int, reduction: int) -> Pixels | None:
    """The pixels of a JPEG as stored, not turned, as OpenCV would decode them.

    Args:
        data: the bytes of the file.
        width, height: as stored.
        reduction: 1, 2, 4 or 8.

    Returns:
        uint8 RGB (H, W, 3) with H = ceil(height / reduction) and W = ceil(width / reduction), or None where the decoder
        gives no verdict.

    Raises:
        KerasDrError: the file ends within the picture, or is damaged there; or simplejpeg is not installed.
    """
    try:
        return _decode(data, width, height, reduction, strict=True)
    except ValueError as error:
        said = str(error).lower()
        if any(words in said for words in _LACKING):
            raise truncated(len(data)) from error
        if any(words in said for words in _DAMAGED) or _DAMAGED_INTERVAL.search(said):
            raise damaged(str(error).split(": ")[-1]) from error
        return None


def decode_loosely(data: bytes, width: int, height: int, reduction: int) -> Pixels | None:
    """The pixels of a JPEG as far as it can be decoded, whole or not.

    Args:
        data: the bytes of the file.
        width, height: as stored.
        reduction: 1, 2, 4 or 8.

    Returns:
        uint8 RGB (H, W, 3) as from `decode_strictly`, or None where the layout is unknown or the file is
        no JPEG at all.
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
        raise KerasDrError(message, "Install it: pip install simplejpeg") from error
    wanted = (-(-height // reduction), -(-width // reduction))
    least = {"min_height": wanted[0], "min_width": wanted[1], "min_factor": reduction}
    pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", strict=strict, **least)
    if pixels.shape[:2] != wanted:
        raise ValueError(f"{pixels.shape} instead of {wanted}")
    return pixels


def rare_kind(data: bytes) -> str:
    """What no decoder here reads of a JPEG, such as "a lossless JPEG picture" (T.81, table B.1); "" of a usual one."""
    try:
        for marker, at in _segments(data):
            if marker == 0xF7:
                return "a JPEG-LS picture"
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                bits = data[at + 2]
                if marker in (0xC3, 0xC7, 0xCB, 0xCF):
                    return "a lossless JPEG picture"
                if bits != 8:
                    return f"a JPEG picture of {bits} bits a sample"
                return "an arithmetically coded JPEG picture" if marker > 0xC8 else ""
    except (LookupError, struct.error):
        pass
    return ""


def has_several_scans(data: bytes, components: int) -> bool:
    """Whether the first scan leaves coefficients or components for others.

    Raises:
        KerasDrError: the file ends before its first scan.
    """
    progressive = False
    try:
        for marker, at in _segments(data):
            progressive = progressive or marker in (0xC2, 0xCA)
            if marker == 0xDA:
                return progressive or data[at + 2] < components
    except (LookupError, struct.error) as error:
        raise truncated(len(data)) from error
    raise truncated(len(data))


def check_scans(data: bytes) -> Frame:
    """Refuse a file that lacks scans: every coefficient of every component must have been completed.

    Raises:
        KerasDrError: it lacks some, or its end mark.
    """
    try:
        frame = read_frame(data)
    except (LookupError, struct.error) as error:
        raise truncated(len(data)) from error
    if not frame.ended or not _is_complete(frame):
        raise truncated(len(data))
    return frame


def _is_complete(frame: Frame) -> bool:
    precise = {name: [-1] * _COEFFICIENTS for name in frame.sampling}
    for scan in frame.scans:
        for name in scan.components:
            for at in range(scan.first, scan.last + 1) if frame.progressive else range(_COEFFICIENTS):
                precise[name][at] = scan.low if frame.progressive else 0
    return all(low == 0 for lows in precise.values() for low in lows)


def read_frame(data: bytes) -> Frame:
    """Walk over the segments of a JPEG file, up to its end mark or its end.

    Raises:
        LookupError, struct.error: it ends within a segment, or names a component that it has not.
    """
    kind, height, width, interval, ended = 0, 0, 0, 0, False
    sampling: dict[int, tuple[int, int]] = {}
    scans: list[Scan] = []
    for marker, at in _segments(data):
        if marker == _END:
            ended = True
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            kind = marker
            height, width, count = struct.unpack_from(">HHB", data, at + 3)
            for number in range(count):
                name, factors = data[at + 8 + 3 * number], data[at + 9 + 3 * number]
                sampling[name] = (max(1, factors >> 4), max(1, factors & 15))
        elif marker == 0xDD:
            (interval,) = struct.unpack_from(">H", data, at + 2)
        elif marker == 0xDA:
            scans.append(_read_scan(data, at))
    if any(name not in sampling for scan in scans for name in scan.components):
        raise LookupError("a scan of an unknown component")
    progressive, arithmetic = kind in (0xC2, 0xCA), kind >= 0xC8
    return Frame(progressive, arithmetic, height, width, sampling, interval, tuple(scans), ended)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of the length of each segment; bytes between segments are skipped, as libjpeg does."""
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        yield marker, at
        if marker == _END:
            return
        if marker != 0x01 and marker != 0xD8:  # no segment follows
            at += struct.unpack_from(">H", data, at)[0]


def _read_scan(data: bytes, at: int) -> Scan:
    (length,) = struct.unpack_from(">H", data, at)
    count = data[at + 2]
    components = tuple(data[at + 3 + 2 * number] for number in range(count))
    first, last, precision = struct.unpack_from("BBB", data, at + 3 + 2 * count)
    behind = _MARKER.search(data, at + length)
    return Scan(components, first, min(last, 63), precision & 15, at + length, behind.start() if behind else len(data))


def lacks_restarts(data: bytes, frame: Frame) -> bool:
    """Whether the last scan has fewer restart marks than its size asks for (T.81, A.2 and E.1.4)."""
    scan = frame.scans[-1]
    if not frame.interval:
        return False
    most = [max(factor[axis] for factor in frame.sampling.values()) for axis in (0, 1)]
    across, down = (
        most if len(scan.components) > 1 else (most[axis] / frame.sampling[scan.components[0]][axis] for axis in (0, 1))
    )
    units = -(-frame.width // (8 * across)) * -(-frame.height // (8 * down))
    marks = len(_RESTART.findall(data, scan.start, scan.end))
    return marks < -(-units // frame.interval) - 1


def filled(data: bytes, frame: Frame) -> bytes:
    """The file with meaningless data at the end of its last scan, which a decoder reads only where data lacks there."""
    end = frame.scans[-1].end
    return data[:end] + FILLING + data[end:]
