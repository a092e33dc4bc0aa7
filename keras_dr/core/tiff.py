"""Reads the directories of TIFF files, BigTIFF files and EXIF data: sizes, and the places of the pixels."""

import struct
from dataclasses import dataclass, field

MAX_PAGES = 1000
_CODES = {3: "H", 4: "I", 13: "I", 16: "Q"}  # SHORT, LONG, IFD, LONG8 (TIFF 6.0, section 2; BigTIFF)
_PLACES = ((0x0111, 0x0117), (0x0144, 0x0145))  # offsets and byte counts of strips, and of tiles
_STRUCTURE = {tag for pair in _PLACES for tag in pair}


@dataclass(frozen=True)
class Directory:
    """The directory of one page.

    Attributes:
        numbers: tag -> whole number; of several numbers, the first.
        end: the end of the last strip or tile in the file, in bytes; 0 if there are none.
        following: the place of the next directory; 0 for the last one.
    """

    numbers: dict[int, int] = field(repr=False)
    end: int
    following: int


def read_directory(data: bytes, position: int | None = None) -> Directory:
    """Read a directory of a TIFF file.

    Args:
        data: the bytes of the file.
        position: the place of the directory; None: the first one.

    Raises:
        KeyError: the file is not a TIFF.
        struct.error: the file ends within the directory.
    """
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = order + ("Q" if big else "I")
    if position is None:
        (position,) = struct.unpack_from(offset, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, position)
    start = position + (8 if big else 2)
    step = 20 if big else 12  # bytes of an entry
    value = 12 if big else 8  # place of the value in an entry
    numbers: dict[int, int] = {}
    places: dict[int, tuple[int, ...]] = {}
    for entry in range(start, start + count * step, step):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if kind not in _CODES:
            continue
        (number_count,) = struct.unpack_from(offset, data, entry + 4)
        size = struct.calcsize(_CODES[kind])
        place = entry + value
        if number_count * size > struct.calcsize(offset):
            (place,) = struct.unpack_from(offset, data, place)
        if place <= len(data) - size:
            numbers.setdefault(tag, struct.unpack_from(order + _CODES[kind], data, place)[0])
        if tag in _STRUCTURE and number_count * size <= len(data):
            places.setdefault(tag, _read_numbers(data, order + str(number_count) + _CODES[kind], place))
    after = start + count * step
    following = struct.unpack_from(offset, data, after)[0] if after <= len(data) - struct.calcsize(offset) else 0
    return Directory(numbers, _end(places), following)


def _end(places: dict[int, tuple[int, ...]]) -> int:
    """Return the end of the last strip or tile; 0 if their places are unknown."""
    end = 0
    for offsets_tag, lengths_tag in _PLACES:
        offsets = places.get(offsets_tag, ())
        lengths = places.get(lengths_tag, ())
        if len(offsets) == len(lengths):
            end = max([end, *(offset + length for offset, length in zip(offsets, lengths, strict=True))])
    return end


def _read_numbers(data: bytes, form: str, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, place)
    except struct.error:
        return ()


def read_directories(data: bytes) -> list[Directory]:
    """Read all pages in their order, at most `MAX_PAGES`; a chain that leads back to itself ends there.

    Args:
        data: the bytes of the file.

    Raises:
        KeyError, struct.error: as for `read_directory`.
    """
    pages = [read_directory(data)]
    positions: set[int] = set()
    while len(pages) < MAX_PAGES:
        position = pages[-1].following
        if not position or position in positions:
            break
        positions.add(position)
        pages.append(read_directory(data, position))
    return pages
