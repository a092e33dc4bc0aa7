"""The note that a PNG file carries if keras_dr drew it, so that it may be replaced and is not taken for a photograph.

The note is a chunk tEXt (PNG specification, 11.3.3.3) behind the header. Needs only the standard library, because
`edge_demo` runs this module too.
"""

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33  # bytes of the signature and the chunk IHDR of a PNG file
_NOTE = b"tEXtSoftware\0keras_dr "
_NOTE_PLACE = _HEADER_END + 4  # the length of the chunk stands before it


def mark_png(data: bytes, purpose: str) -> bytes:
    """Return a PNG file with a note of its purpose; its pixels are unchanged.

    Args:
        data: the bytes of the PNG file.
        purpose: the purpose in ASCII letters, as `is_drawn` recognises it.
    """
    chunk = _NOTE + purpose.encode("ascii")
    note = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:_HEADER_END] + note + data[_HEADER_END:]


def is_drawn(start: bytes, purpose: str = "") -> bool:
    """Whether keras_dr drew a picture, by the first bytes of its file.

    Args:
        start: the first bytes, at least 100.
        purpose: the purpose that `mark_png` noted; "": any.

    Example:
        >>> from keras_dr.core.png_marks import is_drawn
        >>> is_drawn(b"")
        False
    """
    return start.startswith(PNG) and start.startswith(_NOTE + purpose.encode("ascii"), _NOTE_PLACE)
