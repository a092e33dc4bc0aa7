"""The directories of a TIFF file, also BigTIFF and the note that EXIF makes of one: sizes, and where the pixels lie."""

import struct
from dataclasses import dataclass, field

MAX_PAGES = 1000
_CODES = {3: "H", 4: "I", 13: "I", 16: "Q"}  # SHORT, LONG, IFD, LONG8 (TIFF 6.0, section 2; BigTIFF)
_PLACES = ((0x0111, 0x0117), (0x0144, 0x0145))  # offsets and byte counts of strips, and of tiles
_STRUCTURE = {tag for pair in _PLACES for tag in pair}


@dataclass(frozen=True)
class Directory:
    """One page.

    Attributes:
        numbers: tag -> whole number, the first of several.
        end: where its last strip or tile ends in the file, in bytes; 0 where it names none.
        following: where the next directory lies; 0 after the last.
    """

    numbers: dict[int, int] = field(repr=False)
    end: int
    following: int


def read_directory(data: bytes, at: int | None = None) -> Directory:
    """The directory at an offset, or the first.

    Raises:
        KeyError: no TIFF.
        struct.error: it ends within the directory.
    """
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = order + ("Q" if big else "I")
    if at is None:
        (at,) = struct.unpack_from(offset, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    start, step, value = (at + 8, 20, 12) if big else (at + 2, 12, 8)
    numbers: dict[int, int] = {}
    places: dict[int, tuple[int, ...]] = {}
    for entry in range(start, start + count * step, step):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if kind not in _CODES:
            continue
        (several,) = struct.unpack_from(offset, data, entry + 4)
        size, place = struct.calcsize(_CODES[kind]), entry + value
        if several * size > struct.calcsize(offset):
            (place,) = struct.unpack_from(offset, data, place)
        if place <= len(data) - size:
            numbers.setdefault(tag, struct.unpack_from(order + _CODES[kind], data, place)[0])
        if tag in _STRUCTURE and several * size <= len(data):
            places.setdefault(tag, _several(data, order + str(several) + _CODES[kind], place))
    ends = [_end(places[begins], places[lengths]) for begins, lengths in _PLACES if _known(places, begins)]
    behind = start + count * step
    following = struct.unpack_from(offset, data, behind)[0] if behind <= len(data) - struct.calcsize(offset) else 0
    return Directory(numbers, max(ends, default=0), following)


def _known(places: dict[int, tuple[int, ...]], begins: int) -> bool:
    lengths = dict(_PLACES)[begins]
    return len(places.get(begins, ())) > 0 and len(places[begins]) == len(places.get(lengths, ()))


def _end(begins: tuple[int, ...], lengths: tuple[int, ...]) -> int:
    return max(begin + length for begin, length in zip(begins, lengths, strict=True))


def _several(data: bytes, form: str, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, place)
    except struct.error:
        return ()


def read_directories(data: bytes) -> list[Directory]:
    """All pages in their order, `MAX_PAGES` at most; a chain that leads back to itself ends there.

    Raises:
        KeyError, struct.error: as `read_directory`.
    """
    pages, seen = [read_directory(data)], set()
    while (at := pages[-1].following) and at not in seen and len(pages) < MAX_PAGES:
        seen.add(at)
        pages.append(read_directory(data, at))
    return pages
