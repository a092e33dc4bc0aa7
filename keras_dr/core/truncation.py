"""Whether an image file ends before its image does; on the workstation and on the device."""

import re

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n"
# In a JPEG's compressed data, 0xFF is followed by 0 or by a restart mark; anything else ends it.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file ends before its image does; decoders fill up with grey and say nothing."""
    if data.startswith(_PNG):
        return b"IEND" not in data[-64:]
    return data.startswith(_JPEG) and not _reaches_end(data)


def _reaches_end(data: bytes) -> bool:
    """Whether the end marker follows upon the last scan (a thumbnail within has one of its own, in a segment)."""
    at = 2
    while found := _MARKER.search(data, at):
        marker = data[found.end() - 1]
        if marker == 0xD9:
            return True
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False
