"""Recognises DICOM files by their first bytes, without pydicom, and names the classes that hold fundus photographs.

A file that another program stored may lack the preamble of 128 bytes and "DICM" (DICOM PS3.10, section 7.1); it is then
recognised by its first element. Needs only the standard library, because `edge_demo` runs this module too.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

DICOM_SUFFIXES = (".dcm", ".dicom")
HEAD = 2048  # bytes that hold the preamble, the class and the manufacturer of a file
PRODUCER = "keras_dr"  # the manufacturer in the objects that this package writes
DEFLATED = "1.2.840.10008.1.2.1.99"
_DRAWN = b"\x08\x00\x70\x00LO\x08\x00" + PRODUCER.encode()  # the manufacturer, as this program writes it
_PREAMBLE = 128
_MARK = b"DICM"
_META = 0x0002  # group of the file meta information
_CLASS = (0x0008, 0x0016)
_META_CLASS = (0x0002, 0x0002)
_META_SYNTAX = (0x0002, 0x0010)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")  # VRs with lengths of 32 bits
_SHORT = (b"AE", b"AS", b"CS", b"DA", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UI", b"UL", b"US")
# elements with which a data set without meta information begins
_FIRST = {(0x0008, element) for element in (0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0016, 0x0018)}
_FIRST |= {(_META, element) for element in (0x0000, 0x0001, 0x0002)}
_ROOT = "1.2.840.10008."
# classes that hold fundus photographs (PS3.4, table B.5-1)
PHOTOGRAPHS = {
    _ROOT + "5.1.4.1.1.77.1.5.1": "Ophthalmic Photography 8 Bit Image",
    _ROOT + "5.1.4.1.1.77.1.5.2": "Ophthalmic Photography 16 Bit Image",
    _ROOT + "5.1.4.1.1.77.1.4": "VL Photographic Image",
    _ROOT + "5.1.4.1.1.7": "Secondary Capture Image",
    _ROOT + "5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture Image",
    _ROOT + "5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture Image",
    _ROOT + "5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image",
}
_OTHERS = {
    _ROOT + "1.3.10": "Media Storage Directory (DICOMDIR)",
    _ROOT + "5.1.4.1.1.7.1": "Multi-frame Single Bit Secondary Capture Image",
    _ROOT + "5.1.4.1.1.12.1": "X-Ray Angiographic Image",
    _ROOT + "5.1.4.1.1.66.4": "Segmentation",
    _ROOT + "5.1.4.1.1.77.1.5.3": "Stereometric Relationship",
    _ROOT + "5.1.4.1.1.77.1.5.4": "Ophthalmic Tomography Image (OCT)",
    _ROOT + "5.1.4.1.1.77.1.5.5": "Wide Field Ophthalmic Photography Stereographic Projection Image",
    _ROOT + "5.1.4.1.1.77.1.5.6": "Wide Field Ophthalmic Photography 3D Coordinates Image",
    _ROOT + "5.1.4.1.1.77.1.5.7": "Ophthalmic OCT En Face Image",
    _ROOT + "5.1.4.1.1.77.1.5.8": "Ophthalmic OCT B-scan Volume Analysis",
    _ROOT + "5.1.4.1.1.81.1": "Ophthalmic Thickness Map",
    _ROOT + "5.1.4.1.1.82.1": "Corneal Topography Map",
    _ROOT + "5.1.4.1.1.88.11": "Basic Text SR",
    _ROOT + "5.1.4.1.1.88.22": "Enhanced SR",
    _ROOT + "5.1.4.1.1.88.33": "Comprehensive SR",
    _ROOT + "5.1.4.1.1.88.34": "Comprehensive 3D SR",
    _ROOT + "5.1.4.1.1.104.1": "Encapsulated PDF",
    _ROOT + "5.1.4.1.1.11.1": "Grayscale Softcopy Presentation State",
}


@dataclass(frozen=True)
class Head:
    """What the first bytes of a DICOM file say.

    Attributes:
        sop_class: the identifier of its class; "" if it does not lie in the first bytes.
        syntax: the identifier of its transfer syntax; "" if the file has no meta information.
        data_set: the place where the data set begins, after the meta information.
    """

    sop_class: str
    syntax: str
    data_set: int


def is_dicom(start: bytes) -> bool:
    """Whether the first bytes of a file, at least 132 of them, are those of a DICOM file."""
    return start[_PREAMBLE : _PREAMBLE + 4] == _MARK or _begins_with_element(start)


def _begins_with_element(start: bytes) -> bool:
    """Whether a file without preamble begins with one of the elements that come first in data sets."""
    for order in "<>":
        if len(start) < 8 or struct.unpack_from(order + "HH", start) not in _FIRST:
            continue
        (length,) = struct.unpack_from(order + "I", start, 4)
        return start[4:6] in _SHORT or (order == "<" and 0 < length <= 256 and not length % 2)
    return False


def read_head(start: bytes) -> Head:
    """Return what the first bytes of a DICOM file say; a broken file gives empty texts.

    Args:
        start: the first `HEAD` bytes of the file, or more.
    """
    position = _PREAMBLE + 4 if start[_PREAMBLE : _PREAMBLE + 4] == _MARK else 0
    sop_class = ""
    syntax = ""
    order = "<" if position or start[:1] != b"\0" else ">"
    try:
        while True:
            tag, value, following = _element(start, position, order)
            if tag[0] != _META and (syntax or tag > _CLASS):
                break
            if tag in (_META_CLASS, _CLASS):
                sop_class = _text(value)
            elif tag == _META_SYNTAX:
                syntax = _text(value)
            position = following
    except (struct.error, ValueError):  # the head ends within an element
        pass
    return Head(sop_class, syntax, position)


def _element(data: bytes, position: int, order: str) -> tuple[tuple[int, int], bytes, int]:
    """Return the tag and the value of an element, and the place of the following one (PS3.5, section 7.1)."""
    group, number = struct.unpack_from(order + "HH", data, position)
    kind = data[position + 4 : position + 6]
    start = position + 8
    if kind in _LONG:
        (length,) = struct.unpack_from(order + "I", data, start)
        start += 4
    elif kind.isalpha() and kind.isupper():
        (length,) = struct.unpack_from(order + "H", data, position + 6)
    else:
        (length,) = struct.unpack_from(order + "I", data, position + 4)
    if start + length > len(data):
        raise ValueError("The element ends after the data.")
    return (group, number), data[start : start + length], start + length


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")


def class_name(sop_class: str) -> str:
    """Return the name of a DICOM class, or its identifier if the name is not known here."""
    return PHOTOGRAPHS.get(sop_class) or _OTHERS.get(sop_class) or f"class {sop_class[:64]}"


def read_start(file: Path) -> bytes:
    """Return the first bytes of a file; none if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD)
    except (OSError, ValueError):
        return b""


def why_no_photograph(start: bytes) -> str:
    """Return why a DICOM file holds no fundus photograph, in words that follow a number; "" if it may hold one.

    Args:
        start: the first bytes of a DICOM file, as `read_start` returns them.
    """
    sop_class = read_head(start).sop_class
    if _DRAWN in start:
        return "drawn by this program (DICOM)"
    if not sop_class or sop_class in PHOTOGRAPHS:
        return ""
    return f"of the DICOM class {class_name(sop_class)}"
