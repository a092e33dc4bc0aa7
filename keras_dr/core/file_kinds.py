"""The kind of a file that cannot be read as a photograph, by its first bytes, and what the user can do with it."""

import struct

from keras_dr.core.endings import read_pnm_header
from keras_dr.core.errors import KerasDrError
from keras_dr.core.jpeg import MAGIC, rare_kind
from keras_dr.core.png_marks import is_drawn
from keras_dr.core.tiff import read_directory

READ = "JPEG, PNG, TIFF, BMP, WebP, binary PGM and PPM, and DICOM"
_CONVERT = "Export the photograph as PNG or JPEG, with the program that wrote it."
_EXPORT = "Export the photograph as PNG from the viewer or the archive that it came from."
_TABLE = "Name the photographs themselves, or a CSV file that lists them."
_COPY = "Copy the file again from its source."
_UNPACK = "Unpack it, and name the folder."
_FRAME = "Save one frame of it as PNG."
# (place of the mark, mark, kind of the file, what to do)
_MARKS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"GIF87a", "a GIF picture", _CONVERT),
    (0, b"GIF89a", "a GIF picture", _CONVERT),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
    (0, b"\xff\x0a", "a JPEG XL picture", _CONVERT),
    (0, b"8BPS", "a Photoshop document", _CONVERT),
    (0, b"%PDF", "a PDF document", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", _CONVERT),
    (0, b"\x89HDF\r\n", "an HDF5 file", _CONVERT),
    (0, b"SIMPLE  =", "a FITS file", _CONVERT),
    (344, b"n+1\0", "a NIfTI file", _EXPORT),
    (0, b"v/1\x01", "an OpenEXR picture", _CONVERT),
    (0, b"\0\0\x01\0", "an icon", _CONVERT),
    (0, b"PAR1", "a Parquet table", _TABLE),
    (0, b"SQLite format 3", "a database", _TABLE),
    (0, b"\xd0\xcf\x11\xe0", "an old Excel workbook or another Office document", _TABLE),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a TAR archive", _UNPACK),
    (0, b"\x1a\x45\xdf\xa3", "a video", _FRAME),
)
# first bytes -> the name of a format that is read; for files that no decoder can read
_BROKEN = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"P5": "PGM",
    b"P6": "PPM",
}
# the brand of an ISO media file (ISO/IEC 14496-12, section 4.3) -> its kind
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC picture"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
}
_PNG_OF_APPLE = b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI"
# compression of a TIFF file (its tag 259) -> its name, where OpenCV reads another one's pixels alone
_COMPRESSIONS = {
    6: "old-style JPEG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_READ_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)
_LINES = 4096  # bytes that show whether a file is text


def describe_kind(data: bytes) -> tuple[str, str]:
    """Return the kind of a file, such as "a DICOM file", and what the user can do; ("", "") if the kind is unknown."""
    if is_drawn(data):
        return "a picture that keras_dr drew", "Name the photograph itself."
    for place, mark, kind, remedy in _MARKS:
        if data.startswith(mark, place):
            return kind, remedy
    if data[4:8] == b"ftyp":
        kind = _BRANDS.get(data[8:12], "a video")
        if data[8:12] in (b"mif1", b"msf1") and b"avif" in data[12:40]:
            kind = "an AVIF picture"
        return kind, _FRAME if kind == "a video" else _CONVERT
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "a video", _FRAME
    if data.startswith(b"PK\x03\x04"):
        return ("an Excel workbook", _TABLE) if b"xl/" in data else ("a ZIP archive", _UNPACK)
    return _describe_text(data[:_LINES])


def _describe_text(start: bytes) -> tuple[str, str]:
    try:
        text = start.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not only the last letter, which the cut may divide
            return "", ""
        text = start[: error.start].decode("utf-8-sig").strip()
    if not text or any(not letter.isprintable() and letter not in "\r\n\t" for letter in text):
        return "", ""
    if text.startswith("version https://git-lfs"):
        return "a Git LFS pointer", "Fetch the photograph itself with: git lfs pull"
    if text.startswith("<"):
        return ("an SVG drawing", _CONVERT) if "<svg" in text else ("a web page or an XML file", _COPY)
    lines = text.splitlines()
    has_columns = any(sign in lines[0] for sign in ",;\t")
    return ("a table", _TABLE) if has_columns and len(lines) > 1 else ("a text file", _TABLE)


def _describe_rare(data: bytes) -> tuple[str, str]:
    """Return the kind of a file, and what to do, if its format is read but its kind is not; ("", "") otherwise."""
    rare = rare_kind(data) if data.startswith(MAGIC) else ""
    if data.startswith(_PNG_OF_APPLE):
        rare = "a PNG picture in Apple's own variant"
    rare = rare or _tiff_compression(data)
    if rare:
        return rare, _CONVERT
    header = read_pnm_header(data)
    if header and header[3] != 255:
        kind = f"a {_BROKEN[header[0]]} picture with samples up to {header[3]}"
        return kind, "Save it as PNG with 16 bits per sample."
    return "", ""


def _tiff_compression(data: bytes) -> str:
    """Return the kind of a TIFF file whose compression cannot be read here; "" for any other file."""
    try:
        code = read_directory(data).numbers.get(259, 1)
    except (LookupError, struct.error):
        return ""
    name = _COMPRESSIONS.get(code, f"method {code}")
    return "" if code in _READ_COMPRESSIONS else f"a TIFF picture compressed with {name}"


def not_a_photograph(data: bytes) -> KerasDrError:
    """Return the error for a file that cannot be read as a photograph.

    Args:
        data: the bytes of the file.
    """
    if not data:
        return KerasDrError("The photograph is an empty file.", _COPY)
    kind, remedy = _describe_rare(data)
    if not kind:
        kind, remedy = describe_kind(data)
    broken = next((name for mark, name in _BROKEN.items() if data.startswith(mark)), None)
    if broken == "WebP" and data[8:12] not in (b"WEBP", b""):
        broken = None  # a sound, or another of the kinds that begin so
    if broken and not kind:
        message = f"The photograph begins as a {broken} picture, but it is truncated or damaged, so that no decoder can"
        return KerasDrError(f"{message} read its {len(data)} bytes.", _COPY)
    if kind:
        return KerasDrError(f"The file is {kind}, which no decoder here can read as a photograph.", remedy)
    message = f"The file is not a photograph in a known format; no decoder can read its {len(data)} bytes."
    return KerasDrError(message, f"Known formats are {READ}. If it has one of these, copy it again from its source.")
