"""Reads the directories of TIFF files, BigTIFF files and EXIF data: sizes, and the places of the pixels."""

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
    """The directory of one page.

    Attributes:
        numbers: tag -> whole number; of several numbers, the first.
        end: the end of the last strip or tile in the file, in bytes; 0 if there are none.
        following: the place of the next directory; 0 for the last one.
        at: the place of this directory.
    """

    numbers: dict[int, int] = field(repr=False)
    end: int
    following: int
    at: int


def read_directory(data: bytes, position: int | None = None) -> Directory:
    """Read a directory of a TIFF file.

    Args:
        data: the bytes of the file.
        position: the place of the directory; None: the first one.

    Raises:
        KeyError: the file is not a TIFF.
        struct.error: the file ends within the directory.
    """
    try:
        return _read_directory(data, position)
    except OverflowError as error:  # a place of 64 bits, far beyond any file
        raise struct.error(str(error)) from error


def _read_directory(data: bytes, position: int | None) -> Directory:
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
    return Directory(numbers, _end(places), following, position)


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
    positions = {pages[0].at}
    while len(pages) < MAX_PAGES:
        position = pages[-1].following
        if not position or position in positions:
            break
        positions.add(position)
        pages.append(read_directory(data, position))
    return pages


def find_photograph(pages: Sequence[Directory]) -> tuple[int, dict[int, int]]:
    """Return the index of the page with the photograph, and its numbers: the largest that is no preview and no mask.

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
            f"The TIFF file has {len(photographs)} pages of {size}; it is unknown which of them is the photograph."
        )
        raise KerasDrError(message, "Save each page as a file of its own.")
    _check_colours(numbers)
    return index, numbers


def _check_colours(numbers: Mapping[int, int]) -> None:
    """Refuse colours that OpenCV would misread, such as inks of 16 bits, which it takes for RGB with transparency."""
    kind, bits = numbers.get(_COLOURS, 1), numbers.get(_BITS, 8)
    if kind in (_DEEP_COLOURS if bits > 8 else _PLAIN_COLOURS):
        return
    name = _FOREIGN.get(kind, f"colours of the kind {kind}")
    message = f"The TIFF file holds {name} of {bits} bits a sample, which no decoder here reads as a photograph."
    raise KerasDrError(message, _EXPORT)
