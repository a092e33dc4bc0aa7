"""The directories of a TIFF file, also BigTIFF and the note that EXIF makes of one: sizes, and where the pixels lie."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keras_dr.core.errors import KerasDrError

MAX_PAGES = 1000
WIDTH, HEIGHT = 0x0100, 0x0101  # tags
_PURPOSE, _BITS, _COLOURS = 0x00FE, 0x0102, 0x0106
_PAGES_WITHIN = 0x014A  # where others lie that a page holds
_PREVIEW, _MASK = 1, 4  # flags of a page's purpose
# PhotometricInterpretation -> what the samples are, where OpenCV refuses them or takes them for others
_FOREIGN = {
    0: "a negative, in which 0 is white,",
    3: "a palette",
    4: "a mask",
    5: "inks (CMYK)",
    6: "YCbCr colours",
    8: "CIELab colours",
    9: "ICCLab colours",
    10: "ITULab colours",
    32803: "the mosaic of a camera's sensor",
    34892: "the linear samples of a camera's sensor",
}
_PLAIN_COLOURS = range(7)  # which OpenCV turns into RGB where samples have eight bits or fewer
_DEEP_COLOURS = (1, 2)  # grey and RGB: all that it knows of samples of more bits
_EXPORT = "Export the photograph as PNG or JPEG, with the program that wrote it."
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
        at: where this one lies.
    """

    numbers: dict[int, int] = field(repr=False)
    end: int
    following: int
    at: int


def read_directory(data: bytes, at: int | None = None) -> Directory:
    """The directory at an offset, or the first.

    Raises:
        KeyError: no TIFF.
        struct.error: it ends within the directory.
    """
    try:
        return _read_directory(data, at)
    except OverflowError as error:  # a place of 64 bits, far beyond any file
        raise struct.error(str(error)) from error


def _read_directory(data: bytes, at: int | None) -> Directory:
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
    return Directory(numbers, max(ends, default=0), following, at)


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
    pages = [read_directory(data)]
    seen = {pages[0].at}
    while (at := pages[-1].following) and at not in seen and len(pages) < MAX_PAGES:
        seen.add(at)
        pages.append(read_directory(data, at))
    return pages


def find_photograph(pages: Sequence[Directory]) -> tuple[int, dict[int, int]]:
    """Which page is the photograph, and its numbers: the largest that is neither a preview nor a mask.

    Raises:
        KerasDrError: several pages are of that size, the file is a camera's raw file, or its colours are of a kind that
            OpenCV takes for another.
    """
    sizes = [page.numbers[HEIGHT] * page.numbers[WIDTH] for page in pages]
    largest = [index for index, size in enumerate(sizes) if size == max(sizes)]
    photographs = [index for index in largest if not pages[index].numbers.get(_PURPOSE, 0) & (_PREVIEW | _MASK)]
    index = (photographs or largest)[0]
    numbers = pages[index].numbers
    if numbers.get(_PURPOSE) == _PREVIEW and _PAGES_WITHIN in numbers:
        message = "The file is a camera's raw file, of which only a small preview could be read."
        raise KerasDrError(message, "Export the photograph as PNG or JPEG with the camera's program.")
    if len(photographs) > 1:
        size = f"{numbers[WIDTH]} x {numbers[HEIGHT]} pixels"
        message = (
            f"The TIFF file has {len(photographs)} pages of {size}: which of them is the photograph, nothing says."
        )
        raise KerasDrError(message, "Save each page as a file of its own.")
    _check_colours(numbers)
    return index, numbers


def _check_colours(numbers: Mapping[int, int]) -> None:
    """Refuse colours that OpenCV would take for others, such as inks of 16 bits for RGB with transparency."""
    kind, bits = numbers.get(_COLOURS, 1), numbers.get(_BITS, 8)
    if kind in (_DEEP_COLOURS if bits > 8 else _PLAIN_COLOURS):
        return
    name = _FOREIGN.get(kind, f"colours of the kind {kind}")
    message = f"The TIFF file holds {name} of {bits} bits a sample, which no decoder here reads as a photograph."
    raise KerasDrError(message, _EXPORT)
